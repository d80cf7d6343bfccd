// The official JavaScript client: one job as JSON on stdin, its responses as JSON on stdout.

import { readFileSync } from 'node:fs';
import { MastraClient } from '@mastra/client-js';

const job = JSON.parse(readFileSync(0, 'utf8'));
const client = new MastraClient({ baseUrl: job.url, retries: 0, ...job.options });
const workflow = client.getWorkflow(job.workflow);
const run = await workflow.createRun({ runId: job.runId });

const responses = [];
if (job.inputData) responses.push(await run.startAsync({ inputData: job.inputData }));
for (const resume of job.resumes ?? []) responses.push(await run.resumeAsync(resume));
process.stdout.write(JSON.stringify({ workflows: Object.keys(await client.listWorkflows()), responses }));
