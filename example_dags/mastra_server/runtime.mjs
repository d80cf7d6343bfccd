// Shared by the 1.x and the 0.x sample server: options, database files, ready line and graceful
// shutdown. It only imports Node's modules, because server.mjs and v0/server.mjs have different
// versions of all packages.

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

const USAGE = `usage: node server.mjs [options]
  --port N                  port to listen on; 0 takes a free one (default 0)
  --host HOST               address to listen on (default 127.0.0.1)
  --database DIR            folder of the database files (default: a temporary one, removed at exit)
  --auth                    ask for a token: the one in the environment's MASTRA_SAMPLE_TOKEN
  --request-timeout SECONDS cut a request that takes longer with a 504 (default 180, as Mastra does)
  --exit-with-stdin         end when standard input does, so that no starter can leave a server behind
  --help                    show this`;

class UsageError extends Error {}

/**
 * Start a server with `boot`, print the ready line on stdout, and stop it on a signal.
 *
 * @param {string} version the server's version of @mastra/core
 * @param {(settings: object) => Promise<import('node:http').Server>} boot
 *   receives {port, host, token, requestTimeout (ms), storageUrl, countsUrl}
 */
export async function runServer(version, boot) {
  let options;
  try {
    options = readOptions(process.argv.slice(2), process.env);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`${error.message}\n\n${USAGE}`);
    process.exit(2);
  }
  if (options.help) {
    console.log(USAGE);
    return;
  }

  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, () => process.exit(0));
  if (options.exitWithStdin) {
    process.stdin.on('end', () => process.exit(0)).on('error', () => process.exit(0)).resume();
  }

  try {
    const database = openFolder(options.database);
    process.on('exit', database.remove);
    const server = await boot({
      ...options,
      storageUrl: fileUrl(database.path, 'mastra.db'),
      countsUrl: fileUrl(database.path, 'counts.db'),
    });
    const { port } = await listening(server);
    const host = options.host.includes(':') ? `[${options.host}]` : options.host;
    const url = `http://${host}:${port}`;
    console.log(JSON.stringify({ ready: true, url, version, database: database.path }));
  } catch (error) {
    console.error(`The server could not start: ${error.message}`);
    process.exit(1);
  }
}

function readOptions(args, env) {
  let values;
  try {
    ({ values } = parseArgs({
      args,
      options: {
        port: { type: 'string', default: '0' },
        host: { type: 'string', default: '127.0.0.1' },
        database: { type: 'string' },
        auth: { type: 'boolean', default: false },
        'request-timeout': { type: 'string', default: '180' },
        'exit-with-stdin': { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }));
  } catch (error) {
    throw new UsageError(error.message);
  }
  if (!/^\d+$/.test(values.port) || Number(values.port) > 65535) {
    throw new UsageError(`--port takes a number from 0 to 65535, not '${values.port}'`);
  }
  const seconds = Number(values['request-timeout']);
  if (!(seconds > 0 && seconds < 2 ** 31 / 1000)) {
    throw new UsageError(
      `--request-timeout takes a number of seconds above 0, not '${values['request-timeout']}'`,
    );
  }
  if (values.database === '') throw new UsageError('--database takes a folder, not an empty text');
  if (values.auth && !env.MASTRA_SAMPLE_TOKEN) {
    throw new UsageError('--auth needs a token in the environment: set MASTRA_SAMPLE_TOKEN');
  }
  return {
    port: Number(values.port),
    host: values.host,
    database: values.database,
    token: values.auth ? env.MASTRA_SAMPLE_TOKEN : undefined,
    requestTimeout: seconds * 1000,
    exitWithStdin: values['exit-with-stdin'],
    help: values.help,
  };
}

/** Create the folder of the database files; returns its path and a function that removes a temporary one. */
function openFolder(path) {
  if (path === undefined) {
    const temporary = mkdtempSync(join(tmpdir(), 'mastra-sample-'));
    return {
      path: temporary,
      remove: () => rmSync(temporary, { recursive: true, force: true }),
    };
  }
  mkdirSync(path, { recursive: true });
  return { path: resolve(path), remove: () => {} };
}

function fileUrl(folder, name) {
  return pathToFileURL(join(folder, name)).href;
}

function listening(server) {
  return new Promise((done, failed) => {
    if (server.listening) return done(server.address());
    server.once('listening', () => done(server.address()));
    server.once('error', failed);
  });
}
