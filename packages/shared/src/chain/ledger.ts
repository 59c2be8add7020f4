import { type FileHandle, mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Address, Hash, Hex } from 'viem'
import { z } from 'zod'
import { UserError } from '../errors.js'
import { replaceFile } from '../files.js'
import { lockDirectory } from '../queue/directory-lock.js'
import type { Candidate } from './transaction.js'

/** What became of a nonce. `signed` adds a candidate: every version of a transaction stays until the nonce is final. */
export type LedgerRecord =
  | { nonce: number; state: 'reserved'; label: string }
  | {
      nonce: number
      state: 'signed'
      hash: Hash
      raw: Hex
      maxFeePerGas: string
      maxPriorityFeePerGas: string
      cancels: boolean
    }
  | { nonce: number; state: 'broadcast'; hash: Hash }
  | { nonce: number; state: 'mined'; hash: Hash; block: string; blockHash: Hash }
  /** Deep enough, or taken by another's transaction; `released` in older files: refused by a node and given out again. */
  | { nonce: number; state: 'final' | 'foreign' | 'released' }

/** A nonce that a process before this one left neither final nor free. */
export interface LedgerEntry {
  nonce: number
  label: string
  /** Oldest first; never empty. */
  candidates: Candidate[]
  mined: { hash: Hash; block: bigint; blockHash: Hash } | undefined
}

/** Remembers on disk what one signer signed on one chain. */
export interface Ledger {
  /** What the file held when it was opened. */
  readonly left: readonly LedgerEntry[]
  /** The nonce after the highest that the file has ever named; undefined for a new file. */
  readonly next: number | undefined
  /** Writes records; they are on disk when it resolves. @throws when the disk fails, and from then on. */
  append(records: readonly LedgerRecord[]): Promise<void>
  /** Waits for what is being written, and unlocks. Idempotent. */
  close(): Promise<void>
}

export interface LedgerOptions {
  /** Parent directory of all ledgers of a process. */
  directory: string
  /** A ledger of another network is refused: its transactions would be valid on a new chain of the same id. */
  networkId: Hex
  chainId: number
  signer: Address
}

/** Lines after which the file is replaced by what is still open. */
const COMPACT_AFTER = 4_096

const hash = z.custom<Hash>((value) => typeof value === 'string' && /^0x[0-9a-f]{64}$/.test(value))
const hex = z.custom<Hex>((value) => typeof value === 'string' && /^0x[0-9a-f]*$/.test(value))
const digits = z.string().regex(/^\d+$/)
const nonce = z.number().int().min(0)
const headerSchema = z.object({ networkId: z.string(), chainId: z.number(), signer: z.string(), next: nonce })
const recordSchema = z.discriminatedUnion('state', [
  z.object({ nonce, state: z.literal('reserved'), label: z.string() }),
  z.object({
    nonce,
    state: z.literal('signed'),
    hash,
    raw: hex,
    maxFeePerGas: digits,
    maxPriorityFeePerGas: digits,
    cancels: z.boolean(),
  }),
  z.object({ nonce, state: z.literal('broadcast'), hash }),
  z.object({ nonce, state: z.literal('mined'), hash, block: digits, blockHash: hash }),
  z.object({ nonce, state: z.literal('final') }),
  z.object({ nonce, state: z.literal('foreign') }),
  z.object({ nonce, state: z.literal('released') }),
])

/**
 * Opens (or creates) `CHAINID-SIGNER/nonces.jsonl`: a header, then one line per record. What a crash cut off was never broadcast and is
 * ignored. Nothing outstanding is decided by it: without it a sender starts from the chain, and may only pay for a transaction twice.
 * @throws UserError when another process holds it, it belongs to another network, or it is damaged before its last line.
 */
export async function openLedger({ directory, networkId, chainId, signer }: LedgerOptions): Promise<Ledger> {
  const own = join(directory, `${chainId}-${signer.toLowerCase()}`)
  await mkdir(own, { recursive: true })
  const unlock = await lockDirectory(own, 'a ledger of nonces')
  const path = join(own, 'nonces.jsonl')
  try {
    const header = { networkId, chainId, signer: signer.toLowerCase() }
    const loaded = await load(path, header)
    return await keep(path, header, loaded, unlock)
  } catch (error) {
    await unlock()
    throw error
  }
}

type Header = Omit<z.infer<typeof headerSchema>, 'next'>
interface Loaded {
  records: LedgerRecord[]
  next: number | undefined
}

