import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { UserError } from '../errors.js'

/** Tells this process from an earlier one that had the same id, as happens in containers. */
const PROCESS_START = Math.round(performance.timeOrigin)

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return codeOf(error) === 'EPERM'
  }
}

/** Whether a lock file's text names a process that still runs. */
function isHeld(text: string): boolean {
  const [pid, startedAt] = text.split(' ').map(Number)
  if (pid === undefined || !Number.isSafeInteger(pid) || pid <= 0) return false
  return pid === process.pid ? startedAt === PROCESS_START : isAlive(pid)
}

/**
 * Reserves `directory` (created when absent) for this process; what lies in it bears no second one.
 * A lock left by a dead process is taken over. Answers the release. `purpose` completes "can't be used as".
 * @throws UserError when a running process holds it or it can't be written.
 */
export async function lockDirectory(directory: string, purpose: string): Promise<() => Promise<void>> {
  const file = join(directory, 'lock')
  try {
    await mkdir(directory, { recursive: true })
    for (;;) {
      try {
        await writeFile(file, `${process.pid} ${PROCESS_START}`, { flag: 'wx' })
        return () => rm(file, { force: true })
      } catch (error) {
        if (codeOf(error) !== 'EEXIST') throw error
      }
      const text = await readFile(file, 'utf8').catch(() => '')
      if (isHeld(text))
        throw new UserError(
          directory,
          `is in use by process ${text.split(' ')[0]}: end it, or give this one a directory of its own`,
        )
      await rm(file, { force: true })
    }
  } catch (error) {
    if (error instanceof UserError) throw error
    throw new UserError(directory, `can't be used as ${purpose} (${String(codeOf(error))})`)
  }
}
