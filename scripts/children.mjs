// Programs that the scripts run. A signal that ends a script ends them first, with all that they started.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { constants } from 'node:os'

/** What a child may take to end after a signal before it is killed. */
const GRACE_MS = 5_000
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP']

/**
 * Runs a program to its end: its exit status, and its standard output where `stdio` pipes it.
 * It leads a process group, because forge leaves its compiler, and vitest its workers, to whoever ends the group.
 */
export async function run(command, args, options = {}) {
  const group = process.platform !== 'win32'
  const child = spawn(command, args, { stdio: ['ignore', 'inherit', 'inherit'], ...options, detached: group })
  const kill = (signal) => {
    try {
      if (group) process.kill(-child.pid, signal)
      else child.kill(signal)
    } catch {
      // It ended by itself meanwhile.
    }
  }
  let ending
  const end = (signal) => {
    kill(ending === undefined ? signal : 'SIGKILL')
    ending ??= signal
    setTimeout(kill, GRACE_MS, 'SIGKILL').unref()
  }
  for (const signal of SIGNALS) process.on(signal, end)
  const output = []
  child.stdout?.on('data', (data) => output.push(data))
  try {
    const [code, killedBy] = await once(child, 'close')
    if (ending !== undefined) {
      kill('SIGKILL')
      process.exit(128 + constants.signals[ending])
    }
    return {
      status: code ?? 128 + constants.signals[killedBy],
      stdout: Buffer.concat(output).toString('utf8'),
    }
  } finally {
    for (const signal of SIGNALS) process.off(signal, end)
  }
}
