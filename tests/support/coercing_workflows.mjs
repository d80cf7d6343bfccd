// Workflows for tests only: input and resume data that Zod converts before it checks them, which
// their JSON Schemas do not tell of.

export function defineWorkflows({ createWorkflow, createStep, z }) {
  const any = z.any();
  const data = z.object({
    amount: z.coerce.number(),
    urgent: z.coerce.boolean(),
    day: z.coerce.date().optional(),
    places: z.preprocess((value) => (Array.isArray(value) ? value : [value]), z.array(any)),
    kind: z.preprocess((value) => String(value).toLowerCase(), z.enum(['small', 'large'])),
    name: z.string().trim().max(4),
    more: z
      .preprocess((value) => (typeof value === 'string' ? JSON.parse(value) : value), z.object({}))
      .optional(),
  });
  const step = (id, schemas, execute) =>
    createStep({ id, inputSchema: any, outputSchema: any, ...schemas, execute });
  return {
    coercedInput: createWorkflow({ id: 'coerced-input', inputSchema: data, outputSchema: any })
      .then(step('pass', {}, async ({ inputData }) => inputData))
      .commit(),
    coercedAnswer: createWorkflow({ id: 'coerced-answer', inputSchema: any, outputSchema: any })
      .then(
        step('ask', { resumeSchema: data }, async ({ resumeData, suspend }) =>
          resumeData ?? suspend({}),
        ),
      )
      .commit(),
  };
}
