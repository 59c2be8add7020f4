import { isDeepStrictEqual } from 'node:util'
import { type Clock, type Logger, type Random, readAnswer } from '@clearspan/shared'
import { withDeadline } from '../deadline.js'
import { type BookEvent, createQuoteBook } from '../sources/book.js'
import { parseObject, rejected } from '../sources/decimal.js'
import type { Source } from '../sources/index.js'
import type { Decoded, Market, RejectReason } from '../sources/types.js'

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
  /** Told, in order, of all that decides a source's quotes. */
  onEvent?: ((source: string, event: BookEvent) => void) | undefined
}

/** What an answer says. */
export interface Told {
  /** WAD, positive. */
  value: bigint
  /** Unix ms by the venue; null where it gives none, and the time of receipt counts. */
  eventTime: number | null
  sequence: bigint | null
  /** By which an answer without a sequence is known for a repetition; null when each answer is news. */
  content: object | null
}

export interface PollParameters extends PolledParameters {
  id: string
  url: string
  /** A JSON body makes it a POST. */
  body?: object
  market: Market
  decode(body: Record<string, unknown>): Told | RejectReason
  /** Real ms between two requests, and the longest that one may take. */
  pollMs: number
}

/** A source that is asked again and again over HTTP; each answer is one quote or a counted rejection. */
export function createPolledSource(parameters: PollParameters): Source {
  const { id, market, pollMs, realClock, networkClock, random, maxClockSkewMs } = parameters
  const logger = parameters.logger.child({ source: id })
  const book = createQuoteBook({
    source: id,
    kind: 'price',
    markets: [market],
    maxClockSkewMs,
    onEvent: (event) => parameters.onEvent?.(id, event),
  })
  const ages = createAges()
  const abort = new AbortController()
  let running: Promise<void> | undefined

  function read(text: string | null, now: number): Decoded {
    if (text === null) return rejected('too_large')
    const body = parseObject(text)
    if (!body) return rejected('malformed')
    const told = parameters.decode(body)
    if (typeof told === 'string') return rejected(told)
    const { value: price, sequence } = told
    const eventTime = ages.timeOf(told, now)
    return {
      kind: 'ticks',
      ticks: [{ symbol: market.symbol, price, confidence: null, eventTime, sequence }],
    }
  }

  async function ask() {
    const deadline = { clock: realClock, ms: pollMs, parent: abort.signal }
    const text = await withDeadline(deadline, (signal) => request(parameters, signal))
    const now = networkClock.now()
    book.setConnected(true)
    book.take(read(text, now), now)
  }

  async function run() {
    while (!abort.signal.aborted) {
      try {
        await ask()
      } catch (err) {
        if (abort.signal.aborted) return
        book.setConnected(false)
        ages.restart()
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
    state: book.state,
    status: book.status,
  }
}

/**
 * How old answers are. One that repeats the one before is as old as that, whatever time it bears: a server's own clock runs on while
 * what it serves is frozen.
 */
function createAges() {
  let last: (Pick<Told, 'sequence' | 'content'> & { time: number }) | undefined
  let restarted = false

  function isRepeated({ eventTime, sequence, content }: Told): boolean {
    if (!last) return false
    if (sequence === null || last.sequence === null) {
      return content !== null && isDeepStrictEqual(content, last.content)
    }
    // Without a time only its number tells an older answer, of another cache say.
    const older = eventTime === null && sequence < last.sequence && !restarted
    return sequence === last.sequence || older
  }

  return {
    /** After an outage a venue may count anew. */
    restart() {
      restarted = true
    },
    timeOf(told: Told, now: number): number {
      if (last && isRepeated(told)) return last.time
      restarted = false
      last = { sequence: told.sequence, content: told.content, time: told.eventTime ?? now }
      return last.time
    },
  }
}

/** The answer's text; null when it is larger than allowed. Throws on any failure to get one. */
async function request({ fetch, url, body }: PollParameters, signal: AbortSignal): Promise<string | null> {
  const post = body && {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  }
  // A venue can't send a node's requests elsewhere.
  const response = await fetch(url, { ...post, signal, redirect: 'error' })
  if (!response.ok) {
    await response.body?.cancel()
    throw new Error(`status ${response.status}`)
  }
  return readAnswer(response, MAX_BODY_BYTES, signal)
}
