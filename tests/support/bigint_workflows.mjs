// Workflows for tests only: their steps return a BigInt, which JSON cannot represent.

/** The first step counts its executions and returns an object with a BigInt. */
export function defineWorkflows({ createWorkflow, createStep, z, counts }) {
  const begin = (give) => ({
    inputSchema: z.object({ key: z.string() }),
    outputSchema: z.any(),
    execute: async ({ inputData: { key }, runId }) => {
      const execution = await counts.begin(key, runId);
      await counts.finish(execution);
      return give;
    },
  });
  const workflow = (id, give, ...more) =>
    more
      .reduce(
        (flow, step) => flow.then(step),
        createWorkflow({ id, inputSchema: begin(give).inputSchema, outputSchema: z.any() }).then(
          createStep({ id: 'count', ...begin(give) }),
        ),
      )
      .commit();
  const last = createStep({
    id: 'last',
    inputSchema: z.any(),
    outputSchema: z.any(),
    execute: async () => ({ done: true }),
  });
  return {
    bigResult: workflow('big-result', { total: 1n }),
    bigStep: workflow('big-step', { total: 1n }, last),
  };
}
