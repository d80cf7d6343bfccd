import { MastraServer } from '@mastra/express';
import express from 'express';
import { runServer } from '../../../../example_dags/mastra_server/runtime.mjs';
import { createMastra } from '../node_server.mjs';
import { parts } from './parts.mjs';

await runServer(parts.version, async (settings) => {
  const app = express();
  app.use(express.json());
  const mastra = await createMastra(parts, settings);
  await mastra.startWorkers(); // without them no evented workflow executes
  await new MastraServer({ app, mastra }).init();
  return app.listen(settings.port, settings.host);
});
