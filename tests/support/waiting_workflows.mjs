// Workflows for tests of waiting: a slow step after an approval, and a step that a deploy renames.
// See the option `workflows` of testkit/sample_server.py.

import { setTimeout as sleep } from 'node:timers/promises';

export function defineWorkflows({ createWorkflow, createStep, z }) {
  const any = z.any();
  const step = (id, execute, more = {}) =>
    createStep({ id, inputSchema: any, outputSchema: any, execute, ...more });
  const workflow = (id, ...steps) =>
    steps
      .reduce(
        (sofar, next) => sofar.then(next),
        createWorkflow({ id, inputSchema: any, outputSchema: any }),
      )
      .commit();

  const approvedExport = workflow(
    'approved-export',
    step(
      'approve',
      async ({ inputData, resumeData, suspend }) => (resumeData ? inputData : suspend({})),
      { resumeSchema: z.object({ approved: z.boolean() }) },
    ),
    step('export', async ({ inputData }) => sleep(inputData.seconds * 1000, { rows: 1 })),
  );

  const isSecond = process.env.WAITING_WORKFLOWS_RELEASE === '2';
  const renamed = workflow(
    'renamed',
    step('fetch', async ({ inputData }) => inputData),
    step(
      isSecond ? 'approve-order' : 'approve',
      async ({ inputData, resumeData, suspend }) =>
        inputData.fails ? Promise.reject(new Error('out of stock')) : (resumeData ?? suspend({})),
      { resumeSchema: z.object({ approved: z.boolean() }) },
    ),
  );

  return { approvedExport, renamed };
}
