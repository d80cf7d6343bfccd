// The sample workflows by registry key. The definitions work on Mastra 0.x and 1.x: each server
// passes in its createWorkflow, createStep, zod (as `z`), `counts` (counts.mjs) and, for the modules
// of tests, `evented`.

import { defineApprovals } from './workflows/approvals.mjs';
import { defineImports } from './workflows/imports.mjs';
import { defineRequests } from './workflows/requests.mjs';
import { defineReports } from './workflows/reports.mjs';

export async function defineWorkflows(mastra) {
  // The path of a module with further workflows, which only tests use.
  const more = process.env.MASTRA_SAMPLE_WORKFLOWS;
  return {
    ...defineReports(mastra),
    ...defineImports(mastra),
    ...defineApprovals(mastra),
    ...defineRequests(mastra),
    ...(more && (await import(more)).defineWorkflows(mastra)),
  };
}
