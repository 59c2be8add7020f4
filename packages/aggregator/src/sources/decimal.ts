import type { Decoded, RejectReason } from './types.js'

/** 1.0 in fixed point: every price and confidence inside the aggregator has 18 decimals. */
export const WAD = 10n ** 18n

const DECIMAL = /^(-?)(\d{1,30})(?:\.(\d{1,40}))?(?:[eE]([+-]?\d{1,2}))?$/

/**
 * A decimal (`"5301.14"`, or a JSON number, whose shortest text is exact) as a WAD, rounded toward zero; null when it is no such number.
 * Text is bounded before it reaches BigInt, so that no frame can cost more than its size.
 */
export function decimalToWad(value: unknown): bigint | null {
  if (typeof value !== 'string' && typeof value !== 'number') return null
  const match = DECIMAL.exec(String(value))
  if (!match) return null
  const [, sign, whole, fraction = '', exponent = '0'] = match
  const scaled = scaleToWad(BigInt(`${whole}${fraction}`), Number(exponent) - fraction.length)
  return sign === '-' ? -scaled : scaled
}

/** `value * 10^exponent` as a WAD, rounded toward zero. */
export function scaleToWad(value: bigint, exponent: number): bigint {
  const shift = 18 + exponent
  return shift >= 0 ? value * 10n ** BigInt(shift) : value / 10n ** BigInt(-shift)
}

/** Reads a frame as a JSON object; null when it is none. */
export function parseObject(frame: string): Record<string, unknown> | null {
  try {
    return asObject(JSON.parse(frame))
  } catch {
    return null
  }
}

export function asObject(value: unknown): Record<string, unknown> | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : null
}

/** Unix ms as an integer within JavaScript's exact range, or null. */
export function asMilliseconds(value: unknown): number | null {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : null
}

/** The same from the digits of a string. */
export function asTextMilliseconds(value: unknown): number | null {
  return typeof value === 'string' && /^\d{1,16}$/.test(value) ? asMilliseconds(Number(value)) : null
}

/** ISO 8601 in UTC with up to nanoseconds, as unix ms; null when it is anything else. */
export function isoToMilliseconds(value: unknown): number | null {
  if (typeof value !== 'string' || !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$/.test(value)) return null
  return asMilliseconds(Date.parse(value))
}

/** A non-negative integer sequence number, or null (a venue may leave it out). */
export function asSequence(value: unknown): bigint | null {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? BigInt(value) : null
}

/** With a symbol, the market's last quote is withdrawn too. */
export function rejected(reason: RejectReason, symbol?: string): Decoded {
  return symbol === undefined ? { kind: 'rejected', reason } : { kind: 'rejected', reason, symbol }
}

/** Middle and half spread of a book's best bid and ask (WAD), or why they are no book. */
export function middle(bid: unknown, ask: unknown): { price: bigint; confidence: bigint } | RejectReason {
  const bidWad = decimalToWad(bid)
  const askWad = decimalToWad(ask)
  if (bidWad === null || askWad === null || bidWad <= 0n || askWad <= 0n) return 'bad_price'
  if (askWad < bidWad) return 'crossed_book'
  return { price: (bidWad + askWad) / 2n, confidence: (askWad - bidWad + 1n) / 2n }
}
