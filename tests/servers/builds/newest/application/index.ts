// The application that `mastra build` and `mastra dev` serve.

import { createClient } from '@libsql/client';
import { ConsoleLogger } from '@mastra/core/logger';
import { Mastra } from '@mastra/core/mastra';
import { createStep, createWorkflow } from '@mastra/core/workflows';
import * as evented from '@mastra/core/workflows/evented';
import { LibSQLStore } from '@mastra/libsql';
import { z } from 'zod';
import { openCounts } from '../../../../../example_dags/mastra_server/counts.mjs';
import { defineWorkflows } from '../../conformance.mjs';

const counts = await openCounts(createClient, process.env.CONFORMANCE_COUNTS);

export const mastra = new Mastra({
  workflows: defineWorkflows({ createStep, createWorkflow, evented, z, counts }),
  storage: new LibSQLStore({ id: 'conformance', url: process.env.CONFORMANCE_STORAGE }),
  logger: new ConsoleLogger({ level: 'warn' }),
});
