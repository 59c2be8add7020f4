import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import type { Clock } from '@clearspan/shared'
import { z } from 'zod'

export const processIdSchema = z.object({
  pid: z.number().int().positive(),
  /** When the process started, in the system's own words; null where the system does not tell. */
  startedAt: z.string().nullable(),
})

/** A process for ever: numbers are used again, a number with its start time is not. */
export type ProcessId = z.infer<typeof processIdSchema>

/** Identifies a running process; `startedAt` is null when it is gone or the system does not tell. */
export function processId(pid: number): ProcessId {
  return { pid, startedAt: startTime(pid) }
}

/** Whether exactly this process still runs. Unknown start times count as not running: never end a stranger. */
export function isRunning({ pid, startedAt }: ProcessId): boolean {
  return startedAt !== null && startTime(pid) === startedAt
}

/** Ends exactly this process, by SIGKILL, and waits until it is gone; false if it was not running. */
export async function endProcess(id: ProcessId, clock: Clock, timeoutMs = 5_000): Promise<boolean> {
  if (!isRunning(id)) return false
  try {
    process.kill(id.pid, 'SIGKILL')
  } catch {
    return false // gone since, or another user's and so not ours
  }
  for (let waited = 0; isRunning(id) && waited < timeoutMs; waited += 10) await clock.sleep(10)
  return true
}

function startTime(pid: number): string | null {
  if (process.platform === 'linux') return linuxStartTime(pid)
  if (process.platform === 'win32') return null
  try {
    return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim() || null
  } catch {
    return null
  }
}

/** Field 22 of /proc/PID/stat counts from boot, so the boot's id belongs to it. */
function linuxStartTime(pid: number): string | null {
  if (!existsSync(`/proc/${pid}/stat`)) return null
  try {
    // The command name, in parentheses, may itself hold spaces and parentheses.
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const [state, ticks] = [fields[0], fields[19]]
    // A zombie has ended; only its parent has not asked yet.
    if (state === undefined || ticks === undefined || 'ZX'.includes(state)) return null
    return `${ticks}@${readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()}`
  } catch {
    return null
  }
}
