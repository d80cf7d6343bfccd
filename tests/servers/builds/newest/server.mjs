import { createNodeServer } from '@mastra/deployer/server';
import { serveNode } from '../node_server.mjs';
import { parts } from './parts.mjs';

await serveNode({ ...parts, createNodeServer });
