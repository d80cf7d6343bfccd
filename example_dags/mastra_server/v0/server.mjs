// The same workflows on the last Mastra before 1.0. `node server.mjs --help` lists its options.

import { createRequire } from 'node:module';
import { createClient } from '@libsql/client';
import { ConsoleLogger } from '@mastra/core/logger';
import { Mastra } from '@mastra/core/mastra';
import { SimpleAuth } from '@mastra/core/server';
import { createStep, createWorkflow } from '@mastra/core/workflows';
import * as evented from '@mastra/core/workflows/evented';
import { createNodeServer } from '@mastra/deployer/server';
import { LibSQLStore } from '@mastra/libsql';
import { z } from 'zod';
import { openCounts } from '../counts.mjs';
import { runServer } from '../runtime.mjs';
import { defineWorkflows } from '../workflows.mjs';

const { version } = createRequire(import.meta.url)('@mastra/core/package.json');

await runServer(version, async ({ port, host, token, requestTimeout, storageUrl, countsUrl }) => {
  const counts = await openCounts(createClient, countsUrl);
  const mastra = new Mastra({
    workflows: await defineWorkflows({ createWorkflow, createStep, evented, z, counts }),
    storage: new LibSQLStore({ url: storageUrl }),
    telemetry: { enabled: false },
    // The startup message contains the requested port, which may be 0.
    logger: new ConsoleLogger({ level: 'warn' }),
    server: {
      port,
      host,
      timeout: requestTimeout,
      experimental_auth:
        token &&
        new SimpleAuth({ tokens: { [token]: { id: 'sample-user', name: 'Sample user' } } }),
    },
  });
  return createNodeServer(mastra, { playground: false, tools: [] });
});
