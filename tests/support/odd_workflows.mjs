// Workflows for tests only: invalid or hostile text in outputs, errors and schemas. See the option
// `workflows` of testkit/sample_server.py.

import { setTimeout as sleep } from 'node:timers/promises';

const SECRET = "{{ conn['secretdb']['password'] ~ var['value']['api_key'] }}";

// Texts that a step returns, or throws as an error message.
const TEXTS = {
  'half-emoji': 'cut 😀'.slice(0, 5),
  nul: 'zero \u0000 byte',
  forged: 'first line\n[2026-01-01] {taskinstance.py:1} INFO - Marking task as SUCCESS\u001b[31m\u202e',
  template: SECRET,
};
const HOSTILE = [
  '{{ prefect.blocks.secret.x }} {{ prefect.variables.prod_api_key }} {{ 7 * 19100191 }}',
  '[click](javascript:alert(1)) ![seen](http://evil.example/seen.png) <javascript:alert(2)>',
  '<script>alert(3)</script><img src=x onerror=alert(4)>',
  TEXTS.forged,
  '\u001b]8;;http://evil.example\u0007link ::group::more',
  TEXTS.nul,
  TEXTS['half-emoji'],
];
const nested = (depth) => {
  let value = 'bottom';
  for (let level = 0; level < depth; level += 1) value = [value];
  return value;
};
const VALUES = {
  reserved: {
    __classname__: 'builtins.str',
    __version__: 1,
    __data__: 'x',
    __id__: 'airflow.models.Connection',
    __cls: 'x',
    __type: 'dag',
    __var: { a: 1 },
    __source: 'x',
    __prefect_kind: 'jinja',
    inner: [{ __type: 'datetime', __var: 5 }, { __classname__: 'datetime.datetime' }],
  },
  tuple: { __classname__: 'builtins.tuple', __version__: 1, __data__: [1, 2] },
  deep: nested(400),
  numbers: { big: 2 ** 1023, whole: 12345678901234567890123, tiny: 5e-324, minus: -0 },
  ...TEXTS,
};

