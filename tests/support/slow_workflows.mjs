// Workflows for tests only: slow work that starts after a response, on both engines. Each workflow
// counts its executions under `key`. The registry keys on the event-driven engine begin with
// `evented`.

import { setTimeout as sleep } from 'node:timers/promises';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const server = createRequire(process.argv[1]);
const evented = await import(pathToFileURL(server.resolve('@mastra/core/workflows/evented')));

export function defineWorkflows({ z, counts, createWorkflow, createStep }) {
  const any = z.any();
  const response = z.object({
    ok: z.boolean(),
    note: z.string().default('none'),
    name: z.string().trim().optional(),
    amount: z.coerce.number().optional(),
    day: z.coerce.date().optional(),
  });

  const define = ({ createWorkflow, createStep }, named) => {
    const works = async ({ key, seconds }, runId, abortSignal) => {
      await counts.begin(key, runId);
      await sleep(seconds * 1000, undefined, { signal: abortSignal });
    };
    const step = (id, execute, resumeSchema) =>
      createStep({ id, inputSchema: any, outputSchema: any, resumeSchema, execute });
    const asking = (id) =>
      step(
        id,
        async ({ inputData, resumeData, suspend, runId, abortSignal }) => {
          if (!resumeData) return suspend({ asked: id });
          await works(inputData, runId, abortSignal);
          return { ...inputData, response: resumeData };
        },
        response,
      );
    const quick = step(
      'ask',
      async ({ inputData, resumeData, suspend }) =>
        resumeData ? { ...inputData, response: resumeData } : suspend({ asked: 'ask' }),
      response,
    );
    const work = step('work', async ({ inputData, runId, abortSignal }) => {
      await works(inputData, runId, abortSignal);
      return inputData;
    });
    const list = step('list', async ({ inputData: { count, ...rest } }) => Array(count).fill(rest));
    const workflow = (id) => createWorkflow({ id: named(id), inputSchema: any, outputSchema: any });
    const inner = workflow('inner').then(asking('ask')).commit();
    return {
      [named('slowStep')]: workflow('slowStep').then(asking('ask')).commit(),
      [named('slowNext')]: workflow('slowNext').then(quick).then(work).commit(),
      [named('slowNested')]: workflow('slowNested').then(inner).commit(),
      [named('slowBoth')]: workflow('slowBoth').parallel([asking('a'), asking('b')]).commit(),
      [named('slowItems')]: workflow('slowItems').then(list).foreach(asking('ask')).commit(),
      [named('slowItemsAtOnce')]: workflow('slowItemsAtOnce')
        .then(list)
        .foreach(asking('ask'), { concurrency: 3 })
        .commit(),
    };
  };
  return {
    ...define({ createWorkflow, createStep }, (id) => id),
    ...define(evented, (id) => `evented${id[0].toUpperCase()}${id.slice(1)}`),
  };
}
