import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { black76 } from '@clearspan/shared'
import { formatUnits, parseUnits } from 'viem'
import { formatPrice } from './feed.js'

const DAY_MS = 86_400_000
const YEAR_MS = 365 * DAY_MS
const EXPIRY_HOUR_MS = 8 * 3_600_000
/** One expiry, about the month that is asked for: nodes invert the options on either side of each. */
const LIFE_DAYS = 35
const MONTHS = ['JAN', 'FEB', 'MAR', 'APR', 'MAY', 'JUN', 'JUL', 'AUG', 'SEP', 'OCT', 'NOV', 'DEC']
/** Volatility and what borrowing costs in calm, a year, and what a fall of everything would add. */
const CALM = { volatility: 0.8, rate: 0.08 }
const PANIC = { volatility: 2, rate: 0.3 }
/** USD on each side of a venue's book, within half a percent of the middle, in calm. */
const DEPTH = 20_000_000
const LEVELS = [0.0005, 0.002, 0.005]
/** From answer to answer, as parts of a mark or an amount: a list that is word for word the last one counts as frozen. */
const FLICKER = 0.0001

export interface Derivatives {
  /** Of the underlying, as venues name it. */
  base: string
  /** USD; undefined while the market is silent. */
  spot(): number | undefined
  /** Fall of the spot since the beginning, 0 to 1. */
  fall(): number
  /** Network time in unix ms. */
  now(): number
}

export interface DerivativesSimulator {
  /** `http://127.0.0.1:PORT`; the path of a venue follows. */
  url: string
  stop(): Promise<void>
}

interface Quote {
  name: string
  forward: number
  mark: number
  volatility: number
}

interface Market {
  quotes(): Quote[]
  book(): Book
}

/** Levels of price and amount, as text. */
interface Book {
  sequence: number
  bids: string[][]
  asks: string[][]
}

type Answer = (derivatives: Derivatives, market: Market) => object

const text = formatPrice

/** By path, without the query: a venue's own answer to what nodes ask of its options, its lending and its book. */
const ROUTES: Record<string, Answer> = {
  '/deribit/api/v2/public/get_book_summary_by_currency': ({ base, now }, { quotes }) => ({
    jsonrpc: '2.0',
    result: quotes().map(({ name, forward, mark, volatility }) => ({
      instrument_name: name,
      base_currency: base,
      quote_currency: base,
      underlying_price: Number(text(forward)),
      underlying_index: `SYN.${name.split('-').slice(0, 2).join('-')}`,
      // In the currency itself.
      mark_price: Number((mark / forward).toFixed(6)),
      mark_iv: Number((volatility * 100).toFixed(2)),
      interest_rate: 0,
      creation_timestamp: now(),
    })),
    usIn: now() * 1_000,
    usOut: now() * 1_000,
    usDiff: 0,
    testnet: true,
  }),
  '/bybit/v5/market/tickers': ({ now }, { quotes }) => ({
    retCode: 0,
    retMsg: 'SUCCESS',
    result: {
      category: 'option',
      list: quotes().map(({ name, forward, mark, volatility }) => ({
        symbol: name,
        markPrice: text(mark),
        indexPrice: text(forward),
        markIv: volatility.toFixed(4),
        underlyingPrice: text(forward),
      })),
    },
    retExtInfo: {},
    time: now(),
  }),
  '/plain/options': ({ now }, { quotes }) => ({
    time: now(),
    options: quotes().map(({ name, forward, mark }) => ({ name, forward: text(forward), mark: text(mark) })),
  }),
  '/okx/api/v5/public/interest-rate-loan-quota': (derivatives) => ({
    code: '0',
    data: [
      {
        basic: [{ ccy: 'USDC', quota: '500000', rate: (rateOf(derivatives) / 365).toFixed(8) }],
        vip: [{ irDiscount: '', loanQuotaCoef: '6', level: 'VIP1' }],
        regular: [{ irDiscount: '', loanQuotaCoef: '1', level: 'Lv1' }],
      },
    ],
    msg: '',
  }),
  '/bybit/v5/spot-margin-trade/data': (derivatives) => ({
    retCode: 0,
    retMsg: 'Success',
    result: {
      vipCoinList: [
        {
          list: [
            {
              borrowable: true,
              currency: 'USDC',
              hourlyBorrowRate: (rateOf(derivatives) / 8_760).toFixed(16),
            },
          ],
          vipLevel: 'No VIP',
        },
      ],
    },
    retExtInfo: '{}',
    time: derivatives.now(),
  }),
  '/plain/lending': (derivatives) => ({ time: derivatives.now(), rate: rateOf(derivatives).toFixed(10) }),
  '/binance/api/v3/depth': (_, { book }) => {
    const { sequence, ...sides } = book()
    return { lastUpdateId: sequence, ...sides }
  },
  '/kraken/0/public/Depth': ({ base }, { book }) => {
    const { bids, asks } = book()
    return { error: [], result: { [`X${base}ZUSD`]: { bids, asks } } }
  },
  '/okx/api/v5/market/books': ({ now }, { book }) => {
    const { bids, asks } = book()
    return { code: '0', msg: '', data: [{ bids, asks, ts: String(now()) }] }
  },
}

