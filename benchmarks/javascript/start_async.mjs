// Runs one round of the official JavaScript client: reads a job from stdin, writes its outcome to
// stdout (see work.py).

import { readFileSync } from 'node:fs';
import { MastraClient } from '@mastra/client-js';

const TICKS = 100; // per second: the unit of CPU times in /proc

const cpuOf = (pid) => {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(')').at(-1).trim().split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
};
const busyCpu = () => {
  const fields = readFileSync('/proc/stat', 'utf8').split(/\s+/).slice(1, 8).map(Number);
  return fields.reduce((sum, ticks, place) => sum + (place === 3 || place === 4 ? 0 : ticks), 0) / TICKS;
};
const ownCpu = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};
const lastEnd = ({ steps }) =>
  Math.max(...Object.values(steps).flat().map((step) => step?.endedAt ?? 0));

const job = JSON.parse(readFileSync(0, 'utf8'));
const client = new MastraClient({ baseUrl: job.url });

let requests = 0;
const { fetch } = globalThis;
globalThis.fetch = (...args) => {
  requests += 1;
  return fetch(...args);
};

async function one({ workflow, run_id: runId, input }) {
  const from = Date.now();
  const run = await client.getWorkflow(workflow).createRun({ runId });
  const result = await run.startAsync({ inputData: input });
  const now = performance.timeOrigin + performance.now();
  if (result.status !== 'success') throw new Error(`Run ${runId} is ${result.status}`);
  return { late: now - lastEnd(result), seconds: (now - from) / 1000 };
}

const warmUp = (number) => ({
  workflow: 'slowExport',
  run_id: `warm-up-${process.pid}-${number}`,
  input: { seconds: 0.2 },
});
await Promise.all(Array.from({ length: 20 }, (_, number) => one(warmUp(number))));

requests = 0;
const memory = process.memoryUsage.rss();
let most = memory;
const watch = setInterval(() => (most = Math.max(most, process.memoryUsage.rss())), 250);
const marks = () => [Date.now() / 1000, ownCpu(), cpuOf(job.server_pid), busyCpu()];
const before = marks();
const ends = await Promise.all(
  job.works.map(async (work) => {
    const end = await one(work);
    clearInterval(watch);
    return end;
  }),
);
const spent = marks().map((mark, place) => mark - before[place]);

// startAsync starts and waits in one request, so everything counts as waiting.
process.stdout.write(
  JSON.stringify({
    late_ms: ends.map(({ late }) => late),
    start_seconds: 0,
    run_seconds: ends.reduce((sum, { seconds }) => sum + seconds, 0),
    start_requests: 0,
    wait_requests: requests,
    client_cpu: spent[1],
    server_cpu: spent[2],
    start_client_cpu: 0,
    start_server_cpu: 0,
    elsewhere_cpu: spent[3] - spent[1] - spent[2],
    seconds: spent[0],
    bytes_waiting: most - memory,
  }),
);
