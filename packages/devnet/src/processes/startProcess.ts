import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream, mkdirSync } from 'node:fs'
import type { Server } from 'node:net'
import { dirname } from 'node:path'
import { createInterface } from 'node:readline'
import { type Clock, PermanentError } from '@clearspan/shared'

/** Enough of a dying child's output to see why it died. */
const LAST_LINES = 20

/** What may keep a log open after its child is gone (a grandchild that holds the pipe) delays us no longer, real ms. */
const FLUSH_MS = 1_000

/** The file descriptor at which a child finds the socket that it inherits. */
export const INHERITED_FD = 3

export interface ProcessOptions {
  /** Name in logs and errors. */
  name: string
  command: string
  args: readonly string[]
  /** Receives stdout and stderr; replaced if it exists. */
  logFile: string
  /** The child's whole environment; left out, it inherits ours. */
  env?: Readonly<Record<string, string>>
  /**
   * A listening socket that the child takes over as INHERITED_FD; ours is closed as soon as it has it. So a port is never free between its
   * choice and its use.
   */
  inherit?: Server
  /** True for the line of output after which the child serves. */
  ready: (line: string) => boolean
  /** Real ms until a child that is not ready counts as failed; 30,000 if left out. */
  readyTimeoutMs?: number
  /** Real ms between SIGTERM and SIGKILL; 3,000 if left out. */
  stopTimeoutMs?: number
  /** Called in the tick in which the child exists, so that a record of it is written before anything else happens. */
  onSpawn?: (pid: number) => void
  /** Real time. */
  clock: Clock
  /** Gives up the start; once the child is ready it has no effect. */
  signal?: AbortSignal
}

export interface ProcessExit {
  code: number | null
  signal: NodeJS.Signals | null
}

export interface ManagedProcess {
  name: string
  pid: number
  /** The line that `ready` accepted. */
  readyLine: string
  /** Resolves when the child is gone, however it went. */
  exited: Promise<ProcessExit>
  /** SIGTERM, then SIGKILL after the bound; resolves when the child is gone and its log written. Harmless when repeated. */
  stop(): Promise<ProcessExit>
}

/**
 * Starts a child and resolves when it says that it is ready. It gets a process group of its own, so that Ctrl-C in a
 * terminal reaches only us and we decide the order in which children end; and a pipe as stdin, whose end tells a child
 * that cares that we are gone.
 *
 * Throws PermanentError, with the child's last lines, when it cannot be started, ends early, or is not ready in time;
 * it is gone by then.
 */
export async function startProcess(options: ProcessOptions): Promise<ManagedProcess> {
  const { name, command, args, env, inherit, clock, ready } = options
  const { readyTimeoutMs = 30_000, stopTimeoutMs = 3_000 } = options
  mkdirSync(dirname(options.logFile), { recursive: true })
  const child = spawn(command, args, {
    stdio: ['pipe', 'pipe', 'pipe', ...(inherit ? [descriptorOf(inherit)] : [])],
    detached: true,
    windowsHide: true,
    ...(env && { env: { ...env } }),
  })
  inherit?.close()
  // A write to a dead child's stdin is no event of ours: `exited` tells.
  child.stdin?.on('error', () => {})
  const exited = exitOf(child)
  const stop = stopper(child, exited, { clock, stopTimeoutMs })
  const lines = captureLines(child, options.logFile, clock)
  if (child.pid === undefined) {
    const [error] = (await once(child, 'error')) as [Error]
    throw new PermanentError(`${name} cannot be started: ${error.message}`, { cause: error })
  }
  options.onSpawn?.(child.pid)

  const waiting = new AbortController()
  const given = options.signal ? [options.signal] : []
  const outcome = await Promise.race([
    lines.first(ready),
    exited,
    clock.sleep(readyTimeoutMs, AbortSignal.any([waiting.signal, ...given])).then(
      () => 'timeout' as const,
      () => 'given up' as const,
    ),
  ])
  waiting.abort()
  if (typeof outcome === 'object' && 'line' in outcome) {
    const stopAndFlush = async () => {
      const exit = await stop()
      await lines.end()
      return exit
    }
    return { name, pid: child.pid, readyLine: outcome.line, exited, stop: stopAndFlush }
  }
  await stop()
  await lines.end()
  if (outcome === 'given up') throw new PermanentError(`${name} was stopped before it was ready`)
  const how =
    outcome === 'timeout'
      ? `was not ready after ${readyTimeoutMs} ms`
      : `ended before it was ready (${outcome.signal ?? `status ${outcome.code}`})`
  throw new PermanentError(
    `${name} ${how}; its last lines, from ${options.logFile}:\n${lines.last().join('\n')}`,
  )
}

/** Node documents no way to a server's descriptor, but has had this one since its first versions. */
function descriptorOf(server: Server): number {
  const { _handle } = server as unknown as { _handle: { fd: number } | null }
  if (_handle === null) throw new RangeError('a socket that does not listen cannot be inherited')
  return _handle.fd
}

function exitOf(child: ChildProcess): Promise<ProcessExit> {
  return new Promise((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }))
  })
}

function stopper(
  child: ChildProcess,
  exited: Promise<ProcessExit>,
  { clock, stopTimeoutMs }: { clock: Clock; stopTimeoutMs: number },
) {
  return async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM')
    const gone = new AbortController()
    clock.sleep(stopTimeoutMs, gone.signal).then(
      () => child.kill('SIGKILL'),
      () => {}, // it ended in time
    )
    try {
      return await exited
    } finally {
      gone.abort()
    }
  }
}

/** Copies both outputs to the log file, and lets a reader wait for a line and see the last ones. */
function captureLines(child: ChildProcess, logFile: string, clock: Clock) {
  const log = createWriteStream(logFile)
  // A full disk must not take the network down; the child's life is followed by its exit alone.
  log.on('error', () => {})
  const last: string[] = []
  const readers = new Set<(line: string) => void>()
  const closed = new Promise<void>((resolve) => {
    child.once('close', () => log.end(() => resolve()))
  })
  for (const stream of [child.stdout, child.stderr]) {
    if (!stream) continue
    stream.pipe(log, { end: false })
    createInterface({ input: stream }).on('line', (line) => {
      if (last.push(line) > LAST_LINES) last.shift()
      for (const reader of readers) reader(line)
    })
  }
  return {
    last: () => last,
    /** Resolves when all output is in the log file. */
    async end() {
      const flushed = new AbortController()
      await Promise.race([closed, clock.sleep(FLUSH_MS, flushed.signal).catch(() => {})])
      flushed.abort()
    },
    first: (matches: (line: string) => boolean) =>
      new Promise<{ line: string }>((resolve) => {
        const reader = (line: string) => {
          if (!matches(line)) return
          readers.delete(reader)
          resolve({ line })
        }
        readers.add(reader)
      }),
  }
}