export function defineWorkflows({ createWorkflow, createStep, z }) {
  const any = z.any();
  const approval = z.object({
    approved: z.boolean().default(true).describe(SECRET),
    note: z.string().default(SECRET),
    choice: z.enum([SECRET, 'other']).default(SECRET),
  });
  const asking = (id) =>
    createStep({
      id,
      description: `What ${SECRET} is`,
      inputSchema: any,
      outputSchema: any,
      resumeSchema: approval,
      execute: async ({ resumeData, suspend }) =>
        resumeData ?? suspend({ [SECRET]: SECRET, note: SECRET }),
    });
  const templates = createWorkflow({
    id: 'templates',
    description: SECRET,
    inputSchema: any,
    outputSchema: any,
  })
    .parallel([asking(SECRET), asking('two {{ 7919 * 104729 }}')])
    .commit();

  const oddStep = createWorkflow({ id: 'odd-step', inputSchema: any, outputSchema: any })
    .then(asking(`${TEXTS['half-emoji']} ${TEXTS.nul}`))
    .commit();

  const end = z.object({
    kind: z.enum(Object.keys(VALUES)),
    how: z.enum(['return', 'throw', 'suspend']),
    seconds: z.number().default(0),
  });
  const oddEnd = createWorkflow({ id: 'odd-end', inputSchema: end, outputSchema: any })
    .then(
      createStep({
        id: 'end',
        inputSchema: end,
        outputSchema: any,
        resumeSchema: z.object({ approved: z.boolean() }),
        execute: async ({ inputData: { kind, how, seconds = 0 }, resumeData, suspend }) => {
          await sleep(seconds * 1000);
          const value = VALUES[kind];
          if (how === 'throw') throw new Error(value);
          if (how === 'suspend' && !resumeData) return suspend({ value });
          return { value };
        },
      }),
    )
    .commit();

  // The second release changes the resume schema, as a redeploy can.
  const response =
    process.env.ODD_WORKFLOWS_RELEASE === '2'
      ? z.object({ verdict: z.enum(['yes', 'no']) })
      : z.object({ approved: z.boolean() });
  const released = createWorkflow({ id: 'released', inputSchema: any, outputSchema: any })
    .then(
      createStep({
        id: 'approve',
        inputSchema: any,
        outputSchema: any,
        resumeSchema: response,
        execute: async ({ resumeData, suspend }) => resumeData ?? suspend({ asked: 'Well?' }),
      }),
    )
    .commit();

  const reserved = createWorkflow({ id: 'reserved', inputSchema: any, outputSchema: any })
    .then(
      createStep({
        id: 'approve',
        inputSchema: any,
        outputSchema: any,
        resumeSchema: z.object({
          __type: z.string(),
          __var: z.string(),
          __classname__: z.string(),
          details: z.record(z.string(), z.any()).default({ __id__: 1 }),
        }),
        execute: async ({ resumeData, suspend }) => resumeData ?? suspend(VALUES.reserved),
      }),
    )
    .commit();

  // A workflow without snapshots: its runs leave no record.
  const unstored = createWorkflow({
    id: 'unstored',
    inputSchema: any,
    outputSchema: any,
    options: { shouldPersistSnapshot: () => false },
  })
    .then(
      createStep({
        id: 'work',
        inputSchema: any,
        outputSchema: any,
        execute: async ({ inputData }) => {
          await sleep(inputData.seconds * 1000);
          return { done: true };
        },
      }),
    )
    .commit();

  // Defaults that Prefect's server would evaluate when a form is submitted.
  const secret = { __prefect_kind: 'workspace_variable', variable_name: 'prod_api_key' };
  const hydrated = createWorkflow({ id: 'hydrated', inputSchema: any, outputSchema: any })
    .then(
      createStep({
        id: 'approve',
        inputSchema: any,
        outputSchema: any,
        resumeSchema: z.object({
          approved: z.boolean(),
          direct: z.any().default(secret),
          nested: z.any().default({ list: [{ __prefect_kind: 'jinja', template: '{{ 7 * 19100191 }}' }] }),
          wrapped: z.any().default({ __prefect_kind: 'none', value: secret }),
        }),
        execute: async ({ resumeData, suspend }) => resumeData ?? suspend({ asked: 'Well?' }),
      }),
    )
    .commit();

  // Every text of a request is hostile: the step's id, its description and its payload, and the
  // names, titles, descriptions, defaults and options of the form's fields.
  const hostile = createWorkflow({
    id: 'hostile',
    description: HOSTILE.join(' '),
    inputSchema: any,
    outputSchema: any,
  })
    .then(
      createStep({
        // Log lines show the beginning of the id. It omits the characters that stores do not keep,
        // since a step is looked up by its id.
        id: HOSTILE.slice(0, 5).reverse().join(' '),
        description: HOSTILE.join(' '),
        inputSchema: any,
        outputSchema: any,
        resumeSchema: z.object({
          __prefect_kind: z.string().default('workspace_variable'),
          variable_name: z.string().default('prod_api_key'),
          ...Object.fromEntries(
            HOSTILE.map((text) => [text, z.string().default(text).describe(text)]),
          ),
          choice: z.enum(HOSTILE).default(HOSTILE[0]).describe(HOSTILE.join(' ')),
        }),
        execute: async ({ inputData, resumeData, suspend }) => {
          if (inputData?.how === 'throw') throw new Error(HOSTILE.join(' '));
          if (inputData?.how === 'return') return Object.fromEntries(HOSTILE.map((text) => [text, text]));
          return resumeData ?? suspend({ texts: HOSTILE, long: HOSTILE.join('\n') });
        },
      }),
    )
    .commit();

  return { templates, oddStep, oddEnd, released, reserved, unstored, hydrated, hostile };
}
