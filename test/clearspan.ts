import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ClosingReport } from '@clearspan/devnet'

const MAIN = fileURLToPath(new URL('../packages/cli/dist/main.js', import.meta.url))

/** A run of the built command line, in a directory of its own. */
export interface Run {
  dir: string
  child: ChildProcess
  /** Everything that it has printed so far. */
  stdout(): string
  stderr(): string
  /** Resolves at the first line of standard output that matches; rejects when it ends before. */
  line(pattern: RegExp): Promise<string>
  exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
}

export async function temporaryDirectory(): Promise<{ path: string; remove: () => Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'clearspan-test-'))
  return { path, remove: () => rm(path, { recursive: true, force: true }) }
}

/** Starts `clearspan ARGS`; `dir` becomes its run directory when the command is `start`. */
export function clearspan(
  dir: string,
  args: readonly string[],
  env: Record<string, string> = {},
  stdin: 'ended' | 'open' = 'ended',
): Run {
  const { PATH = '', HOME = '' } = process.env
  const child = spawn(process.execPath, [MAIN, ...args], {
    cwd: dir,
    env: { PATH, HOME, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  if (stdin === 'ended') child.stdin.end()
  let stdout = ''
  let stderr = ''
  const waiters = new Set<() => void>()
  child.stdout.on('data', (data: Buffer) => {
    stdout += data.toString()
    for (const waiter of waiters) waiter()
  })
  child.stderr.on('data', (data: Buffer) => {
    stderr += data.toString()
  })
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal }))
  })
  return {
    dir,
    child,
    stdout: () => stdout,
    stderr: () => stderr,
    exited,
    line: (pattern) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const found = stdout.split('\n').find((text) => pattern.test(text))
          if (found === undefined) return
          waiters.delete(look)
          resolve(found)
        }
        waiters.add(look)
        look()
        void exited.then(({ code }) =>
          reject(new Error(`ended with ${code} before ${pattern}: ${stdout}${stderr}`)),
        )
      }),
  }
}

/** Plays a whole story with `start --exit` on free ports; throws with all output when it left no report. */
export async function playedStory(
  dir: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<{ code: number | null; report: ClosingReport; output: string }> {
  const json = join(dir, 'report.json')
  const run = clearspan(
    dir,
    ['start', '--exit', '--json', json, '--dir', join(dir, 'run'), '--ports', '0,0,0', ...args],
    env,
  )
  const { code } = await run.exited
  const output = `${run.stdout()}${run.stderr()}`
  const text = await readFile(json, 'utf8').catch(() => {
    throw new Error(`no report, status ${code}:\n${output}`)
  })
  return { code, report: JSON.parse(text) as ClosingReport, output }
}

/** Pids of the children that a run recorded. */
export async function recordedChildren(dir: string): Promise<number[]> {
  const record = JSON.parse(await readFile(join(dir, 'run.json'), 'utf8')) as { children: { pid: number }[] }
  return record.children.map(({ pid }) => pid)
}

/** Whether a process runs. A zombie has ended; only whoever inherited it has not asked yet. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    if (process.platform !== 'linux') return true
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}
