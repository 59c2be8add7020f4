import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type Logger, UserError } from '@clearspan/shared'
import { z } from 'zod'
import { endProcess, isRunning, processId, processIdSchema } from './processId.js'
import { type ManagedProcess, type ProcessOptions, startProcess } from './startProcess.js'

const RECORD = 'run.json'

const recordSchema = z.object({
  owner: processIdSchema,
  children: z.array(processIdSchema.extend({ name: z.string() })),
  /** Names of directories beside the record that end with the run. */
  dataDirectories: z.array(z.string().regex(/^\w[\w.-]*$/)),
})
type RunRecord = z.infer<typeof recordSchema>

/** What the run directory needs of Node's `process`. */
export interface Host {
  pid: number
  on(event: string, listener: () => void): unknown
  off(event: string, listener: () => void): unknown
  listenerCount(event: string): number
  exit(code: number): void
}

const SIGNALS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const

export interface RunDirectory {
  path: string
  /** Creates an empty directory that ends with this run, or at the next start if this one is killed. */
  dataDirectory(name: string): string
  /** Starts a child that ends with this run; its output goes to `logs/NAME.log`. Errors as `startProcess`. */
  start(options: Omit<ProcessOptions, 'logFile' | 'onSpawn' | 'signal'>): Promise<ManagedProcess>
  /** Stops all children at once and removes the data directories; an order is for those who started them. The logs stay. */
  close(): Promise<void>
}

/**
 * Takes a directory for one network: ends what a killed predecessor left (exactly its children, told from later users
 * of their numbers by start time) and records every child before it can do anything.
 *
 * Children end with this process: on exit, whatever its cause, by SIGKILL; on SIGINT, SIGTERM and SIGHUP in order,
 * unless the program listens to that signal itself, in which case it closes the directory. Only SIGKILL leaves them to
 * the next start.
 *
 * Throws UserError when another living process holds the directory.
 */
export async function openRunDirectory(options: {
  path: string
  logger: Logger
  host?: Host
}): Promise<RunDirectory> {
  const { logger, host = process } = options
  const path = resolve(options.path)
  const recordFile = join(path, RECORD)
  const record: RunRecord = { owner: processId(host.pid), children: [], dataDirectories: [] }
  mkdirSync(path, { recursive: true })
  await take(path, record, logger)

  const save = () => {
    // Rename is atomic: a kill in between leaves the old record or the new one.
    writeFileSync(`${recordFile}.new`, JSON.stringify(record))
    renameSync(`${recordFile}.new`, recordFile)
  }
  const children: ManagedProcess[] = []
  const starting = new Set<Promise<unknown>>()
  const closed = new AbortController()
  const killAll = () => {
    for (const child of record.children) {
      try {
        if (isRunning(child)) process.kill(child.pid, 'SIGKILL')
      } catch {} // gone between the look and the kill
    }
  }

  let closing: Promise<void> | undefined
  const close = async () => {
    closed.abort(new Error('the run is closing'))
    await Promise.allSettled(starting)
    await Promise.all(children.map((child) => child.stop()))
    removeDataDirectories(path, record)
    rmSync(recordFile, { force: true })
    unhook()
  }
  const unhook = hookHost(host, killAll, () => directory.close())

  const directory: RunDirectory = {
    path,
    dataDirectory(name) {
      record.dataDirectories.push(name)
      recordSchema.parse(record)
      save()
      rmSync(join(path, name), { recursive: true, force: true })
      mkdirSync(join(path, name))
      return join(path, name)
    },
    async start(processOptions) {
      closed.signal.throwIfAborted()
      const onSpawn = (pid: number) => {
        record.children.push({ name: processOptions.name, ...processId(pid) })
        save()
      }
      const logFile = join(path, 'logs', `${processOptions.name}.log`)
      const started = startProcess({ ...processOptions, logFile, onSpawn, signal: closed.signal }).then(
        (child) => {
          children.push(child)
          void child.exited.then((exit) =>
            logger.debug({ name: child.name, pid: child.pid, ...exit }, 'process ended'),
          )
          return child
        },
      )
      starting.add(started)
      try {
        return await started
      } finally {
        starting.delete(started)
      }
    },
    close: () => (closing ??= close()),
  }
  return directory
}

/** Writes the record if nobody alive holds the directory; cleans up after a dead holder first. */
async function take(path: string, record: RunRecord, logger: Logger): Promise<void> {
  const file = join(path, RECORD)
  const inUse = (holder: RunRecord) =>
    new UserError('--dir', `${path} is in use by process ${holder.owner.pid}; stop it, or pass another --dir`)
  for (;;) {
    try {
      writeFileSync(file, JSON.stringify(record), { flag: 'wx' })
      return
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') {
        throw new UserError(
          '--dir',
          `${path} cannot be written (${(error as Error).message}); pass another --dir`,
        )
      }
    }
    const left = readRecord(file)
    if (left === 'gone') continue
    if (left && isRunning(left.owner)) throw inUse(left)
    // Move it away before cleaning, and look again at what was moved: a third process may have been faster.
    const moved = `${file}.${record.owner.pid}`
    try {
      renameSync(file, moved)
    } catch {
      continue
    }
    const taken = readRecord(moved)
    if (taken && taken !== 'gone') {
      if (isRunning(taken.owner)) {
        renameSync(moved, file)
        throw inUse(taken)
      }
      const ended = []
      for (const child of taken.children) if (await endProcess(child)) ended.push(child)
      removeDataDirectories(path, taken)
      logger.info({ owner: taken.owner.pid, ended }, 'cleaned up after a run that was killed')
    } else {
      logger.warn({ file }, 'the record of the last run is unreadable; its processes, if any, are not known')
    }
    rmSync(moved, { force: true })
  }
}

/** Null when it is not a record. */
function readRecord(file: string): RunRecord | 'gone' | null {
  try {
    return recordSchema.parse(JSON.parse(readFileSync(file, 'utf8')))
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'gone' : null
  }
}

function removeDataDirectories(path: string, record: RunRecord): void {
  for (const name of record.dataDirectories) rmSync(join(path, name), { recursive: true, force: true })
}

function hookHost(host: Host, killAll: () => void, close: () => Promise<void>): () => void {
  const listeners: [string, () => void][] = [['exit', killAll]]
  for (const [signal, number] of Object.entries(SIGNALS)) {
    let seen = false
    const onSignal = () => {
      if (host.listenerCount(signal) > 1) return
      // A second signal means: now. The exit listener kills what is left.
      if (seen) return host.exit(128 + number)
      seen = true
      void close().finally(() => host.exit(128 + number))
    }
    listeners.push([signal, onSignal])
  }
  for (const [event, listener] of listeners) host.on(event, listener)
  return () => {
    for (const [event, listener] of listeners) host.off(event, listener)
  }
}
