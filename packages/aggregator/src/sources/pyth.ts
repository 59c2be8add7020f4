import type { PriceMessage, VerifyUpdate } from './accumulator.js'
import { asObject, parseObject, rejected, scaleToWad } from './decimal.js'
import type { Decoded, Decoder, RejectReason, Skipped, Tick } from './types.js'

/** A stream's event holds one update; the endpoint for the latest prices may give a few. */
const MAX_UPDATES = 8

/** Feed ids are compared without 0x and in lower case. */
export function normalizePythId(id: string): string {
  return id.toLowerCase().replace(/^0x/, '')
}

/** What Pyth's publishers can't have meant is no price, whoever signed it. */
function toTick({ id, price, confidence, expo, publishTime, slot }: PriceMessage): Tick | RejectReason {
  if (expo < -30 || expo > 12) return 'bad_price'
  const wad = scaleToWad(price, expo)
  if (wad <= 0n) return 'bad_price'
  if (publishTime <= 0n || publishTime > 10_000_000_000n) return 'bad_time'
  const eventTime = Number(publishTime) * 1000
  return { symbol: id, price: wad, confidence: scaleToWad(confidence, expo), eventTime, sequence: slot }
}

/**
 * Verified prices of updates in text. One bad update rejects the frame, for its neighbours came from the same hand; a message that was
 * verified and is no price is skipped alone, for its neighbours are signed like any other.
 */
function decodeUpdates(
  updates: readonly unknown[],
  encoding: 'hex' | 'base64',
  verify: VerifyUpdate,
): Decoded {
  const ticks: Tick[] = []
  const skipped: Skipped[] = []
  for (const text of updates) {
    const bytes = bytesOf(text, encoding)
    if (!bytes) return rejected('malformed')
    const messages = verify(bytes)
    if (typeof messages === 'string') return rejected(messages)
    for (const message of messages) {
      const tick = toTick(message)
      if (typeof tick === 'string') skipped.push({ kind: 'skipped', symbol: message.id, reason: tick })
      else ticks.push(tick)
    }
  }
  return skipped.length > 0 ? { kind: 'ticks', ticks, skipped } : { kind: 'ticks', ticks }
}

/** Buffer stops silently at what it can't read, so the text is checked first. */
function bytesOf(text: unknown, encoding: 'hex' | 'base64'): Uint8Array | null {
  const fits = encoding === 'hex' ? /^([0-9a-fA-F]{2})+$/ : /^[0-9a-zA-Z+/]+={0,2}$/
  return typeof text === 'string' && fits.test(text) ? Buffer.from(text, encoding) : null
}

/** One event of Hermes v2 `/v2/updates/price/stream`: `{binary: {encoding, data}, parsed?}`. What it says as `parsed` is not looked at. */
export function createHermesDecoder(verify: VerifyUpdate): Decoder {
  return (frame) => {
    const message = parseObject(frame)
    if (!message) return rejected('malformed')
    const { encoding, data } = asObject(message.binary) ?? {}
    if ((encoding !== 'hex' && encoding !== 'base64') || !Array.isArray(data) || data.length > MAX_UPDATES) {
      return rejected('unexpected_shape')
    }
    return decodeUpdates(data, encoding, verify)
  }
}

/** The signed update that Price Service v1 sends with a feed, in base64; what it says beside it is not looked at. */
export function createVaaDecoder(verify: VerifyUpdate): (vaa: unknown) => Decoded {
  return (vaa) => (vaa === undefined ? rejected('unexpected_shape') : decodeUpdates([vaa], 'base64', verify))
}

/** A frame of Price Service v1 of which its client handed on no feed. Nothing of it is verified, so it only says why. */
export function decodeUnread(frame: string, ids: readonly string[]): Decoded {
  const message = parseObject(frame)
  if (!message) return rejected('malformed')
  if (message.type === 'response') {
    return message.status === 'success' ? { kind: 'control' } : rejected('venue_error')
  }
  const { id } = asObject(message.price_feed) ?? {}
  const unknown = message.type === 'price_update' && typeof id === 'string' && !ids.includes(id)
  return rejected(unknown ? 'unknown_symbol' : 'unexpected_shape')
}
