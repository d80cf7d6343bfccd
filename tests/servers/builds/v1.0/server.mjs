import { createRequire } from 'node:module';
import { createClient } from '@libsql/client';
import { ConsoleLogger } from '@mastra/core/logger';
import { Mastra } from '@mastra/core/mastra';
import { createStep, createWorkflow } from '@mastra/core/workflows';
import * as evented from '@mastra/core/workflows/evented';
import { createNodeServer } from '@mastra/deployer/server';
import { LibSQLStore } from '@mastra/libsql';
import { z } from 'zod';
import { serveNode } from '../node_server.mjs';

const { version } = createRequire(import.meta.url)('@mastra/core/package.json');
const engines = { createStep, createWorkflow, evented };
await serveNode({
  version, Mastra, ConsoleLogger, LibSQLStore, createClient, createNodeServer, z, ...engines,
});
