// Workflows with demanding forms: fields of every type, repeated rounds, hostile text.

import { setTimeout as sleep } from 'node:timers/promises';

export function defineRequests({ createWorkflow, createStep, z, counts }) {
  const topic = z.object({ topic: z.string().describe('What it is about') });
  const address = z.object({
    street: z.string().min(1),
    zip: z.string().regex(/^[0-9]{5}$/).describe('Five digits'),
    country: z.enum(['DE', 'AT', 'CH']).default('DE'),
  });
  const everyResponse = z.object({
    agree: z.boolean().describe('Whether to go on'),
    urgent: z.boolean().default(false),
    title: z.string().min(3).max(80).describe('A headline'),
    summary: z.string().max(2000).optional().describe('A few lines about it'),
    copies: z.number().int().min(1).max(10).default(2).describe('How many to print'),
    budget: z.number().min(0).describe('What it may cost, in euros'),
    discount: z.number().nullable().optional(),
    draft: z.enum(['first', 'second', 'third']).describe('Which draft to take'),
    day: z.string().date().describe('When it is published'),
    moment: z.string().datetime({ offset: true }).optional().describe('When exactly'),
    tags: z.array(z.string()).describe('Words to find it by'),
    address: address.describe('Where the copies go'),
    contact: z
      .union([z.string(), z.object({ phone: z.string() })])
      .optional()
      .describe('An address, or an object with a phone number'),
  });
  const everyType = createWorkflow({
    id: 'every-type',
    description: 'Asks for a response that has a part of every type, and gives it back',
    inputSchema: topic,
    outputSchema: everyResponse,
  })
    .then(
      createStep({
        id: 'fill-in',
        description: 'Waits for all the particulars',
        inputSchema: topic,
        outputSchema: everyResponse,
        suspendSchema: topic,
        resumeSchema: everyResponse,
        execute: async ({ inputData: { topic }, resumeData, suspend }) =>
          resumeData ?? suspend({ topic }),
      }),
    )
    .commit();

  const oddResponse = z.object({
    opens: z.string().time().describe('When the doors open'),
    amounts: z.array(z.number()).describe('What was counted'),
    parcels: z.array(z.object({ weight: z.number() })).describe('What was weighed, in kilograms'),
    priority: z.union([z.literal(1), z.literal(2), z.literal(3)]).describe('1 is the first'),
    size: z.union([z.literal('small'), z.literal(40)]).optional().describe('A word or a number'),
    substitute: z.string().nullable().describe('Who comes instead; null for nobody'),
    place: z.object({ hall: z.string(), row: z.number().int() }).optional().describe('Where'),
    ticket: z.union([z.string(), z.number()]).describe('A code or a number'),
    price: z.number().multipleOf(0.01).describe('In euros and cents'),
    name: z.string().regex(/^\p{L}+$/u).describe('Letters of any language'),
    notes: z.object({}).passthrough().describe('Anything else, by name'),
    greeting: z.string().default('Welcome').describe('What the sign says; it may be empty'),
  });
  const confirmed = z.object({ response: oddResponse, confirmed: z.any() });
  const oddTypes = createWorkflow({
    id: 'odd-types',
    description: 'Asks for types without a form field, and then for any JSON',
    inputSchema: topic,
    outputSchema: confirmed,
  })
    .then(
      createStep({
        id: 'fill-in',
        description: 'Waits for all the particulars',
        inputSchema: topic,
        outputSchema: oddResponse,
        resumeSchema: oddResponse,
        execute: async ({ inputData: { topic }, resumeData, suspend }) =>
          resumeData ?? suspend({ topic }),
      }),
    )
    .then(
      createStep({
        id: 'confirm',
        description: 'Waits for a word, and does not say what it may be',
        inputSchema: oddResponse,
        outputSchema: confirmed,
        execute: async ({ inputData, resumeData, suspend }) =>
          resumeData === undefined ? suspend({}) : { response: inputData, confirmed: resumeData },
      }),
    )
    .commit();

  const draft = z.object({
    text: z.string(),
    round: z.number().int(),
    done: z.boolean(),
  });
  const verdict = z.object({
    verdict: z.enum(['approve', 'revise']).describe('Whether the draft is good'),
    remarks: z.string().max(1000).optional().describe('What to change'),
  });
  const reviseLoop = createWorkflow({
    id: 'revise-loop',
    description: 'Writes a text, and revises it until a person approves it',
    inputSchema: topic,
    outputSchema: draft,
  })
    .then(
      createStep({
        id: 'write',
        inputSchema: topic,
        outputSchema: draft,
        execute: async ({ inputData: { topic }, runId }) => {
          await counts.finish(await counts.begin(topic, runId));
          return { text: `About ${topic}.`, round: 1, done: false };
        },
      }),
    )
    .dountil(
      createStep({
        id: 'review',
        description: 'Waits for a verdict on the draft',
        inputSchema: draft,
        outputSchema: draft,
        suspendSchema: z.object({ draft: z.string(), round: z.number() }),
        resumeSchema: verdict,
        execute: async ({ inputData: { text, round }, resumeData, suspend }) => {
          if (!resumeData) return suspend({ draft: text, round });
          if (resumeData.verdict === 'approve') return { text, round, done: true };
          return { text: `${text} ${resumeData.remarks ?? 'Again.'}`, round: round + 1, done: false };
        },
      }),
      async ({ inputData }) => inputData.done,
    )
    .commit();

  const pace = z.object({ seconds: z.number().min(0).max(60).describe('How long a response takes') });
  const noted = z.object({ approved: z.boolean() });
  const slowly = (id) =>
    createStep({
      id,
      description: `Waits for the response of the ${id} reviewer, and then works on it`,
      inputSchema: pace,
      outputSchema: noted,
      resumeSchema: noted,
      execute: async ({ inputData: { seconds }, resumeData, suspend, abortSignal }) => {
        if (!resumeData) return suspend({ seconds });
        await sleep(seconds * 1000, undefined, { signal: abortSignal });
        return resumeData;
      },
    });
  const both = z.object({ first: noted, second: noted });
  const slowReview = createWorkflow({
    id: 'slow-review',
    description: 'Asks two people at once, and works on the response of each',
    inputSchema: pace,
    outputSchema: both,
  })
    .parallel([slowly('first'), slowly('second')])
    .commit();

  const hostile = (kilobytes) => ({
    message: '# Not a heading\n\n**bold** [link](javascript:alert(1)) ![x](http://127.0.0.1:9/x.png)',
    html: '<script>window.hostile = 1</script><img src=x onerror="window.hostile = 2"><b>bold</b>',
    template: '{{ 7 * 7 }} {% raw %} ${7 * 7} #{7 * 7}',
    control: 'bell \u0007 null-like \u0001 escape \u001b[31m override \u202e reversed',
    table: 'a | b | c\n--- | --- | ---',
    fence: '```\nout of the fence\n```\n~~~',
    '<script>window.hostile = 3</script>': 'a name | of a field',
    nested: { list: ['<i>one</i>', { deep: { deeper: '`code` ``more``' } }] },
    long: 'all work and no play '.repeat(Math.ceil((kilobytes * 1024) / 21)),
  });
  const hostileRequest = createWorkflow({
    id: 'hostile-request',
    description: 'Asks with a payload that would break a careless page',
    inputSchema: z.object({ kilobytes: z.number().int().min(0).max(4000).describe('Of long text') }),
    outputSchema: z.object({ response: z.string() }),
  })
    .then(
      createStep({
        id: 'respond-<b>me</b>',
        description: '<script>window.hostile = 4</script> **what** {{ this }} is',
        inputSchema: z.object({ kilobytes: z.number() }),
        outputSchema: z.object({ response: z.string() }),
        resumeSchema: z.object({
          response: z
            .string()
            .describe('<script>window.hostile = 5</script> {{ 7 * 7 }} | **what** you say'),
        }),
        execute: async ({ inputData: { kilobytes }, resumeData, suspend }) =>
          resumeData ?? suspend(hostile(kilobytes)),
      }),
    )
    .commit();

  return { everyType, oddTypes, reviseLoop, slowReview, hostileRequest };
}
