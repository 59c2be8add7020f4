import { asMilliseconds, asObject, asSequence, parseObject, rejected, scaleToWad } from './decimal.js'
import type { Decoded, RejectReason, Tick } from './types.js'

const INTEGER = /^-?\d{1,20}$/

/** Feed ids are compared without 0x and in lower case. */
export function normalizePythId(id: string): string {
  return id.toLowerCase().replace(/^0x/, '')
}

/** One parsed price object of either Pyth service: `{id, price: {price, conf, expo, publish_time}, metadata?: {slot}}`. */
export function decodePythPrice(value: unknown): Tick | RejectReason {
  const feed = asObject(value)
  const price = asObject(feed?.price)
  if (!feed || !price || typeof feed.id !== 'string' || !/^(0x)?[0-9a-fA-F]{64}$/.test(feed.id)) {
    return 'unexpected_shape'
  }
  const { expo } = price
  if (typeof expo !== 'number' || !Number.isInteger(expo) || expo < -30 || expo > 12) return 'bad_price'
  if (typeof price.price !== 'string' || !INTEGER.test(price.price)) return 'bad_price'
  if (typeof price.conf !== 'string' || !INTEGER.test(price.conf)) return 'bad_confidence'
  const wad = scaleToWad(BigInt(price.price), expo)
  const confidence = scaleToWad(BigInt(price.conf), expo)
  if (wad <= 0n) return 'bad_price'
  if (confidence < 0n) return 'bad_confidence'
  const seconds = asMilliseconds(price.publish_time)
  const eventTime = seconds === null ? null : asMilliseconds(seconds * 1000)
  if (eventTime === null) return 'bad_time'
  const sequence = asSequence(asObject(feed.metadata)?.slot)
  return { symbol: normalizePythId(feed.id), price: wad, confidence, eventTime, sequence }
}

/** One event of Hermes v2 `/v2/updates/price/stream`: `{binary, parsed: [...]}`. */
export function decodeHermes(frame: string): Decoded {
  const message = parseObject(frame)
  if (!message) return rejected('malformed')
  if (!Array.isArray(message.parsed)) return rejected('unexpected_shape')
  const ticks: Tick[] = []
  for (const item of message.parsed) {
    const tick = decodePythPrice(item)
    if (typeof tick === 'string') return rejected(tick)
    ticks.push(tick)
  }
  return { kind: 'ticks', ticks }
}
