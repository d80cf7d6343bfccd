// Boots Mastra's own Node server, the one that `mastra build` puts around an application.

import { openCounts } from '../../../example_dags/mastra_server/counts.mjs';
import { runServer } from '../../../example_dags/mastra_server/runtime.mjs';
import { defineWorkflows } from './conformance.mjs';

/**
 * @param parts what the packages of one version bring: Mastra, ConsoleLogger, createStep,
 *   createWorkflow, evented, LibSQLStore, createClient, createNodeServer, z, version
 */
export function serveNode(parts) {
  return runServer(parts.version, async (settings) => {
    const mastra = await createMastra(parts, settings);
    return parts.createNodeServer(mastra, { playground: false, tools: [] });
  });
}

/** The application itself, also for those servers that are not Mastra's own. */
export async function createMastra(
  { Mastra, ConsoleLogger, LibSQLStore, PostgresStore, createClient, ...parts },
  { port, host, requestTimeout, storageUrl, countsUrl },
) {
  // Replicas count their executions together.
  const counts = await openCounts(createClient, process.env.CONFORMANCE_COUNTS ?? countsUrl);
  const postgres = process.env.CONFORMANCE_POSTGRES;
  return new Mastra({
    workflows: await defineWorkflows({ ...parts, counts }),
    storage: postgres
      ? new PostgresStore({ id: 'conformance', connectionString: postgres })
      : new LibSQLStore({ id: 'conformance', url: storageUrl }),
    telemetry: { enabled: false },
    logger: new ConsoleLogger({ level: 'warn' }),
    server: {
      port,
      host,
      timeout: requestTimeout,
      ...(process.env.CONFORMANCE_PREFIX && { apiPrefix: process.env.CONFORMANCE_PREFIX }),
    },
  });
}
