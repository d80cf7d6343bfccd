// The sample workflows, by the registry keys under which clients ask for them. One definition
// serves both generations of Mastra: each server passes in its own createWorkflow and createStep,
// its own zod as `z`, `counts` (counts.mjs) and, for the modules of tests, `evented`.

import { defineApprovals } from './workflows/approvals.mjs';
import { defineImports } from './workflows/imports.mjs';
import { defineQuestions } from './workflows/questions.mjs';
import { defineReports } from './workflows/reports.mjs';

export async function defineWorkflows(mastra) {
  // A module with more of them, by its path: the tests have workflows that nobody should copy.
  const more = process.env.MASTRA_SAMPLE_WORKFLOWS;
  return {
    ...defineReports(mastra),
    ...defineImports(mastra),
    ...defineApprovals(mastra),
    ...defineQuestions(mastra),
    ...(more && (await import(more)).defineWorkflows(mastra)),
  };
}
