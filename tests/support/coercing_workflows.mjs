// Workflows for tests only: Zod converts their input and resume data before validation, which their
// JSON Schemas do not express.

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
  const without = (id, inputSchema) =>
    createWorkflow({ id, inputSchema, outputSchema: any })
      .then(
        step('show', {}, async ({ inputData }) => ({
          input: inputData === undefined ? 'undefined' : JSON.stringify(inputData),
        })),
      )
      .commit();
  return {
    anyInput: without('any-input', any),
    undefinedInput: without('undefined-input', z.undefined()),
    voidInput: without('void-input', z.void()),
    nullInput: without('null-input', z.null()),
    nullableInput: without('nullable-input', z.object({ a: z.string() }).nullable()),
    coercedInput: createWorkflow({ id: 'coerced-input', inputSchema: data, outputSchema: any })
      .then(step('pass', {}, async ({ inputData }) => inputData))
      .commit(),
    coercedResponse: createWorkflow({ id: 'coerced-response', inputSchema: any, outputSchema: any })
      .then(
        step('ask', { resumeSchema: data }, async ({ resumeData, suspend }) =>
          resumeData ?? suspend({}),
        ),
      )
      .commit(),
  };
}
