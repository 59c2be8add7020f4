import type { InstrumentKind, LocalMarkets } from '../network/markets.js'
import type { TraderName } from '../network/roles.js'

/** A deposit in USD at the oracle's price; `token` is an index into the local tokens, 0 being the settlement token. */
export interface PlannedDeposit {
  chain: number
  token: number
  usd: number
}

/**
 * A position to open against the maker: `leverage` times what was deposited, short when negative; counted in its underlying, whatever it costs
 * itself, or in the notional of a swap.
 */
export interface PlannedTrade {
  instrumentId: number
  leverage: number
}

/** Share of the first deposit that is withdrawn to its own chain, in the midst of the crash or after it. */
export interface PlannedWithdrawal {
  when: 'crash' | 'end'
  share: number
}

/** Cash that the trader doesn't have, of a chain that it deposited nothing on: a loan of all who have some. */
export interface PlannedLoan {
  chain: number
  usd: number
}

export interface PlannedTrader {
  name: TraderName
  /** What the trader is in the story for. */
  purpose: string
  deposits: PlannedDeposit[]
  trades: PlannedTrade[]
  /** Margined by the Portfolio set. */
  portfolio?: boolean
  withdrawal?: PlannedWithdrawal
  loan?: PlannedLoan
}

/** Capital of the professional side, USD. */
export const CAPITAL = {
  /** On every chain. */
  makerPerChain: 3_000_000,
  /** Cash on the hub, for auctions. */
  bidderCash: 250_000,
  /** In the bidder's wallet on every chain, for lots of collateral. */
  bidderWallet: 500_000,
  fund: 400_000,
}

/**
 * Seven traders over three chains. Leverage is set against the primary market's initial margin, so that on every tape the first are
 * liquidated by a fall of a few percent beyond their margin and the last by none.
 * @param primary Base of the market that falls deepest.
 */
export function planTraders(markets: LocalMarkets, primary: string): PlannedTrader[] {
  const { instruments, shocks, tokens } = markets
  const perpetuals = instruments.filter(({ kind }) => kind === 'perpetual')
  const main = perpetuals.find(({ base }) => base === primary) ?? perpetuals[0]!
  const other = perpetuals.find(({ id }) => id !== main.id) ?? main
  /** Of what expires; nothing where nothing does. */
  const dated = (kind: InstrumentKind, leverage: number): PlannedTrade[] =>
    instruments.filter((one) => one.kind === kind).map(({ id }) => ({ instrumentId: id, leverage }))
  const maxLeverage = (base: string) => 10_000 / (shocks[base]?.shockIm ?? 2_000)
  /** Rounded down to a tenth, and never to zero. */
  const share = (base: string, part: number) => Math.max(0.5, Math.floor(maxLeverage(base) * part * 10) / 10)
  const volatile = tokens.length > 1 ? 1 : 0
  const secondVolatile = tokens.length > 2 ? 2 : volatile
  return [
    {
      name: 'alice',
      purpose: 'cash on the hub chain, long with most of the leverage there is',
      deposits: [{ chain: 0, token: 0, usd: 50_000 }],
      trades: [{ instrumentId: main.id, leverage: share(main.base, 0.75) }],
    },
    {
      name: 'bob',
      purpose:
        'a falling asset on the second chain as collateral for a long of another market, half of it hedged by a future; pays fixed',
      deposits: [{ chain: 1, token: volatile, usd: 60_000 }],
      trades: [
        { instrumentId: other.id, leverage: share(other.base, 0.35) },
        ...dated('future', -0.5),
        ...dated('swap', 50),
      ],
    },
    {
      name: 'carol',
      purpose:
        'cash on the third chain, short with a call against a rise: profits, and withdraws a part afterwards',
      deposits: [{ chain: 2, token: 0, usd: 80_000 }],
      trades: [
        { instrumentId: main.id, leverage: -share(main.base, 0.3) },
        ...dated('call', share(main.base, 0.3)),
      ],
      portfolio: true,
      withdrawal: { when: 'end', share: 0.4 },
    },
    {
      name: 'dave',
      purpose: 'cash on two chains, a modest long with a put below it, by the Portfolio set',
      deposits: [
        { chain: 1, token: 0, usd: 40_000 },
        { chain: 2, token: 0, usd: 40_000 },
      ],
      trades: [{ instrumentId: main.id, leverage: 1 }, ...dated('put', 1)],
      portfolio: true,
    },
    {
      name: 'erin',
      purpose: 'collateral without debt: leaves in the midst of the crash',
      deposits: [{ chain: 2, token: secondVolatile, usd: 100_000 }],
      trades: [],
      withdrawal: { when: 'crash', share: 0.5 },
    },
    {
      name: 'frank',
      purpose: 'a long too large for the bidder, and a put sold: what nobody takes goes to the backstop',
      deposits: [
        { chain: 1, token: 0, usd: 300_000 },
        { chain: 1, token: volatile, usd: 100_000 },
      ],
      trades: [{ instrumentId: main.id, leverage: share(main.base, 0.8) }, ...dated('put', -0.2)],
    },
    {
      name: 'grace',
      purpose:
        'borrows cash on the third chain against collateral on the first, and pays interest to all who have cash',
      deposits: [{ chain: 0, token: volatile, usd: 50_000 }],
      trades: [],
      ...(volatile > 0 && { loan: { chain: 2, usd: 10_000 } }),
    },
  ]
}
