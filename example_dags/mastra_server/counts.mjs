// How often a step really ran, written by the step itself and apart from Mastra's own records:
// the table `executions` of counts.db has one row for each execution.

/**
 * @param {typeof import('@libsql/client').createClient} createClient
 * @param {string} url where counts.db is, as a file: URL
 */
export async function openCounts(createClient, url) {
  const database = createClient({ url });
  // With a write-ahead log other processes can read the file while the server writes to it.
  await database.execute('PRAGMA busy_timeout = 10000'); // replicas count in one file
  await database.execute('PRAGMA journal_mode = WAL');
  await database.execute(`CREATE TABLE IF NOT EXISTS executions (
    key TEXT NOT NULL,
    run_id TEXT NOT NULL,
    started_at TEXT NOT NULL,
    finished_at TEXT
  )`);

  return {
    /** Note that an execution begins. Returns its row, for `finish`. */
    async begin(key, runId) {
      const { lastInsertRowid } = await database.execute({
        sql: 'INSERT INTO executions (key, run_id, started_at) VALUES (?, ?, ?)',
        args: [key, runId, new Date().toISOString()],
      });
      return lastInsertRowid;
    },
    async finish(row) {
      await database.execute({
        sql: 'UPDATE executions SET finished_at = ? WHERE rowid = ?',
        args: [new Date().toISOString(), row],
      });
    },
    /** How many executions of `key` have begun, in any run. */
    async count(key) {
      const { rows } = await database.execute({
        sql: 'SELECT count(*) AS number FROM executions WHERE key = ?',
        args: [key],
      });
      return Number(rows[0].number);
    },
  };
}
