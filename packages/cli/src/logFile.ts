import { mkdirSync, openSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { type LevelWithSilent, UserError } from '@clearspan/shared'

export type { LevelWithSilent }

/** A log file, opened at the first line, so that a start that is refused leaves nothing behind. */
export function destination(path: string): { write(line: string): void } {
  let fd: number | undefined
  return {
    write(line) {
      fd ??= open(path)
      writeSync(fd, line)
    },
  }
}

function open(path: string): number {
  try {
    mkdirSync(dirname(path), { recursive: true })
    return openSync(path, 'w')
  } catch (error) {
    throw new UserError('--dir', `${dirname(path)} can't be written (${(error as Error).message})`)
  }
}
