// Workflows for tests only, executed by the event-driven engine. On current servers, that includes
// every workflow declared with a `schedule`. The engine finds the parents of nested workflows by
// their ids, so the registry keys equal the ids.

import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const server = createRequire(process.argv[1]);
const { createStep, createWorkflow } = await import(
  pathToFileURL(server.resolve('@mastra/core/workflows/evented'))
);

export function defineWorkflows({ z, createWorkflow: createDefault, createStep: createDefaultStep }) {
  const any = z.any();
  const verdict = z.object({ ok: z.boolean() });
  const asking = (id, create = createStep) =>
    create({
      id,
      description: `Asks as ${id}`,
      inputSchema: any,
      outputSchema: any,
      resumeSchema: verdict,
      execute: async ({ inputData, resumeData, suspend }) =>
        resumeData ? { given: inputData, [id]: resumeData.ok } : suspend({ asked: inputData }),
    });
  const adding = createStep({
    id: 'add',
    inputSchema: any,
    outputSchema: any,
    execute: async ({ inputData }) => {
      if (inputData.fail) throw new Error('it was to fail');
      return { x: inputData.x + 1 };
    },
  });
  const workflow = (id) => createWorkflow({ id, inputSchema: any, outputSchema: any });

  const inner = workflow('inner').then(adding).then(asking('ask')).commit();
  const middle = workflow('middle').then(inner).commit();
  return {
    eventedPlain: workflow('eventedPlain').then(adding).commit(),
    eventedAsks: workflow('eventedAsks').then(adding).then(asking('q')).commit(),
    eventedParallel: workflow('eventedParallel').parallel([asking('a'), asking('b.c')]).commit(),
    eventedForeach: workflow('eventedForeach').foreach(asking('fe'), { concurrency: 3 }).commit(),
    eventedNested: workflow('eventedNested').then(inner).commit(),
    eventedDeep: workflow('eventedDeep').then(middle).then(asking('last')).commit(),
    scheduled: createDefault({
      id: 'scheduled',
      inputSchema: any,
      outputSchema: any,
      schedule: { cron: '0 0 1 1 *', inputData: { x: 1 } },
    })
      .then(asking('q', createDefaultStep))
      .commit(),
  };
}
