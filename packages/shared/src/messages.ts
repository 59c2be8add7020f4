import { type Address, concatHex, getAddress, type Hex, numberToHex, size, sliceHex } from 'viem'
import { PermanentError } from './errors.js'

/** Totals of one token in a spoke's vault, token decimals. */
export interface TokenTotals {
  token: Address
  totalIn: bigint
  totalOut: bigint
  /** max(0, in − out − balance). */
  shortfall: bigint
}

/** One deposit counter: what an account has deposited of a token, ever. Token decimals. */
export interface CounterRow {
  account: Hex
  /** Index in `tokens`. */
  tokenIndex: number
  depositedIn: bigint
}

/** Spoke to hub: the vault's counters as they stood at `time` (seconds of its block). No rows: a heartbeat. */
export interface CountersMessage {
  epoch: number
  time: bigint
  tokens: TokenTotals[]
  rows: CounterRow[]
}

/** What the hub has credited of a token, ever. Token decimals. */
export interface TokenCredit {
  token: Address
  /** Epoch of the vault that holds it. */
  epoch: number
  creditedTotal: bigint
}

/** One release counter: what the hub has released to a recipient for an account, ever. Token decimals. */
export interface ReleaseRow {
  account: Hex
  recipient: Address
  /** Index in `tokens`. */
  tokenIndex: number
  released: bigint
}

/** Hub to spoke: the clearinghouse's counters as they stood at `time` (seconds of its block). No rows: a heartbeat. */
export interface ReleasesMessage {
  epoch: number
  time: bigint
  tokens: TokenCredit[]
  rows: ReleaseRow[]
}

const VERSION = 1
const COUNTERS = 1
const RELEASES = 2

const HEADER_BYTES = 15
const TOTALS_BYTES = 68
const COUNTER_ROW_BYTES = 49
const CREDIT_BYTES = 40
const RELEASE_ROW_BYTES = 69

/**
 * Encodes `version u8 | kind u8 | epoch u32 | time u64 | nTokens u8 | tokens | nRows u16 | rows`, big-endian: the exact
 * twin of the contracts' CounterMessages. A number that doesn't fit its field throws viem's IntegerOutOfRangeError.
 */
export function encodeCounters({ epoch, time, tokens, rows }: CountersMessage): Hex {
  return concatHex([
    ...header(COUNTERS, epoch, time, tokens.length),
    ...tokens.flatMap((t) => [address(t.token), u128(t.totalIn), u128(t.totalOut), u128(t.shortfall)]),
    uint(rows.length, 2),
    ...rows.flatMap((row) => [word(row.account), uint(row.tokenIndex, 1), u128(row.depositedIn)]),
  ])
}

/** Inverse of encodeCounters. Throws PermanentError on any other bytes. */
export function decodeCounters(message: Hex): CountersMessage {
  const { epoch, time, tokens, rows } = split(message, COUNTERS, TOTALS_BYTES, COUNTER_ROW_BYTES)
  return {
    epoch,
    time,
    tokens: tokens.map((token) => ({
      token: addressAt(token, 0),
      totalIn: uintAt(token, 20, 16),
      totalOut: uintAt(token, 36, 16),
      shortfall: uintAt(token, 52, 16),
    })),
    rows: rows.map((row, index) => ({
      account: sliceHex(row, 0, 32),
      tokenIndex: tokenIndexAt(row, 32, index, tokens.length),
      depositedIn: uintAt(row, 33, 16),
    })),
  }
}

/** Encodes a release message; layout and errors as encodeCounters. */
export function encodeReleases({ epoch, time, tokens, rows }: ReleasesMessage): Hex {
  return concatHex([
    ...header(RELEASES, epoch, time, tokens.length),
    ...tokens.flatMap((t) => [address(t.token), uint(t.epoch, 4), u128(t.creditedTotal)]),
    uint(rows.length, 2),
    ...rows.flatMap((row) => [
      word(row.account),
      address(row.recipient),
      uint(row.tokenIndex, 1),
      u128(row.released),
    ]),
  ])
}

