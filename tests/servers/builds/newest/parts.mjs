// What the servers of this folder are made of.

import { createRequire } from 'node:module';
import { createClient } from '@libsql/client';
import { ConsoleLogger } from '@mastra/core/logger';
import { Mastra } from '@mastra/core/mastra';
import { createStep, createWorkflow } from '@mastra/core/workflows';
import * as evented from '@mastra/core/workflows/evented';
import { LibSQLStore } from '@mastra/libsql';
import { PostgresStore } from '@mastra/pg';
import { z } from 'zod';

const { version } = createRequire(import.meta.url)('@mastra/core/package.json');
const engines = { createStep, createWorkflow, evented };

export const parts = {
  version, Mastra, ConsoleLogger, LibSQLStore, PostgresStore, createClient, z, ...engines,
};
