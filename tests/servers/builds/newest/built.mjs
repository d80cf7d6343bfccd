// Boots what `mastra build` made of application/, or runs `mastra dev` on it (CONFORMANCE_CLI=dev).

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { runServer } from '../../../../example_dags/mastra_server/runtime.mjs';
import { parts } from './parts.mjs';

const root = process.env.CONFORMANCE_ROOT;

await runServer(parts.version, async ({ port: wanted, host, storageUrl, countsUrl }) => {
  const port = wanted || (await freePort(host));
  Object.assign(process.env, {
    PORT: String(port),
    MASTRA_HOST: host,
    CONFORMANCE_STORAGE: storageUrl,
    CONFORMANCE_COUNTS: countsUrl,
  });
  if (process.env.CONFORMANCE_CLI === 'dev') await develop();
  else await import(`${root}/.mastra/output/index.mjs`);
  await responds(`http://${host}:${port}/api/workflows`);
  return { listening: true, address: () => ({ port }) };
});

/** `mastra dev` starts child processes: the whole process group ends with this process. */
async function develop() {
  const cli = new URL('./node_modules/mastra/dist/index.js', import.meta.url).pathname;
  const folder = new URL('./application', import.meta.url).pathname;
  spawn(process.execPath, [cli, 'dev', '--root', root, '--dir', folder], {
    cwd: root, // it writes .mastra there, whatever --root says
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  process.on('exit', () => process.kill(-process.pid, 'SIGKILL'));
}

async function freePort(host) {
  const probe = createServer().listen(0, host);
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}

async function responds(url) {
  while (!(await fetch(url).then((response) => response.ok, () => false))) await sleep(100);
}
