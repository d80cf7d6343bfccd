// The workflows that every server of the rig serves: the sample ones, those that a person is asked
// in again on the event-driven engine (keys `evented…`), and one whose step ids have dots.

import { defineApprovals } from '../../../example_dags/mastra_server/workflows/approvals.mjs';
import { defineImports } from '../../../example_dags/mastra_server/workflows/imports.mjs';
import { defineRequests } from '../../../example_dags/mastra_server/workflows/requests.mjs';
import { defineReports } from '../../../example_dags/mastra_server/workflows/reports.mjs';

const EVENTED = [
  'orderReport',
  'failingImport',
  'countedCharge',
  'slowExport',
  'refundApproval',
  'nestedApproval',
  'photoReview',
  'photoReviewAtOnce',
  'parallelReview',
  'reviseLoop',
];

/** @param mastra as for the sample workflows, and `evented`, the module of that engine. */
export function defineWorkflows({ evented, ...mastra }) {
  const samples = defineSamples(mastra);
  const again = defineSamples({
    ...mastra,
    createStep: evented.createStep,
    // That engine finds a workflow only if its id is the registry key.
    createWorkflow: ({ id, ...rest }) =>
      evented.createWorkflow({ id: id === 'inner' ? id : eventedKey(camelCase(id)), ...rest }),
  });
  const keys = EVENTED.map((key) => [eventedKey(key), again[key]]);
  return { ...samples, ...Object.fromEntries(keys), dottedReview: dotted(mastra) };
}

const camelCase = (id) => id.replace(/-(.)/g, (_, letter) => letter.toUpperCase());
const eventedKey = (key) => `evented${key[0].toUpperCase()}${key.slice(1)}`;

function defineSamples(mastra) {
  return {
    ...defineReports(mastra),
    ...defineImports(mastra),
    ...defineApprovals(mastra),
    ...defineRequests(mastra),
  };
}

function dotted({ createWorkflow, createStep, z }) {
  const document = z.object({ document: z.string() });
  const judged = document.extend({ approved: z.boolean() });
  return createWorkflow({ id: 'dotted-review', inputSchema: document, outputSchema: judged })
    .then(
      createStep({
        id: 'review.v2',
        inputSchema: document,
        outputSchema: judged,
        resumeSchema: z.object({ approved: z.boolean() }),
        execute: async ({ inputData, resumeData, suspend }) =>
          resumeData ? { ...inputData, ...resumeData } : suspend(inputData),
      }),
    )
    .commit();
}