async function keep(
  path: string,
  header: Header,
  loaded: Loaded,
  unlock: () => Promise<void>,
): Promise<Ledger> {
  const book = new Map<number, LedgerRecord[]>()
  let next = loaded.next ?? 0
  let file: FileHandle | undefined
  let lines = 0
  let writing: Promise<void> = Promise.resolve()
  let queued: { records: LedgerRecord[]; written: Promise<void> } | undefined
  let failure: unknown
  let closing: Promise<void> | undefined

  function enter(record: LedgerRecord): void {
    next = Math.max(next, record.nonce + 1)
    if (record.state === 'final' || record.state === 'foreign' || record.state === 'released')
      book.delete(record.nonce)
    else book.set(record.nonce, [...(book.get(record.nonce) ?? []), record])
  }

  async function compact(): Promise<void> {
    const open = [...book.values()].flat()
    const text = [{ ...header, next }, ...open].map((line) => `${JSON.stringify(line)}\n`).join('')
    const replaced = await replaceFile(path, text)
    await file?.close()
    file = replaced
    lines = open.length
  }

  /** All that came while the last write was under way is one write and one sync. */
  async function write(records: readonly LedgerRecord[]): Promise<void> {
    if (failure !== undefined) throw failure
    try {
      for (const record of records) enter(record)
      lines += records.length
      if (lines > COMPACT_AFTER && lines > 2 * book.size) return await compact()
      await file?.appendFile(records.map((record) => `${JSON.stringify(record)}\n`).join(''))
      await file?.datasync()
    } catch (error) {
      // What reached the disk is unknown now: nothing more is signed until a restart reads it.
      failure = error
      throw error
    }
  }

  for (const record of loaded.records) enter(record)
  const left = [...book].flatMap(([at, records]) => toEntry(at, records))
  await compact()

  return {
    left,
    next: loaded.next === undefined ? undefined : next,
    append(records) {
      if (queued === undefined) {
        const batch: { records: LedgerRecord[]; written: Promise<void> } = { records: [], written: writing }
        batch.written = writing
          .catch(() => {})
          .then(() => {
            queued = undefined
            return write(batch.records)
          })
        writing = batch.written
        // Whoever appended hears of a failure; the chain of writes goes on.
        writing.catch(() => {})
        queued = batch
      }
      queued.records.push(...records)
      return queued.written
    },
    close() {
      closing ??= (async () => {
        await writing.catch(() => {})
        await file?.close()
        await unlock()
      })()
      return closing
    },
  }
}

/** Nothing for a nonce that was reserved and never signed: no bytes of it can have left. */
function toEntry(at: number, records: readonly LedgerRecord[]): LedgerEntry[] {
  const entry: LedgerEntry = { nonce: at, label: 'unknown', candidates: [], mined: undefined }
  for (const record of records) {
    if (record.state === 'reserved') entry.label = record.label
    if (record.state === 'signed') {
      const { hash, raw, cancels } = record
      const fees = {
        maxFeePerGas: BigInt(record.maxFeePerGas),
        maxPriorityFeePerGas: BigInt(record.maxPriorityFeePerGas),
      }
      entry.candidates.push({ nonce: at, hash, raw, cancels, fees })
    }
    if (record.state === 'broadcast') entry.mined = undefined
    if (record.state === 'mined')
      entry.mined = { hash: record.hash, block: BigInt(record.block), blockHash: record.blockHash }
  }
  return entry.candidates.length === 0 ? [] : [entry]
}

async function load(path: string, header: Header): Promise<Loaded> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT')
      return { records: [], next: undefined }
    throw error
  }
  // A line without its end was cut off by a crash before it was synced, so its bytes never left.
  const lines = text.split('\n').slice(0, -1)
  const damaged = (line: number) =>
    new UserError(
      `${path}:${line}`,
      'is damaged; move the file away: what is outstanding is read from the chain',
    )
  const found = headerSchema.safeParse(parse(lines[0]))
  if (!found.success) throw damaged(1)
  const { networkId, chainId, signer, next } = found.data
  if (networkId !== header.networkId || chainId !== header.chainId || signer !== header.signer)
    throw new UserError(path, 'belongs to another network or key; give this one a directory of its own')
  const records = lines.slice(1).map((line, index): LedgerRecord => {
    const record = recordSchema.safeParse(parse(line))
    if (!record.success) throw damaged(index + 2)
    return record.data
  })
  return { records, next }
}

function parse(line: string | undefined): unknown {
  try {
    return JSON.parse(line ?? '')
  } catch {
    return undefined
  }
}
