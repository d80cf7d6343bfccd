// Workflows that fail, stop early, or count their executions.

import { setTimeout as sleep } from 'node:timers/promises';

export function defineImports({ createWorkflow, createStep, z, counts }) {
  const file = z.object({ file: z.string().default('orders.csv').describe('The file to import') });
  const read = z.object({ rows: z.number() });
  const failingImport = createWorkflow({
    id: 'failing-import',
    description: 'Reads a file and then always fails to store its rows',
    inputSchema: file,
    outputSchema: z.object({ stored: z.number() }),
  })
    .then(
      createStep({
        id: 'read-file',
        inputSchema: file,
        outputSchema: read,
        execute: async () => ({ rows: 3 }),
      }),
    )
    .then(
      createStep({
        id: 'store-rows',
        inputSchema: read,
        outputSchema: z.object({ stored: z.number() }),
        execute: async () => {
          throw new Error('disk full on import-7');
        },
      }),
    )
    .commit();

  const key = z.string().min(1).describe('What to count the executions under; choose a new one');
  const flakyRead = z.object({ key, rows: z.number() });
  // `retries`: how often the server itself retries the failed step within the same run.
  const flaky = (id, description, options = {}) =>
    createWorkflow({
      id,
      description,
      inputSchema: z.object({ key }),
      outputSchema: z.object({ stored: z.number(), attempts: z.number() }),
    })
      .then(
        createStep({
          id: 'read-file',
          description: 'Counted under "<key>/read-file"',
          inputSchema: z.object({ key }),
          outputSchema: flakyRead,
          execute: async ({ inputData, runId }) => {
            const execution = await counts.begin(`${inputData.key}/read-file`, runId);
            await counts.finish(execution);
            return { key: inputData.key, rows: 3 };
          },
        }),
      )
      .then(
        createStep({
          id: 'store-rows',
          ...options,
          description: 'Counted under "<key>"',
          inputSchema: flakyRead,
          outputSchema: z.object({ stored: z.number(), attempts: z.number() }),
          execute: async ({ inputData, runId }) => {
            const execution = await counts.begin(inputData.key, runId);
            const attempts = await counts.count(inputData.key);
            if (attempts === 1) throw new Error('connection lost, try again');
            await counts.finish(execution);
            return { stored: inputData.rows, attempts };
          },
        }),
      )
      .commit();
  const flakyImport = flaky(
    'flaky-import',
    'Fails to store its rows the first time it tries to for a key, and never again',
  );
  const retriedImport = flaky('retried-import', 'The same, but the server retries the step', {
    retries: 1,
  });

  const charge = z.object({
    key,
    amount: z.number().describe('What to charge, in cents'),
    seconds: z.number().min(0).max(3600).default(0).describe('How long it takes, in seconds'),
  });
  const charged = z.object({ charged: z.number() });
  const countedCharge = createWorkflow({
    id: 'counted-charge',
    description: 'Charges a card, and notes each time that it really does',
    inputSchema: charge,
    outputSchema: charged,
  })
    .then(
      createStep({
        id: 'charge',
        inputSchema: charge,
        outputSchema: charged,
        // Mastra 0.x passes the input to a step as it was sent, without the schema's defaults.
        execute: async ({ inputData: { key, amount, seconds = 0 }, runId }) => {
          const execution = await counts.begin(key, runId);
          await sleep(seconds * 1000);
          await counts.finish(execution);
          return { charged: amount };
        },
      }),
    )
    .commit();

  const stock = z.object({ stock: z.number().int().min(0).describe('How many are left') });
  const ordered = z.object({ ordered: z.number(), reason: z.string() });
  const earlyExit = createWorkflow({
    id: 'early-exit',
    description: 'Orders more when nothing is left, and otherwise bails out with its result at once',
    inputSchema: stock,
    outputSchema: ordered,
  })
    .then(
      createStep({
        id: 'check-stock',
        inputSchema: stock,
        outputSchema: stock,
        execute: async ({ inputData, bail }) =>
          inputData.stock > 0 ? bail({ ordered: 0, reason: 'enough in stock' }) : inputData,
      }),
    )
    .then(
      createStep({
        id: 'order-more',
        inputSchema: stock,
        outputSchema: ordered,
        execute: async () => ({ ordered: 100, reason: 'out of stock' }),
      }),
    )
    .commit();

  return { failingImport, flakyImport, retriedImport, countedCharge, earlyExit };
}
