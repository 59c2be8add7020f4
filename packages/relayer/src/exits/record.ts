import { appendFile, readFile } from 'node:fs/promises'
import { parseConfig, UserError, wordSchema } from '@clearspan/shared'
import { z } from 'zod'
import type { LastWordFile } from './file.js'

const noteSchema = z.object({ hubEpoch: z.number(), version: z.number(), root: wordSchema })

/**
 * Notes what is about to be signed, durably. One root of each version, for ever: with two, chains could be opened by different ones, and an account be
 * paid by both. @throws UserError where another root was noted, or the file can't be read.
 */
export async function noteSigned(path: string, { hubEpoch, version, root }: LastWordFile): Promise<void> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return ''
    throw new UserError(path, "can't be read: check the path and its permissions")
  })
  for (const line of text.split('\n').filter((one) => one !== '')) {
    const noted = parseConfig(noteSchema, jsonOf(line), `${path}, a line of it,`)
    if (noted.hubEpoch !== hubEpoch || noted.version !== version) continue
    if (noted.root === root) return
    throw new UserError(path, `says that version ${version} was signed with another root, ${noted.root}`)
  }
  const line = `${JSON.stringify({ hubEpoch, version, root })}\n`
  await appendFile(path, line, { flush: true, mode: 0o600 }).catch(() => {
    throw new UserError(path, "can't be written: check the path and its permissions")
  })
}

/** What isn't JSON is no note. */
function jsonOf(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}
