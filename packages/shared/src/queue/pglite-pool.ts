import { EventEmitter } from 'node:events'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { setImmediate as macrotask } from 'node:timers/promises'
import { PGlite, type Results } from '@electric-sql/pglite'
import { DEFAULT_SCHEMA, type PgPool, type PgPoolClient, type PgQueryResult, runMigrations } from 'bullmq'
import type { Clock } from '../clock.js'
import type { Logger } from '../logger.js'
import { lockDirectory } from './directory-lock.js'

/** Single-user PostgreSQL has no autovacuum and no checkpointer: without both, tables and the log grow forever. */
const MAINTENANCE_MS = 60_000
/**
 * PostgreSQL's default of 128 MB of buffers is paid for in this process's memory; and a plan for the parameters at hand, where every
 * statement looks a few rows up, takes a quarter of a job's time.
 */
const START_PARAMS = [
  ...PGlite.defaultStartParams,
  ...['-c', 'shared_buffers=16MB'],
  ...['-c', 'plan_cache_mode=force_generic_plan'],
]
/**
 * The directory is ours alone, so what is active in it was active in a process that is gone: without waiting for its lock to expire, it runs
 * again. It counts as stalled, as BullMQ's own check would count it.
 */
const RECLAIM = `UPDATE job SET state = 'waiting', lock_token = NULL, locked_until_ms = NULL, stalled_marked = false,
  stalled_count = stalled_count + 1, seq = nextval('job_seq'), deferred_failure = CASE WHEN stalled_count >= $1
  THEN 'job stalled more than allowable limit' ELSE deferred_failure END WHERE state = 'active'`
/** BullMQ expects eight-byte integers as strings, as node-postgres gives them. */
const INT8 = 20

export interface PglitePoolOptions {
  /** Directory of its own; absent: in memory, gone with the process. */
  dataDir?: string | undefined
  /** A job that was active in so many processes that were killed is a dead letter. */
  stalledAttempts: number
  /** Real time. */
  clock: Clock
  logger: Logger
}

/** BullMQ's statements begin with comments. */
function withoutLeadingComments(sql: string): string {
  return sql.replace(/^(?:\s+|--[^\n]*(?:\n|$)|\/\*[\s\S]*?\*\/)+/, '')
}

function toPgResult<R>(results: Results<R> | undefined): PgQueryResult<R> {
  const rows = results?.rows ?? []
  return { rows, rowCount: results?.affectedRows || rows.length }
}

/** One query on the only session. PGlite never yields, so without a macrotask between queries a fetch loop would starve timers and sockets. */
async function query<R>(db: PGlite, sql: string, params?: readonly unknown[]): Promise<PgQueryResult<R>> {
  await macrotask()
  if (params !== undefined && params.length > 0) return toPgResult(await db.query<R>(sql, [...params]))
  return toPgResult((await db.exec(sql)).at(-1) as Results<R> | undefined)
}

/** A client of the pool: a name for its own LISTENs, on the one session that all clients share. */
class SharedClient extends EventEmitter implements PgPoolClient {
  readonly #db: PGlite
  readonly #channels = new Set<string>()
  readonly #unsubscribe: () => void

  constructor(db: PGlite) {
    super()
    // One listener per blocked worker is normal here.
    this.setMaxListeners(0)
    this.#db = db
    this.#unsubscribe = db.onNotification((channel, payload) => {
      if (this.#channels.has(channel)) this.emit('notification', { channel, payload })
    })
  }

  async query<R>(text: string, params?: readonly unknown[]): Promise<PgQueryResult<R>> {
    const sql = withoutLeadingComments(text)
    const listen = /^LISTEN\s+"?([^";\s]+)/i.exec(sql)
    if (listen?.[1] !== undefined) this.#channels.add(listen[1])
    // Other clients may listen to the same channel of the shared session.
    if (/^UNLISTEN\b/i.test(sql)) {
      this.#channels.clear()
      return { rows: [], rowCount: 0 }
    }
    return query(this.#db, text, params)
  }

  release(): void {
    this.#unsubscribe()
    this.#channels.clear()
  }
}

/** The one that the build has made, as making one takes seconds; undefined where nothing was built. */
async function emptyDatabase(): Promise<Blob | undefined> {
  try {
    const path = createRequire(import.meta.url).resolve('@clearspan/shared/empty-database')
    return new Blob([await readFile(path)])
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') throw error
    return undefined
  }
}

/** What BullMQ needs of a `pg.Pool`, plus our own end. */
export interface PglitePool extends PgPool {
  readonly options: { readonly keepAlive: true }
}

/**
 * Opens in-process PostgreSQL, brings BullMQ's schema up to date and answers it in the shape of a `pg.Pool`. All clients
 * share one session, and BullMQ 6.7 opens transactions only to migrate, which here happens before anyone else can query.
 * At least once and kill-safe, but without fsync: not safe against power loss.
 * @throws UserError when `dataDir` is in use or can't be written.
 */
export async function openPglitePool({
  dataDir,
  stalledAttempts,
  clock,
  logger,
}: PglitePoolOptions): Promise<PglitePool> {
  const unlock = dataDir === undefined ? undefined : await lockDirectory(dataDir, "the queue's directory")
  let db: PGlite | undefined
  try {
    const directory = dataDir && join(dataDir, 'postgres')
    const empty = directory === undefined || !existsSync(directory) ? await emptyDatabase() : undefined
    db = await PGlite.create({
      ...(directory !== undefined && { dataDir: directory }),
      ...(empty !== undefined && { loadDataDir: empty }),
      startParams: START_PARAMS,
      parsers: { [INT8]: (value: string) => value },
    })
    const migrator = new SharedClient(db)
    await runMigrations(migrator, DEFAULT_SCHEMA)
    migrator.release()
    await db.exec(`SET search_path TO "${DEFAULT_SCHEMA}", public`)
    await db.query(RECLAIM, [stalledAttempts])
    return pool(db, { clock, logger }, unlock)
  } catch (error) {
    await db?.close()
    await unlock?.()
    throw error
  }
}

function pool(
  db: PGlite,
  { clock, logger }: Pick<PglitePoolOptions, 'clock' | 'logger'>,
  unlock: (() => Promise<void>) | undefined,
): PglitePool {
  const clients = new Set<SharedClient>()
  let ending: Promise<void> | undefined
  const over = new AbortController()

  async function maintain(): Promise<void> {
    for (;;) {
      await clock.sleep(MAINTENANCE_MS, over.signal)
      try {
        await db.exec('VACUUM ANALYZE')
        await db.exec('CHECKPOINT')
      } catch (err) {
        logger.error({ err }, 'queue maintenance failed')
      }
    }
  }
  // Ends by the abort of its sleep.
  const maintaining = maintain().catch(() => {})

  async function end(): Promise<void> {
    over.abort()
    await maintaining
    for (const client of clients) client.release()
    await db.close()
    await unlock?.()
  }

  const events = new EventEmitter()
  events.setMaxListeners(0)
  const self: PglitePool = {
    // A notification in the same process can't be lost, so workers may block for long instead of polling.
    options: { keepAlive: true },
    query: (text, params) => query(db, text, params),
    connect: async () => {
      const client = new SharedClient(db)
      clients.add(client)
      return client
    },
    end: () => {
      ending ??= end()
      return ending
    },
    on(event: string, listener: (...args: never[]) => void) {
      events.on(event, listener as (...args: unknown[]) => void)
      return self
    },
    removeAllListeners(event) {
      events.removeAllListeners(event)
      return self
    },
  }
  return self
}