/**
 * Option and lending markets in the wire formats of Deribit, Bybit and OKX, and in the plain ones, and order books in those of Binance, Kraken
 * and OKX, each below a path of its name. Volatility and the lending rate rise as the spot falls, and books get thinner.
 */
export async function startDerivatives(derivatives: Derivatives): Promise<DerivativesSimulator> {
  let answers = 0
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? '/', 'http://localhost').pathname
    const answer = ROUTES[path] ?? ROUTES[path.slice(0, path.lastIndexOf('/'))]
    const spot = derivatives.spot()
    if (answer === undefined || spot === undefined)
      return void response.writeHead(answer === undefined ? 404 : 503).end()
    const flicker = 1 + (answers++ % 5) * FLICKER
    const quotes = () => quotesOf(derivatives, spot, flicker)
    const book = () => bookOf(derivatives, spot, flicker, answers)
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(JSON.stringify(answer(derivatives, { quotes, book })))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async stop() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

/** Puts at and below the forward and calls above it, by Black-76. */
function quotesOf({ base, fall, now }: Derivatives, forward: number, flicker: number): Quote[] {
  const step = 10 ** Math.floor(Math.log10(forward)) / 20
  const below = Math.floor(forward / step)
  const volatility = CALM.volatility + PANIC.volatility * fall()
  const expiry = Math.floor((now() + LIFE_DAYS * DAY_MS) / DAY_MS) * DAY_MS + EXPIRY_HOUR_MS
  const deviation = volatility * Math.sqrt((expiry - now()) / YEAR_MS)
  return [below - 1, below, below + 1, below + 2].map((steps) => {
    const strike = text(steps * step)
    const { call, put } = black76(wad(text(forward)), wad(strike), wad(deviation.toFixed(18)))
    const isCall = steps > below
    const mark = Number(formatUnits(isCall ? call : put, 18)) * flicker
    return { name: `${base}-${dateOf(expiry)}-${strike}-${isCall ? 'C' : 'P'}`, forward, mark, volatility }
  })
}

/** As much on either side, thinner by the square of what is left of the price. */
function bookOf({ fall }: Derivatives, spot: number, flicker: number, sequence: number): Book {
  const value = (DEPTH * flicker * (1 - fall()) ** 2) / LEVELS.length
  const side = (sign: 1 | -1) =>
    LEVELS.map((distance) => {
      const price = spot * (1 + sign * distance)
      return [text(price), text(value / price)]
    })
  return { sequence, bids: side(-1), asks: side(1) }
}

function rateOf({ fall }: Derivatives): number {
  return CALM.rate + PANIC.rate * fall()
}

function wad(decimal: string): bigint {
  return parseUnits(decimal, 18)
}

/** `7FEB20`. */
function dateOf(timeMs: number): string {
  const date = new Date(timeMs)
  return `${date.getUTCDate()}${MONTHS[date.getUTCMonth()]}${String(date.getUTCFullYear()).slice(-2)}`
}
