import { mkdirSync, openSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import type { LevelWithSilent } from '@clearspan/shared'

export type { LevelWithSilent }

/**
 * A log file, opened at the first line, so that a start that is refused leaves nothing behind. Writing never throws: a line that can't be
 * written is lost, since whoever logs has better to do than to mind the disk. `complain` hears of the first in a row.
 */
export function destination(
  path: string,
  complain: (line: string) => void = (line) => void process.stderr.write(line),
): { write(line: string): void } {
  let fd: number | undefined
  let losing = false
  return {
    write(line) {
      try {
        fd ??= open(path)
        writeSync(fd, line)
        losing = false
      } catch (error) {
        if (!losing) complain(`log lines are lost: ${path} can't be written (${(error as Error).message})\n`)
        losing = true
      }
    },
  }
}

function open(path: string): number {
  mkdirSync(dirname(path), { recursive: true })
  return openSync(path, 'w')
}
