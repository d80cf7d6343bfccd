import { MastraServer } from '@mastra/fastify';
import Fastify from 'fastify';
import { runServer } from '../../../../example_dags/mastra_server/runtime.mjs';
import { createMastra } from '../node_server.mjs';
import { parts } from './parts.mjs';

await runServer(parts.version, async (settings) => {
  const app = Fastify();
  const mastra = await createMastra(parts, settings);
  await mastra.startWorkers(); // without them no evented workflow executes
  await new MastraServer({ app, mastra }).init();
  await app.listen({ port: settings.port, host: settings.host });
  return app.server;
});
