// A Mastra 1.x server with the sample workflows. `node server.mjs --help` lists its options.

import { createRequire } from 'node:module';
import { serve } from '@hono/node-server';
import { createClient } from '@libsql/client';
import { Mastra } from '@mastra/core/mastra';
import { SimpleAuth } from '@mastra/core/server';
import { createStep, createWorkflow } from '@mastra/core/workflows';
import * as evented from '@mastra/core/workflows/evented';
import { MastraServer } from '@mastra/hono';
import { LibSQLStore } from '@mastra/libsql';
import { Hono } from 'hono';
import { HTTPException } from 'hono/http-exception';
import { timeout } from 'hono/timeout';
import { z } from 'zod';
import { openCounts } from './counts.mjs';
import { runServer } from './runtime.mjs';
import { defineWorkflows } from './workflows.mjs';

const { version } = createRequire(import.meta.url)('@mastra/core/package.json');

await runServer(version, async ({ port, host, token, requestTimeout, storageUrl, countsUrl }) => {
  const counts = await openCounts(createClient, countsUrl);
  const mastra = new Mastra({
    workflows: await defineWorkflows({ createWorkflow, createStep, evented, z, counts }),
    storage: new LibSQLStore({ id: 'sample', url: storageUrl }),
    server: token && {
      auth: new SimpleAuth({ tokens: { [token]: { id: 'sample-user', name: 'Sample user' } } }),
    },
  });

  // The same limits as those of a `mastra build` server: 3 minutes and 4.5 MB per request.
  const app = new Hono();
  app.onError((error, context) =>
    error instanceof HTTPException
      ? context.json({ error: error.message }, error.status)
      : context.json({ error: 'Internal Server Error' }, 500),
  );
  app.use('*', timeout(requestTimeout));
  const adapter = new MastraServer({
    app,
    mastra,
    bodyLimitOptions: {
      maxSize: 4.5 * 1024 * 1024,
      onError: () => ({ error: 'Request body too large' }),
    },
  });
  await adapter.init();
  await mastra.startWorkers(); // like a `mastra build` server; evented workflows need them
  return serve({ fetch: app.fetch, port, hostname: host });
});
