import type { Clock, Logger, Random } from '@clearspan/shared'
import { withDeadline } from '../deadline.js'
import { createQuoteBook } from '../sources/book.js'
import { parseObject } from '../sources/decimal.js'
import type { Source } from '../sources/index.js'
import type { Decoded, Market } from '../sources/types.js'

/** Larger answers are refused while they arrive. A book of 5,000 levels a side is some 300 kB, all options of a currency 1 MB. */
const MAX_BODY_BYTES = 4 * 1024 * 1024

/** What every polled source is given alike. */
export interface PolledParameters {
  maxClockSkewMs: number
  networkClock: Clock
  realClock: Clock
  random: Random
  logger: Logger
  fetch: typeof globalThis.fetch
}

export interface PollParameters extends PolledParameters {
  id: string
  url: string
  /** A JSON body makes it a POST. */
  body?: object
  market: Market
  /** Reads an answer that came at network time `now`. */
  decode(body: Record<string, unknown>, now: number): Decoded
  /** Real ms between two requests, and the longest that one may take. */
  pollMs: number
}

/** A source that is asked again and again over HTTP; each answer is one quote or a counted rejection. */
export function createPolledSource(parameters: PollParameters): Source {
  const { id, market, pollMs, realClock, networkClock, random, maxClockSkewMs } = parameters
  const logger = parameters.logger.child({ source: id })
  const book = createQuoteBook({ source: id, kind: 'price', markets: [market], maxClockSkewMs })
  const abort = new AbortController()
  let running: Promise<void> | undefined

  async function ask() {
    const deadline = { clock: realClock, ms: pollMs, parent: abort.signal }
    const text = await withDeadline(deadline, (signal) => request(parameters, signal))
    const now = networkClock.now()
    book.setConnected(true)
    const body = text === null ? null : parseObject(text)
    if (text === null) book.take({ kind: 'rejected', reason: 'too_large' }, now)
    else if (!body) book.take({ kind: 'rejected', reason: 'malformed' }, now)
    else book.take(parameters.decode(body, now), now)
  }

  async function run() {
    while (!abort.signal.aborted) {
      try {
        await ask()
      } catch (err) {
        if (abort.signal.aborted) return
        book.setConnected(false)
        logger.debug({ err }, 'poll failed')
      }
      // Jitter, so that the nodes don't ask all at once.
      await realClock.sleep(pollMs * (0.9 + random.next() / 5), abort.signal).catch(() => {})
    }
  }

  return {
    start() {
      running ??= run()
    },
    async stop() {
      abort.abort()
      await running
    },
    quotes: book.quotes,
    status: book.status,
  }
}

/** The answer's text; null when it is larger than allowed. Throws on any failure to get one. */
async function request({ fetch, url, body }: PollParameters, signal: AbortSignal): Promise<string | null> {
  const post = body && {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  }
  const response = await fetch(url, { ...post, signal })
  if (!response.ok) {
    await response.body?.cancel()
    throw new Error(`status ${response.status}`)
  }
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength
    if (size > MAX_BODY_BYTES) return null
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}
