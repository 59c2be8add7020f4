import { constants, type FileHandle, mkdir, open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { replaceFile, UserError } from '@clearspan/shared'
import type { Hex } from 'viem'
import { z } from 'zod'

/** What a node binds itself to, once per slot each. */
export type CommitmentKind = 'observation' | 'proposal' | 'report'

/** Remembers on disk what was signed for each slot, so that no restart ever signs a second, different thing. */
export interface Journal {
  /**
   * Commits to `digest` for (kind, seq). True when it is now on disk, or was already: the caller may sign. False when another digest
   * is, or the slot is older than the journal remembers: the caller must not.
   */
  commit(kind: CommitmentKind, seq: bigint, digest: Hex): Promise<boolean>
  /**
   * Commits to the one successor of an epoch that this key will sign for, and to sign nothing of older epochs from its first slot on. True when
   * that is now on disk, or was already. False when another is, or a report of a slot that the successor takes is signed, or may have been:
   * an observation alone makes no report.
   */
  commitSuccessor(successor: Successor): Promise<boolean>
  /** All successors that were committed to. */
  successors(): Successor[]
  close(): Promise<void>
}

/** An epoch that this key has signed for, or that replaces a lost quorum. */
export interface Successor {
  epoch: number
  firstSeq: bigint
  /** Of the handover. */
  digest: Hex
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
const digestSchema = z.custom<Hex>((value) => typeof value === 'string' && /^0x[0-9a-f]{64}$/.test(value))
const slotEntrySchema = z.object({
  kind: z.enum(['observation', 'proposal', 'report']),
  seq: z.string().regex(/^\d+$/),
  digest: digestSchema,
})
const successorEntrySchema = z.object({
  kind: z.literal('successor'),
  epoch: z.number().int().positive(),
  /** Its first slot. */
  seq: z.string().regex(/^\d+$/),
  digest: digestSchema,
})
const entrySchema = z.discriminatedUnion('kind', [slotEntrySchema, successorEntrySchema])
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
    const all = [...commitments.values()].filter(({ kind }) => kind !== 'successor')
    const newest = all.reduce((max, { seq }) => (BigInt(seq) > max ? BigInt(seq) : max), 0n)
    if (newest - KEPT_SLOTS > floor) floor = newest - KEPT_SLOTS
    // A successor is for ever: what it took from older epochs stays taken.
    for (const [key, { kind, seq }] of commitments)
      if (kind !== 'successor' && BigInt(seq) < floor) commitments.delete(key)
    const lines = [{ networkId, signer, floor: floor.toString() }, ...commitments.values()]
    const next = await replaceFile(path, lines.map((line) => `${JSON.stringify(line)}\n`).join(''))
    await next.close()
    await file?.close()
    // A write is durable when it returns: one call into the kernel a commitment, not two, on the way of every signature.
    file = await open(path, constants.O_WRONLY | constants.O_APPEND | constants.O_DSYNC)
  }

  async function write(line: string): Promise<void> {
    const bytes = Buffer.from(line)
    const { bytesWritten } = (await file?.write(bytes)) ?? { bytesWritten: 0 }
    if (bytesWritten !== bytes.length) throw new Error('the disk took a part of a commitment only')
  }

  async function append(entry: Entry): Promise<void> {
    if (broken) return
    try {
      // A compaction writes the entry too, for it is in `commitments` already.
      if (commitments.size > MAX_ENTRIES) return await compact()
      await write(`${JSON.stringify(entry)}\n`)
    } catch (error) {
      // What reached the disk is unknown now: sign nothing more until a restart reads it.
      broken = true
      throw error
    }
  }

  async function commit(entry: Entry): Promise<boolean> {
    const existing = commitments.get(keyOf(entry))
    if (existing !== undefined && existing.digest !== entry.digest) return false
    // Reserved before the write, so that two calls for one slot can't both find it free.
    commitments.set(keyOf(entry), entry)
    const written = existing === undefined ? tail.then(() => append(entry)) : tail
    tail = written.catch(() => {})
    await written
    return !broken
  }

  return {
    async commit(kind, seq, digest) {
      return seq >= floor && commit({ kind, seq: `${seq}`, digest })
    },
    async commitSuccessor({ epoch, firstSeq, digest }) {
      const entry: Entry = { kind: 'successor', epoch, seq: `${firstSeq}`, digest }
      const isLate =
        firstSeq < floor ||
        [...commitments.values()].some(({ kind, seq }) => kind === 'report' && BigInt(seq) >= firstSeq)
      if (isLate && !commitments.has(keyOf(entry))) return false
      return commit(entry)
    },
    successors: () =>
      [...commitments.values()].flatMap((entry) => {
        if (entry.kind !== 'successor') return []
        return { epoch: entry.epoch, firstSeq: BigInt(entry.seq), digest: entry.digest }
      }),
    async close() {
      await tail
      await file?.close()
    },
  }
}

function keyOf(entry: Entry): string {
  return entry.kind === 'successor' ? `successor ${entry.epoch}` : `${entry.kind} ${entry.seq}`
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
