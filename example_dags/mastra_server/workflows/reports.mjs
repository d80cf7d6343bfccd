// Workflows that run without suspending: short, slow, sleeping, large, chatty.

import { setTimeout as sleep } from 'node:timers/promises';

export function defineReports({ createWorkflow, createStep, z }) {
  const seconds = z.number().min(0).max(3600).describe('How long the work takes, in seconds');

  // Mastra 0.x passes the input to a step as it was sent, without the schema's defaults.
  const DEFAULT_LIMIT = 10;

  const order = z.object({ id: z.string(), amount: z.number().describe('In cents') });
  const summary = z.object({
    city: z.string(),
    day: z.string().optional(),
    orders: z.number().describe('How many orders'),
    total: z.number().describe('What they come to, in cents'),
  });
  const reportInput = z.object({
    city: z.string().min(1).describe('The city whose orders to report'),
    day: z.string().date().optional().describe('The day to report, such as 2026-01-31'),
    limit: z.number().int().min(1).max(1000).default(DEFAULT_LIMIT).describe('At most so many orders'),
  });
  const fetched = z.object({
    city: z.string(),
    day: z.string().optional(),
    orders: z.array(order),
  });
  const orderReport = createWorkflow({
    id: 'order-report',
    description: "Reports a city's orders of a day",
    inputSchema: reportInput,
    outputSchema: summary.extend({ text: z.string() }),
  })
    .then(
      createStep({
        id: 'fetch-orders',
        description: 'Looks up the orders',
        inputSchema: reportInput,
        outputSchema: fetched,
        execute: async ({ inputData: { city, day, limit = DEFAULT_LIMIT } }) => ({
          city,
          day,
          orders: Array.from({ length: limit }, (_, index) => ({
            id: `${city}-${index + 1}`,
            amount: 1000 + 250 * index,
          })),
        }),
      }),
    )
    .then(
      createStep({
        id: 'summarise',
        description: 'Counts and adds them up',
        inputSchema: fetched,
        outputSchema: summary,
        execute: async ({ inputData: { city, day, orders } }) => ({
          city,
          day,
          orders: orders.length,
          total: orders.reduce((total, { amount }) => total + amount, 0),
        }),
      }),
    )
    .then(
      createStep({
        id: 'render',
        description: 'Writes the sentence to send',
        inputSchema: summary,
        outputSchema: summary.extend({ text: z.string() }),
        execute: async ({ inputData }) => {
          const { city, day, orders, total } = inputData;
          const when = day ? ` on ${day}` : '';
          return { ...inputData, text: `${city}${when}: ${orders} orders, ${total / 100} EUR` };
        },
      }),
    )
    .commit();

  const exported = z.object({ exported: z.boolean() });
  const slowExport = createWorkflow({
    id: 'slow-export',
    description: 'A slow export that stops when its run is cancelled',
    inputSchema: z.object({ seconds }),
    outputSchema: exported,
  })
    .then(
      createStep({
        id: 'export',
        inputSchema: z.object({ seconds }),
        outputSchema: exported,
        execute: async ({ inputData, abortSignal }) => {
          await sleep(inputData.seconds * 1000, undefined, { signal: abortSignal });
          return { exported: true };
        },
      }),
    )
    .commit();

  const stubbornExport = createWorkflow({
    id: 'stubborn-export',
    description: 'A slow export that works on to its end even when its run is cancelled',
    inputSchema: z.object({ seconds }),
    outputSchema: exported,
  })
    .then(
      createStep({
        id: 'export',
        inputSchema: z.object({ seconds }),
        outputSchema: exported,
        execute: async ({ inputData }) => {
          await sleep(inputData.seconds * 1000);
          return { exported: true };
        },
      }),
    )
    .commit();

  const coolDown = createWorkflow({
    id: 'cool-down',
    description: 'Sleeps between two steps, as a workflow does that must not call a service too often',
    inputSchema: z.object({ seconds }),
    outputSchema: z.object({ called: z.number() }),
  })
    .then(
      createStep({
        id: 'first-call',
        inputSchema: z.object({ seconds }),
        outputSchema: z.object({ seconds, called: z.number() }),
        execute: async ({ inputData }) => ({ seconds: inputData.seconds, called: 1 }),
      }),
    )
    .sleep(async ({ inputData }) => inputData.seconds * 1000)
    .then(
      createStep({
        id: 'second-call',
        inputSchema: z.object({ seconds, called: z.number() }),
        outputSchema: z.object({ called: z.number() }),
        execute: async ({ inputData }) => ({ called: inputData.called + 1 }),
      }),
    )
    .commit();

  const megabytes = z.number().min(0).max(64).describe('How large the result is, in megabytes');
  const rows = z.object({ rows: z.array(z.object({ id: z.number(), text: z.string() })) });
  const bigReport = createWorkflow({
    id: 'big-report',
    description: 'Responds with a large result',
    inputSchema: z.object({ megabytes }),
    outputSchema: rows,
  })
    .then(
      createStep({
        id: 'collect-rows',
        inputSchema: z.object({ megabytes }),
        outputSchema: rows,
        execute: async ({ inputData }) => ({
          rows: Array.from({ length: Math.round(inputData.megabytes * 1000) }, (_, id) => ({
            id,
            text: 'x'.repeat(975),
          })),
        }),
      }),
    )
    .commit();

  const words = z.object({
    words: z.record(z.string(), z.string()).describe('Words and their translations'),
  });
  const translation = createWorkflow({
    id: 'translation',
    description: 'Gives back the words it gets, in whatever script they are',
    inputSchema: words,
    outputSchema: words,
  })
    .then(
      createStep({
        id: 'translate',
        inputSchema: words,
        outputSchema: words,
        execute: async ({ inputData }) => inputData,
      }),
    )
    .commit();

  const text = z.object({ text: z.string() });
  const echo = createWorkflow({
    id: 'echo',
    description: 'Gives back its text; its key shows that any text can be a key',
    inputSchema: text,
    outputSchema: text,
  })
    .then(
      createStep({
        id: 'echo-text',
        inputSchema: text,
        outputSchema: text,
        execute: async ({ inputData }) => inputData,
      }),
    )
    .commit();

  const conversation = z.object({
    steps: z.number().int().min(1).max(1000).describe('How many times the agent thinks'),
    chunks: z.number().int().min(0).max(1000).describe('How many chunks it streams each time'),
    pause: z.number().min(0).max(60_000).optional().describe('Milliseconds after each chunk'),
    done: z.number().int().default(0).describe('How many times it has thought; leave it out'),
  });
  const chattyAgent = createWorkflow({
    id: 'chatty-agent',
    description: 'Streams many small chunks, as a language model does',
    inputSchema: conversation.omit({ done: true }),
    outputSchema: conversation,
  })
    .dountil(
      createStep({
        id: 'think',
        inputSchema: conversation,
        outputSchema: conversation,
        execute: async ({ inputData: { steps, chunks, pause, done = 0 }, writer }) => {
          for (let chunk = 0; chunk < chunks; chunk++) {
            await writer.write({ type: 'text-delta', text: `thought ${done + 1}.${chunk + 1} ` });
            if (pause) await sleep(pause);
          }
          return { steps, chunks, pause, done: done + 1 };
        },
      }),
      async ({ inputData: { steps, done } }) => done >= steps,
    )
    .commit();

  return {
    orderReport,
    slowExport,
    stubbornExport,
    coolDown,
    bigReport,
    translation,
    chattyAgent,
    'odd key/50% + "quotes" é': echo,
  };
}
