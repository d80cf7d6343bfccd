// Counts the executions of a step independently of Mastra's records: the step itself inserts a row
// into the table `executions` of counts.db.

/**
 * @param {typeof import('@libsql/client').createClient} createClient
 * @param {string} url the file: URL of counts.db
 */
export async function openCounts(createClient, url) {
  const database = createClient({ url });
  // A write-ahead log lets other processes read the file while the server writes to it.
  await database.execute('PRAGMA busy_timeout = 10000'); // replicas share one file
  await database.execute('PRAGMA journal_mode = WAL');
  await database.execute(`CREATE TABLE IF NOT EXISTS executions (
    key TEXT NOT NULL,
    run_id TEXT NOT NULL,
    started_at TEXT NOT NULL,
    finished_at TEXT
  )`);

  return {
    /** Record the start of an execution; returns its row id for `finish`. */
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
    /** The number of started executions of `key`, in any run. */
    async count(key) {
      const { rows } = await database.execute({
        sql: 'SELECT count(*) AS number FROM executions WHERE key = ?',
        args: [key],
      });
      return Number(rows[0].number);
    },
  };
}
