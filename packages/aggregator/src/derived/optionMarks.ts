import { asMilliseconds, asObject, decimalToWad, WAD } from '../sources/decimal.js'
import type { RejectReason } from '../sources/types.js'
import type { OptionMark } from './impliedVolatility.js'

export interface DecodedMarks {
  marks: OptionMark[]
  /** Unix ms by the venue. */
  eventTime: number
}

interface OptionVenue {
  path(currency: string): string
  decode(body: Record<string, unknown>): DecodedMarks | RejectReason
}

const query = (parameters: Record<string, string>) => new URLSearchParams(parameters).toString()

/** Public REST summaries that give the mark and the forward of every option of a currency at once. */
export const optionVenues = {
  /** v2 `public/get_book_summary_by_currency`: marks in the currency itself, forwards in USD; `usOut` is the server's time in µs. */
  deribit: {
    path: (currency) => `api/v2/public/get_book_summary_by_currency?${query({ currency, kind: 'option' })}`,
    decode: ({ error, result, usOut }) => {
      if (error !== undefined) return 'venue_error'
      const time = typeof usOut === 'number' ? asMilliseconds(Math.floor(usOut / 1000)) : null
      return marksOf(result, time, (item) => {
        const forward = decimalToWad(item.underlying_price)
        const mark = decimalToWad(item.mark_price)
        if (forward === null || mark === null) return null
        return { name: item.instrument_name, forward, mark: (mark * forward) / WAD }
      })
    },
  },
  /** v5 `GET /v5/market/tickers`: marks and forwards in USD. */
  bybit: {
    path: (baseCoin) => `v5/market/tickers?${query({ category: 'option', baseCoin })}`,
    decode: ({ retCode, result, time }) => {
      if (retCode !== 0) return 'venue_error'
      return marksOf(asObject(result)?.list, asMilliseconds(time), (item) => {
        const forward = decimalToWad(item.underlyingPrice)
        const mark = decimalToWad(item.markPrice)
        return forward === null || mark === null ? null : { name: item.symbol, forward, mark }
      })
    },
  },
  /** For venues without a decoder: `GET /options/CURRENCY` of `{time, options: [{name, forward, mark}]}`, decimal text, both in USD. */
  plain: {
    path: (currency) => `options/${encodeURIComponent(currency)}`,
    decode: ({ time, options }) =>
      marksOf(options, asMilliseconds(time), (item) => {
        const forward = decimalToWad(item.forward)
        const mark = decimalToWad(item.mark)
        return forward === null || mark === null ? null : { name: item.name, forward, mark }
      }),
  },
} satisfies Record<string, OptionVenue>

export type OptionVenueName = keyof typeof optionVenues
export const optionVenueNames = Object.keys(optionVenues) as [OptionVenueName, ...OptionVenueName[]]

const MONTHS = ['JAN', 'FEB', 'MAR', 'APR', 'MAY', 'JUN', 'JUL', 'AUG', 'SEP', 'OCT', 'NOV', 'DEC']
/** `ETH-27DEC24-3500-C`, with a settlement currency behind it where a venue has several; options expire at 08:00 UTC. */
const NAME = /^[A-Z0-9]+-(\d{1,2})([A-Z]{3})(\d{2})-(\d{1,9}(?:\.\d{1,9})?)-([CP])(?:-[A-Z]+)?$/

function marksOf(
  list: unknown,
  eventTime: number | null,
  read: (item: Record<string, unknown>) => { name: unknown; forward: bigint; mark: bigint } | null,
): DecodedMarks | RejectReason {
  if (!Array.isArray(list)) return 'unexpected_shape'
  if (eventTime === null) return 'bad_time'
  const marks: OptionMark[] = []
  for (const entry of list) {
    const item = asObject(entry)
    const found = item && read(item)
    // An option that isn't quoted has no mark, and is no reason to lose the others.
    if (!found || found.forward <= 0n || found.mark <= 0n) continue
    const name = parseName(found.name)
    if (!name) return 'unknown_symbol'
    marks.push({ ...name, forward: found.forward, mark: found.mark })
  }
  return { marks, eventTime }
}

function parseName(name: unknown): Pick<OptionMark, 'expiry' | 'strike' | 'type'> | null {
  const match = typeof name === 'string' ? NAME.exec(name) : null
  if (!match) return null
  const [, day, monthName = '', year, strikeText, letter] = match
  const month = MONTHS.indexOf(monthName)
  const strike = decimalToWad(strikeText)
  if (month < 0 || strike === null || strike <= 0n) return null
  return {
    expiry: Date.UTC(2000 + Number(year), month, Number(day), 8),
    strike,
    type: letter === 'C' ? 'call' : 'put',
  }
}
