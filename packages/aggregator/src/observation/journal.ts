import { type FileHandle, mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { UserError } from '@clearspan/shared'
import type { Hex } from 'viem'
import { z } from 'zod'
import { replaceFile } from './files.js'

/** What a node binds itself to, once per slot each. */
export type CommitmentKind = 'observation' | 'proposal' | 'report'

/** Remembers on disk what was signed for each slot, so that no restart ever signs a second, different thing. */
export interface Journal {
  /**
   * Commits to `digest` for (kind, seq). True when it is now on disk, or was already: the caller may sign. False when another digest
   * is, or the slot is older than the journal remembers: the caller must not.
   */
  commit(kind: CommitmentKind, seq: bigint, digest: Hex): Promise<boolean>
  close(): Promise<void>
}

export interface JournalParameters {
  dataDir: string
  /** Whose promises these are; a journal of another network or key is refused. */
  networkId: Hex
  signer: Hex
}

/** Slots remembered after a start or a compaction; older ones are refused outright. */
const KEPT_SLOTS = 256n
/** Commitments in the file before it is compacted: several times what is kept, so that compacting stays rare. */
const MAX_ENTRIES = 2_048

const headerSchema = z.object({ networkId: z.string(), signer: z.string(), floor: z.string().regex(/^\d+$/) })
const entrySchema = z.object({
  kind: z.enum(['observation', 'proposal', 'report']),
  seq: z.string().regex(/^\d+$/),
  digest: z.custom<Hex>((value) => typeof value === 'string' && /^0x[0-9a-f]{64}$/.test(value)),
})
type Entry = z.infer<typeof entrySchema>

/**
 * Opens (or creates) `signed.jsonl` in the data directory: a header, then one line per commitment, fsynced before `commit` resolves.
 * It is compacted at each start and after every 2,048 entries, so neither the file nor the memory grows with time. Throws UserError when it belongs to another network or key, or is damaged before its last line.
 */
export async function openJournal({ dataDir, networkId, signer }: JournalParameters): Promise<Journal> {
  await mkdir(dataDir, { recursive: true })
  const path = join(dataDir, 'signed.jsonl')
  const { entries, floor: oldFloor } = await load(path, networkId, signer)
  const commitments = new Map(entries.map((entry) => [keyOf(entry), entry]))
  let floor = oldFloor
  let file: FileHandle | undefined
  await compact()
  let tail: Promise<unknown> = Promise.resolve()
  let broken = false

  /** Forgets old slots and replaces the file by what is kept. The floor is in the header, so what is forgotten stays refused. */
  async function compact() {
    const all = [...commitments.values()]
    const newest = all.reduce((max, { seq }) => (BigInt(seq) > max ? BigInt(seq) : max), 0n)
    if (newest - KEPT_SLOTS > floor) floor = newest - KEPT_SLOTS
    for (const [key, { seq }] of commitments) if (BigInt(seq) < floor) commitments.delete(key)
    const lines = [{ networkId, signer, floor: floor.toString() }, ...commitments.values()]
    const next = await replaceFile(path, lines.map((line) => `${JSON.stringify(line)}\n`).join(''))
    await file?.close()
    file = next
  }

  async function append(entry: Entry): Promise<void> {
    if (broken) return
    try {
      // A compaction writes the entry too, for it is in `commitments` already.
      if (commitments.size > MAX_ENTRIES) return await compact()
      await file?.appendFile(`${JSON.stringify(entry)}\n`)
      await file?.datasync()
    } catch (error) {
      // What reached the disk is unknown now: sign nothing more until a restart reads it.
      broken = true
      throw error
    }
  }

  return {
    async commit(kind, seq, digest) {
      if (seq < floor) return false
      const entry = { kind, seq: `${seq}`, digest }
      const existing = commitments.get(keyOf(entry))
      if (existing !== undefined && existing.digest !== digest) return false
      // Reserved before the write, so that two calls for one slot can't both find it free.
      commitments.set(keyOf(entry), entry)
      const written = existing === undefined ? tail.then(() => append(entry)) : tail
      tail = written.catch(() => {})
      await written
      return !broken
    },
    async close() {
      await tail
      await file?.close()
    },
  }
}

function keyOf({ kind, seq }: Pick<Entry, 'kind' | 'seq'>): string {
  return `${kind} ${seq}`
}

async function load(path: string, networkId: Hex, signer: Hex): Promise<{ entries: Entry[]; floor: bigint }> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT')
      return { entries: [], floor: 0n }
    throw error
  }
  // A line without its end was cut off by a crash before it was synced, so nothing was ever signed for it.
  const lines = text.split('\n').slice(0, -1)
  const damaged = (line: number) =>
    new UserError(`${path}:${line}`, 'is damaged; restore it, or retire this key: what it signed is unknown')
  const header = headerSchema.safeParse(parse(lines[0]))
  if (!header.success) throw damaged(1)
  if (header.data.networkId !== networkId || header.data.signer !== signer) {
    throw new UserError('dataDir', `${path} belongs to another network or key; use a directory of its own`)
  }
  const entries = lines.slice(1).map((line, index) => {
    const entry = entrySchema.safeParse(parse(line))
    if (!entry.success) throw damaged(index + 2)
    return entry.data
  })
  return { entries, floor: BigInt(header.data.floor) }
}

function parse(line: string | undefined): unknown {
  try {
    return JSON.parse(line ?? '')
  } catch {
    return undefined
  }
}
