import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join, resolve } from 'node:path'
import { type Clock, type Logger, PermanentError, UserError } from '@clearspan/shared'
import { z } from 'zod'
import { endProcess, isRunning, processId, processIdSchema } from './processId.js'
import { type ManagedProcess, type ProcessOptions, startProcess } from './startProcess.js'

const RECORD = 'run.json'
/** Records of dead runs, moved out of the way until they are cleaned up. */
const SET_ASIDE = /^run\.json\.\d+\.\d+$/

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
  start(options: Omit<ProcessOptions, 'logFile' | 'onSpawn' | 'clock' | 'signal'>): Promise<ManagedProcess>
  /** Resolves when the first child ends without being asked to, with an error that names it and its log. */
  failed: Promise<PermanentError>
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
  /** Real time. */
  clock: Clock
  host?: Host
}): Promise<RunDirectory> {
  const { logger, clock, host = process } = options
  const path = resolve(options.path)
  const recordFile = join(path, RECORD)
  const record: RunRecord = { owner: processId(host.pid), children: [], dataDirectories: [] }
  await take(path, record, { logger, clock })

  const save = () => {
    // Rename is atomic: a kill in between leaves the old record or the new one.
    writeFileSync(`${recordFile}.new`, JSON.stringify(record))
    renameSync(`${recordFile}.new`, recordFile)
  }
  const children: ManagedProcess[] = []
  const starting = new Set<Promise<unknown>>()
  const closed = new AbortController()
  let onFailure: (error: PermanentError) => void
  const failed = new Promise<PermanentError>((resolve) => {
    onFailure = resolve
  })
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
      const started = startProcess({
        ...processOptions,
        logFile,
        onSpawn,
        clock,
        signal: closed.signal,
      }).then((child) => {
        let asked = false
        children.push(child)
        void child.exited.then((exit) => {
          logger.debug({ child: child.name, childPid: child.pid, ...exit }, 'process ended')
          if (!asked && !closed.signal.aborted)
            onFailure(new PermanentError(`${child.name} ended by itself; see ${logFile}`))
        })
        return {
          ...child,
          stop: () => {
            asked = true
            return child.stop()
          },
        }
      })
      starting.add(started)
      try {
        return await started
      } finally {
        starting.delete(started)
      }
    },
    failed,
    close: () => (closing ??= close()),
  }
  return directory
}

/** Writes the record if nobody alive holds the directory, then cleans up after holders that are dead. */
async function take(path: string, record: RunRecord, shell: { logger: Logger; clock: Clock }): Promise<void> {
  const file = join(path, RECORD)
  try {
    mkdirSync(path, { recursive: true })
    while (!create(file, record)) setAside(path, record.owner.pid)
  } catch (error) {
    if (error instanceof UserError) throw error
    throw new UserError(
      '--dir',
      `${path} cannot be written (${(error as Error).message}); pass another --dir`,
    )
  }
  // Only now, as the holder: were we killed in between, the next holder would find the same files and go on.
  for (const name of readdirSync(path).filter((name) => SET_ASIDE.test(name))) {
    await cleanUp(path, join(path, name), shell)
  }
}

/** False when there is a record already. */
function create(file: string, record: RunRecord): boolean {
  try {
    writeFileSync(file, JSON.stringify(record), { flag: 'wx' })
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

/** Moves a dead holder's record out of the way. Throws UserError when the holder lives. */
function setAside(path: string, pid: number): void {
  const file = join(path, RECORD)
  const refuseIfAlive = (found: RunRecord | null) => {
    if (!found || !isRunning(found.owner)) return
    throw new UserError(
      '--dir',
      `${path} is in use by process ${found.owner.pid}; stop it, or pass another --dir`,
    )
  }
  refuseIfAlive(readRecord(file))
  let attempt = 0
  while (existsSync(`${file}.${pid}.${attempt}`)) attempt++
  const aside = `${file}.${pid}.${attempt}`
  try {
    renameSync(file, aside)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  // Another start may have been faster, and this its record: look again, and give it back.
  try {
    refuseIfAlive(readRecord(aside))
  } catch (error) {
    if (!existsSync(file)) linkSync(aside, file)
    rmSync(aside)
    throw error
  }
}

async function cleanUp(
  path: string,
  aside: string,
  { logger, clock }: { logger: Logger; clock: Clock },
): Promise<void> {
  const left = readRecord(aside)
  if (left) {
    const ended = []
    for (const child of left.children) if (await endProcess(child, clock)) ended.push(child)
    removeDataDirectories(path, left)
    logger[ended.length > 0 ? 'info' : 'debug'](
      { owner: left.owner.pid, ended },
      'cleaned up after a run that did not close',
    )
  } else {
    logger.warn(
      { file: aside },
      'the record of a killed run is unreadable; its processes, if any, are not known',
    )
  }
  rmSync(aside, { force: true })
}

/** Null when it is gone or not a record. */
function readRecord(file: string): RunRecord | null {
  try {
    return recordSchema.parse(JSON.parse(readFileSync(file, 'utf8')))
  } catch {
    return null
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
