// Workflows for tests only: steps whose ids contain dots, or equal the record's key `input`.

export function defineWorkflows({ createWorkflow, createStep, z }) {
  const any = z.any();
  const asking = (id, extra = {}) =>
    createStep({
      id,
      description: `Asks as ${id}`,
      inputSchema: any,
      outputSchema: any,
      resumeSchema: z.object({ [id]: z.boolean() }),
      execute: async ({ inputData, resumeData, suspend }) =>
        resumeData ? { ...inputData, [id]: resumeData } : suspend({ asked: id }),
      ...extra,
    });
  const passing = (id) =>
    createStep({
      id,
      inputSchema: any,
      outputSchema: any,
      execute: async ({ inputData }) => ({ ...inputData, [id]: 'passed' }),
    });
  const workflow = (id) => createWorkflow({ id, inputSchema: any, outputSchema: any });

  const inner = workflow('inner').then(asking('check')).then(asking('check.v2')).commit();
  const innerDotted = workflow('inner.v2').then(asking('check')).then(asking('a.b')).commit();
  return {
    dottedParallel: workflow('dotted-parallel')
      .parallel([asking('review'), asking('review.v2'), asking('v3.review')])
      .commit(),
    dottedNested: workflow('dotted-nested')
      .then(passing('start.here'))
      .then(inner)
      .then(innerDotted)
      .commit(),
    dottedTravel: workflow('dotted-travel').then(passing('load')).then(passing('load.v2')).commit(),
    stepInput: workflow('step-input').then(passing('input')).then(asking('input.review')).commit(),
    stepInputAsks: workflow('step-input-asks').then(asking('input')).commit(),
    dottedForeach: workflow('dotted-foreach')
      .foreach(
        createStep({
          id: 'each.item',
          inputSchema: any,
          outputSchema: any,
          resumeSchema: z.object({ ok: z.boolean() }),
          execute: async ({ inputData, resumeData, suspend }) =>
            resumeData ? { inputData, ...resumeData } : suspend({ item: inputData }),
        }),
        { concurrency: 3 },
      )
      .commit(),
  };
}
