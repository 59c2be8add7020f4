import { createReadStream, createWriteStream } from 'node:fs'
import { type FileHandle, mkdir, open, readdir, rename, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createGunzip, createGzip } from 'node:zlib'
import { type Logger, PermanentError } from '@clearspan/shared'

/** A segment that is written or was left by a crash, or one that is packed; hidden while it is being packed. */
const NAME = /^\.?segment-(\d{8})\.jsonl(?:\.gz)?$/

/** The numbered segments of a data directory. */
export interface Segments {
  /** Opens a new one and drops the oldest of those that are too many. */
  next(): Promise<{ path: string; file: FileHandle }>
  /** Packs a closed one beside all else; what fails or is ended leaves it as it is. */
  pack(path: string): void
  close(): Promise<void>
}

/** `maxSegments`: how many are kept, the newest included. Throws when the directory can't be made. */
export async function openSegments(dataDir: string, maxSegments: number, logger: Logger): Promise<Segments> {
  const directory = join(dataDir, 'segments')
  await mkdir(directory, { recursive: true })
  const ending = new AbortController()
  let packing: Promise<void> = Promise.resolve()

  /** File names by number. */
  async function list(): Promise<Map<number, string[]>> {
    const byNumber = new Map<number, string[]>()
    for (const name of await readdir(directory)) {
      const number = Number(NAME.exec(name)?.[1] ?? 0)
      if (number > 0) byNumber.set(number, [...(byNumber.get(number) ?? []), name])
    }
    return byNumber
  }

  /** Around a change of epochs two recordings share the directory: a number that the other takes first is passed over. */
  async function openNext(above: number): Promise<{ path: string; file: FileHandle }> {
    const path = join(directory, `segment-${String(above + 1).padStart(8, '0')}.jsonl`)
    try {
      return { path, file: await open(path, 'ax') }
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return openNext(above + 1)
      throw error
    }
  }

  async function pack(path: string) {
    const part = join(directory, `.${basename(path)}.gz`)
    try {
      const output = createWriteStream(part, { flush: true })
      await pipeline(createReadStream(path), createGzip(), output, { signal: ending.signal })
      await rename(part, `${path}.gz`)
      await rm(path, { force: true })
    } catch (err) {
      if (!ending.signal.aborted) logger.warn({ err, path }, 'segment stays unpacked')
      await rm(part, { force: true }).catch(() => {})
    }
  }

  return {
    async next() {
      const existing = await list()
      const numbers = [...existing.keys()].sort((a, b) => a - b)
      const opened = await openNext(numbers.at(-1) ?? 0)
      for (const number of numbers.slice(0, Math.max(0, numbers.length + 1 - maxSegments))) {
        for (const name of existing.get(number) ?? []) await rm(join(directory, name), { force: true })
      }
      return opened
    },
    pack(path) {
      packing = packing.then(() => pack(path))
    },
    async close() {
      ending.abort()
      await packing
    },
  }
}

/** Paths of the whole or unfinished segments of a data directory, newest first; none without the directory. */
export async function segmentPaths(dataDir: string): Promise<string[]> {
  const directory = join(dataDir, 'segments')
  const names = await readdir(directory).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
    throw error
  })
  const whole = names.filter((name) => NAME.test(name) && !name.startsWith('.'))
  return whole
    .sort()
    .reverse()
    .map((name) => join(directory, name))
}

/** A segment's text, packed or not, handed to `read`. Throws PermanentError for a packed one that isn't whole. */
export async function withSegment<T>(
  path: string,
  read: (chunks: AsyncIterable<string>) => Promise<T>,
): Promise<T> {
  const bytes = createReadStream(path)
  if (!path.endsWith('.gz')) return read(bytes.setEncoding('utf8'))
  // The error of `read` itself: the pipeline may answer another, of the streams that it ends because of it.
  let failure: { error: unknown } | undefined
  const guarded = async (chunks: AsyncIterable<string>) => {
    try {
      return await read(chunks)
    } catch (error) {
      failure = { error }
      throw error
    }
  }
  try {
    return await pipeline(bytes, createGunzip().setEncoding('utf8'), guarded)
  } catch (caught) {
    const error = failure ? failure.error : caught
    const isPacking = error instanceof Error && 'code' in error && String(error.code).startsWith('Z_')
    throw isPacking ? new PermanentError(`${path}: is damaged: it can't be unpacked`) : error
  }
}
