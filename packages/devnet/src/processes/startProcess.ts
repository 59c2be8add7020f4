import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream, mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { PermanentError } from '@clearspan/shared'

/** Enough of a dying child's output to see why it died. */
const LAST_LINES = 20

export interface ProcessOptions {
  /** Name in logs and errors. */
  name: string
  command: string
  args: readonly string[]
  /** Receives stdout and stderr; replaced if it exists. */
  logFile: string
  /** The child's whole environment; left out, it inherits ours. */
  env?: Readonly<Record<string, string>>
  /** True for the line of output after which the child serves. */
  ready: (line: string) => boolean
  /** Real ms until a child that is not ready counts as failed; 30,000 if left out. */
  readyTimeoutMs?: number
  /** Real ms between SIGTERM and SIGKILL; 3,000 if left out. */
  stopTimeoutMs?: number
  /** Called in the tick in which the child exists, so that a record of it is written before anything else happens. */
  onSpawn?: (pid: number) => void
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
  const { name, command, args, env, ready, readyTimeoutMs = 30_000, stopTimeoutMs = 3_000 } = options
  mkdirSync(dirname(options.logFile), { recursive: true })
  const child = spawn(command, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
    windowsHide: true,
    ...(env && { env: { ...env } }),
  })
  // A write to a dead child's stdin is no event of ours: `exited` tells.
  child.stdin.on('error', () => {})
  const exited = exitOf(child)
  const stop = stopper(child, exited, stopTimeoutMs)
  const lines = captureLines(child, options.logFile)
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
    delay(readyTimeoutMs, 'timeout' as const, { signal: AbortSignal.any([waiting.signal, ...given]) }).catch(
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

function exitOf(child: ChildProcess): Promise<ProcessExit> {
  return new Promise((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }))
  })
}

function stopper(child: ChildProcess, exited: Promise<ProcessExit>, stopTimeoutMs: number) {
  return async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM')
    const timer = setTimeout(() => child.kill('SIGKILL'), stopTimeoutMs)
    try {
      return await exited
    } finally {
      clearTimeout(timer)
    }
  }
}

/** Copies both outputs to the log file, and lets a reader wait for a line and see the last ones. */
function captureLines(child: ChildProcess, logFile: string) {
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
    /** Resolves when all output is in the log file; a grandchild that holds the pipe may not delay us. */
    end: () => Promise.race([closed, delay(1_000, undefined, { ref: false })]),
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
