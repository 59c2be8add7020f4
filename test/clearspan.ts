import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type ClosingReport, openRunDirectory } from '@clearspan/devnet'
import { createLogger, systemClock } from '@clearspan/shared'

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

/** The directory in which a test's networks run, below its temporary directory. */
const RUN = 'run'
const started = new Map<string, Run[]>()

/** A directory for one test. Removing it first ends what the test, failed half-way perhaps, has left running in it. */
export async function temporaryDirectory(): Promise<{ path: string; remove: () => Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'clearspan-test-'))
  return {
    path,
    async remove() {
      for (const { child, exited } of started.get(path) ?? []) {
        child.kill('SIGKILL')
        await exited
      }
      started.delete(path)
      // As the next start would: it ends exactly what a killed one has left.
      const logger = createLogger({ name: 'test', level: 'silent' })
      await (await openRunDirectory({ path: join(path, RUN), logger, clock: systemClock })).close()
      await rm(path, { recursive: true, force: true })
    },
  }
}

/** Starts `clearspan ARGS` in `dir`. */
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
  const run: Run = {
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
  started.set(dir, [...(started.get(dir) ?? []), run])
  return run
}

/** Starts a network on free ports, with its run directory below `dir`. */
export function startNetwork(dir: string, args: readonly string[], env: Record<string, string> = {}): Run {
  return clearspan(dir, ['start', '--dir', RUN, '--ports', '0,0,0', ...args], env)
}

/** Plays a whole story with `start --exit` on free ports; throws with all output when it left no report. */
export async function playedStory(
  dir: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<{ code: number | null; report: ClosingReport; output: string }> {
  const json = join(dir, 'report.json')
  const run = startNetwork(dir, ['--exit', '--json', json, ...args], env)
  const { code } = await run.exited
  return { code, report: await readReport(run, json), output: `${run.stdout()}${run.stderr()}` }
}

/** The report that a run wrote; throws with all its output when it left none. */
export async function readReport(run: Run, json: string): Promise<ClosingReport> {
  const text = await readFile(json, 'utf8').catch(() => {
    throw new Error(`no report:\n${run.stdout()}${run.stderr()}`)
  })
  return JSON.parse(text) as ClosingReport
}

/** The children that the network in `dir` has recorded: pids by name. */
export async function recordedChildren(dir: string): Promise<Map<string, number>> {
  const record = JSON.parse(await readFile(join(dir, RUN, 'run.json'), 'utf8')) as {
    children: { name: string; pid: number }[]
  }
  return new Map(record.children.map(({ name, pid }) => [name, pid]))
}

/** What a network in `dir` has left behind that the next start would have to clean up: processes by command line, records and data. */
export function leftBehind(dir: string): string[] {
  const files = readdirSync(dir).includes(RUN) ? readdirSync(join(dir, RUN)) : []
  return [
    ...commandLines().filter((line) => line.includes(dir)),
    ...files.filter((name) => name.startsWith('run.json') || /^(chain|oracle)-\w+$|^queue$/.test(name)),
  ]
}

/** Command lines of all processes that this user may see. A zombie has none. */
function commandLines(): string[] {
  if (process.platform !== 'linux')
    return execFileSync('ps', ['-A', '-o', 'args='], { encoding: 'utf8' }).split('\n')
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
      } catch {
        return '' // it ended meanwhile
      }
    })
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

/** One JSON-RPC request. */
export async function rpc(url: string, method: string, params: unknown[]): Promise<string> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
  })
  const { result, error } = (await response.json()) as { result?: string; error?: { message: string } }
  if (error) throw new Error(`${method}: ${error.message}`)
  return result ?? ''
}