/** Inverse of encodeReleases. Throws PermanentError on any other bytes. */
export function decodeReleases(message: Hex): ReleasesMessage {
  const { epoch, time, tokens, rows } = split(message, RELEASES, CREDIT_BYTES, RELEASE_ROW_BYTES)
  return {
    epoch,
    time,
    tokens: tokens.map((token) => ({
      token: addressAt(token, 0),
      epoch: Number(uintAt(token, 20, 4)),
      creditedTotal: uintAt(token, 24, 16),
    })),
    rows: rows.map((row, index) => ({
      account: sliceHex(row, 0, 32),
      recipient: addressAt(row, 32),
      tokenIndex: tokenIndexAt(row, 52, index, tokens.length),
      released: uintAt(row, 53, 16),
    })),
  }
}

function header(kind: number, epoch: number, time: bigint, nTokens: number): Hex[] {
  return [uint(VERSION, 1), uint(kind, 1), uint(epoch, 4), numberToHex(time, { size: 8 }), uint(nTokens, 1)]
}

/** Checks version, kind and length, and cuts the message into its tokens and rows. */
function split(message: Hex, kind: number, tokenBytes: number, rowBytes: number) {
  const length = size(message)
  if (length < HEADER_BYTES + 2) throw malformed(`${length} bytes are too short`)
  if (uintAt(message, 0, 1) !== BigInt(VERSION)) throw malformed(`unknown version ${uintAt(message, 0, 1)}`)
  if (uintAt(message, 1, 1) !== BigInt(kind)) throw malformed(`kind ${uintAt(message, 1, 1)}, not ${kind}`)
  const nTokens = Number(uintAt(message, HEADER_BYTES - 1, 1))
  const rowsAt = HEADER_BYTES + tokenBytes * nTokens + 2
  if (length < rowsAt) throw malformed(`${length} bytes are too short for ${nTokens} tokens`)
  const nRows = Number(uintAt(message, rowsAt - 2, 2))
  if (length !== rowsAt + rowBytes * nRows) {
    throw malformed(`${length} bytes don't hold ${nTokens} tokens and ${nRows} rows`)
  }
  const cut = (start: number, count: number, bytes: number) =>
    Array.from({ length: count }, (_, i) => sliceHex(message, start + i * bytes, start + (i + 1) * bytes))
  return {
    epoch: Number(uintAt(message, 2, 4)),
    time: uintAt(message, 6, 8),
    tokens: cut(HEADER_BYTES, nTokens, tokenBytes),
    rows: cut(rowsAt, nRows, rowBytes),
  }
}

function malformed(reason: string): PermanentError {
  return new PermanentError(`malformed counter message: ${reason}`)
}

function uint(value: number, bytes: number): Hex {
  return numberToHex(value, { size: bytes })
}

function u128(value: bigint): Hex {
  return numberToHex(value, { size: 16 })
}

function word(value: Hex): Hex {
  if (size(value) !== 32) throw new PermanentError(`account ${value} is not a 32-byte word`)
  return value
}

/** Checked, and in lower case: viem's concat keeps the case it is given. */
function address(value: Address): Hex {
  return getAddress(value).toLowerCase() as Hex
}

function uintAt(bytes: Hex, start: number, length: number): bigint {
  return BigInt(sliceHex(bytes, start, start + length))
}

function addressAt(bytes: Hex, start: number): Address {
  return getAddress(sliceHex(bytes, start, start + 20))
}

function tokenIndexAt(row: Hex, start: number, index: number, nTokens: number): number {
  const tokenIndex = Number(uintAt(row, start, 1))
  if (tokenIndex >= nTokens) throw malformed(`row ${index} names token ${tokenIndex} of ${nTokens}`)
  return tokenIndex
}
