import { asMilliseconds, asObject, decimalToWad } from '../sources/decimal.js'
import type { RejectReason } from '../sources/types.js'

const HOURS_A_YEAR = 8_760n
const DAYS_A_YEAR = 365n

export interface DecodedRate {
  /** Simple rate a year, WAD (0.05: 5 %). */
  rate: bigint
  /** Unix ms by the venue, or null. */
  eventTime: number | null
}

interface LendingVenue {
  path(currency: string): string
  decode(body: Record<string, unknown>, currency: string): DecodedRate | RejectReason
}

const query = (parameters: Record<string, string>) => new URLSearchParams(parameters).toString()

/** Public REST answers with what borrowing a currency costs on margin: what the least privileged customer pays. */
export const lendingVenues = {
  /** v5 `GET /api/v5/public/interest-rate-loan-quota`: rates a day of every currency, without a time. */
  okx: {
    path: () => 'api/v5/public/interest-rate-loan-quota',
    decode: ({ code, data }, currency) => {
      if (code !== '0') return 'venue_error'
      const basic = Array.isArray(data) ? asObject(data[0])?.basic : undefined
      return rateOf(entryOf(basic, 'ccy', currency), ({ rate }) => rate, DAYS_A_YEAR, null)
    },
  },
  /** v5 `GET /v5/spot-margin-trade/data`: rates an hour by level of customer. */
  bybit: {
    path: (currency) => `v5/spot-margin-trade/data?${query({ vipLevel: 'No VIP', currency })}`,
    decode: ({ retCode, result, time }, currency) => {
      if (retCode !== 0) return 'venue_error'
      const level = entryOf(asObject(result)?.vipCoinList, 'vipLevel', 'No VIP')
      const eventTime = asMilliseconds(time)
      if (eventTime === null) return 'bad_time'
      const entry = entryOf(level?.list, 'currency', currency)
      return rateOf(entry, ({ hourlyBorrowRate }) => hourlyBorrowRate, HOURS_A_YEAR, eventTime)
    },
  },
  /** For venues without a decoder: `GET /lending/CURRENCY` of `{time, rate}`, the rate a year as decimal text. */
  plain: {
    path: (currency) => `lending/${encodeURIComponent(currency)}`,
    decode: (body) => {
      const eventTime = asMilliseconds(body.time)
      return eventTime === null ? 'bad_time' : rateOf(body, ({ rate }) => rate, 1n, eventTime)
    },
  },
} satisfies Record<string, LendingVenue>

export type LendingVenueName = keyof typeof lendingVenues
export const lendingVenueNames = Object.keys(lendingVenues) as [LendingVenueName, ...LendingVenueName[]]

type Entry = Record<string, unknown>

function entryOf(list: unknown, field: string, value: string): Entry | null {
  if (!Array.isArray(list)) return null
  return list.map(asObject).find((entry) => entry?.[field] === value) ?? null
}

function rateOf(
  entry: Entry | null,
  read: (entry: Entry) => unknown,
  timesAYear: bigint,
  eventTime: number | null,
): DecodedRate | RejectReason {
  if (entry === null) return 'unexpected_shape'
  const rate = decimalToWad(read(entry))
  return rate === null || rate <= 0n ? 'bad_price' : { rate: rate * timesAYear, eventTime }
}
