import { PermanentError } from '@clearspan/shared'
import type { Rules } from '../rules.js'
import { type BookEvent, type BookState, createQuoteBook } from '../sources/book.js'
import { createRows } from './rows.js'

/** The books of a node's sources, told again what they were told. */
export function createBooks(rules: Rules) {
  const { oracle, sources, maxClockSkewMs } = rules
  const { decode } = createRows(rules)
  const counts = { ticks: 0, refused: 0 }
  /** What the book says of the event that it is being told. */
  let heard: BookEvent | null = null
  const onEvent = (event: BookEvent) => {
    heard = event
  }
  const make = ({ id, kind = 'price', markets }: Rules['sources'][number], state?: BookState) =>
    createQuoteBook({ source: id, kind, markets, maxClockSkewMs, onEvent, state })
  const books = new Map(sources.map((source) => [source.id, make(source)]))

  /** Throws PermanentError when the book refuses what it took, takes what it refused, or refuses it for another reason. */
  function tell(source: string, event: BookEvent) {
    const book = books.get(source)
    heard = null
    if (event.kind === 'connection') book?.setConnected(event.connected)
    else if (event.kind === 'told') book?.take(event.decoded, event.now)
    else book?.take({ kind: 'ticks', ticks: [event.tick] }, event.now)
    const before = outcomeOf(event)
    const now = outcomeOf(heard)
    if (before !== now)
      throw new PermanentError(`${nameOf(source, event)}: recorded ${before}, recomputed ${now}`)
  }

  function nameOf(source: string, event: BookEvent): string {
    if (event.kind === 'connection') return `source ${source}`
    const symbol = event.kind === 'tick' ? event.tick.symbol : event.decoded.symbol
    const known = sources.find(({ id }) => id === source)?.markets.find((market) => market.symbol === symbol)
    const feed = oracle.feeds.find(({ name }) => name.split('/')[0] === known?.base)
    const about = feed ? `feed ${feed.name}` : known ? `leg ${known.base}/${known.quote}` : 'no feed'
    const what = event.kind === 'tick' ? 'tick' : event.decoded.kind
    return `seq ${Math.floor(event.now / oracle.slotMs)}, ${about}: ${what} of ${source} ${symbol} at ${event.now}`
  }

  return {
    counts,
    restore(id: string, state: BookState) {
      const source = sources.find((one) => one.id === id)
      if (!source) throw new PermanentError(`${id} is no source of the rules`)
      books.set(id, make(source, state))
    },
    take(at: number, rows: readonly unknown[]) {
      for (const row of rows) {
        const { source, event } = decode(row, at)
        tell(source, event)
        if (event.kind !== 'tick') continue
        counts.ticks += 1
        if (event.reason !== null) counts.refused += 1
      }
    },
    states: () => [...books].map(([id, book]): [string, BookState] => [id, book.state()]),
    quotes: () => [...books.values()].flatMap((book) => book.quotes()),
  }
}

function outcomeOf(event: BookEvent | null): string {
  if (event === null) return 'nothing'
  if (event.kind === 'connection') return event.connected ? 'connected' : 'disconnected'
  return event.reason ?? 'taken'
}
