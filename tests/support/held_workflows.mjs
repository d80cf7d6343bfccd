// A workflow that runs until a test releases it. See the option `workflows` of
// testkit/sample_server.py.

import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const MAX_SECONDS = 1200; // in case the test dies

export function defineWorkflows({ createWorkflow, createStep, z, counts }) {
  const charge = z.object({
    key: z.string(),
    amount: z.number(),
    until: z.string().describe('A file: the charge is over when there is one'),
  });
  const charged = z.object({ charged: z.number() });
  const heldCharge = createWorkflow({
    id: 'held-charge',
    description: 'As countedCharge, until it is let go',
    inputSchema: charge,
    outputSchema: charged,
  })
    .then(
      createStep({
        id: 'charge',
        inputSchema: charge,
        outputSchema: charged,
        execute: async ({ inputData: { key, amount, until }, runId, abortSignal }) => {
          const execution = await counts.begin(key, runId);
          const latest = Date.now() + MAX_SECONDS * 1000;
          while (!existsSync(until) && Date.now() < latest)
            await sleep(100, undefined, { signal: abortSignal });
          await counts.finish(execution);
          return { charged: amount };
        },
      }),
    )
    .commit();

  return { heldCharge };
}
