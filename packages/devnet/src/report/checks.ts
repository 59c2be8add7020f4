import { formatUnits, type Hex } from 'viem'
import type { LedgerState } from './ledger.js'

const WAD = 10n ** 18n
/** Rounding of funding is against the account, a wei or two at each touch; more than this is no rounding. */
const QUOTE_DUST = 10n ** 9n
/** The buffer may be passed by rounding only: a millionth of a unit. */
const BUFFER_DUST = 10n ** 12n

/** A sentence of DESIGN's invariants, and whether the chains bear it out. */
export interface Check {
  /** Number in the list of invariants. */
  invariant: number
  claim: string
  holds: boolean
  /** Figures, or what is wrong. */
  detail: string
}

export interface AuctionRecord {
  account: Hex
  startedAt: number
  /** WAD. */
  mm: bigint
  bids: readonly BidRecord[]
}

export interface BidRecord {
  at: number
  /** WAD. */
  fraction: bigint
  payment: bigint
  fromFund: bigint
  /** Of the whole account just before the bid; WAD. */
  equity: bigint
  /** Price as a share of equity, WAD; 0 when insolvent. */
  share: bigint
  /** Margin above the buffer right after, WAD; at most 0 and dust unless all was taken. */
  bufferAfter: bigint
}

export interface LossRecord {
  account: Hex
  /** WAD. */
  loss: bigint
  fromFund: bigint
  socialised: bigint
  /** The fund's cash right after. */
  fundAfter: bigint
}

const sum = (values: Iterable<bigint>) => [...values].reduce((total, value) => total + value, 0n)
const wad = (value: bigint) => Number(formatUnits(value, 18)).toFixed(6)

function check(invariant: number, claim: string, problems: readonly string[], detail: string): Check {
  const holds = problems.length === 0
  return { invariant, claim, holds, detail: holds ? detail : problems.join('; ') }
}

/** Invariant 1: money is neither made nor lost. */
export function checkCash(state: LedgerState): Check {
  const cash = sum(state.accounts.map(({ cash }) => cash))
  const pools = sum(state.instruments.map(({ pnlPool }) => pnlPool))
  const backing = sum(Object.values(state.backing))
  const left = cash + pools
  const right = backing + state.lostBacking
  return check(
    1,
    'cash of all accounts, fund and backstop included, plus PnL pools equals the backing of all chains',
    left === right
      ? []
      : [`cash ${wad(cash)} + pools ${wad(pools)} differs from backing ${wad(right)} by ${left - right} wei`],
    `cash ${wad(cash)} + pools ${wad(pools)} = backing ${wad(right)}`,
  )
}

/** Invariant 1: every instrument is zero-sum. */
export function checkPositions(state: LedgerState): Check {
  const problems = state.instruments.flatMap(({ id, symbol, pnlPool, long, short }) => {
    const positions = state.accounts.flatMap((account) =>
      account.positions.filter(({ instrumentId }) => instrumentId === id),
    )
    const size = sum(positions.map((position) => position.size))
    const quote = sum(positions.map((position) => position.quote))
    const found: string[] = []
    if (size !== 0n) found.push(`${symbol}: sizes add up to ${wad(size)}`)
    if (long !== short) found.push(`${symbol}: ${wad(long)} long against ${wad(short)} short`)
    if (quote > pnlPool) found.push(`${symbol}: quotes exceed the PnL pool by ${quote - pnlPool} wei`)
    if (pnlPool - quote > QUOTE_DUST)
      found.push(`${symbol}: ${pnlPool - quote} wei of the PnL pool belong to nobody`)
    return found
  })
  return check(
    1,
    'positions of every instrument add up to zero',
    problems,
    `${state.instruments.length} instruments`,
  )
}

/** Invariant 2: what is owed on a chain lies there. */
export function checkCustody(state: LedgerState): Check {
  const problems = state.tokens.flatMap((token) => {
    const rows = state.accounts.flatMap(({ rows }) => rows.filter(({ assetId }) => assetId === token.assetId))
    const claims = sum(rows.map(({ claim, immature }) => claim + immature))
    const unpaid = sum(
      state.releases
        .filter(({ assetId }) => assetId === token.assetId)
        .map(({ released, paidOut }) => released - paidOut),
    )
    // Rounded up: a fraction of a unit that is owed is owed.
    const unit = 10n ** BigInt(18 - token.decimals)
    const backing = token.settlement ? ((state.backing[token.eid] ?? 0n) + unit - 1n) / unit : 0n
    const owed = backing + claims + unpaid
    const where = `${token.symbol} on ${token.chain}`
    const found: string[] = []
    if (owed > token.balance) found.push(`${where}: ${owed} units owed, ${token.balance} there`)
    if (token.credited > token.totalIn)
      found.push(`${where}: ${token.credited} credited, ${token.totalIn} deposited`)
    if (token.totalOut > token.totalIn) found.push(`${where}: more paid out than ever came in`)
    return found
  })
  const overpaid = state.releases.filter(({ released, paidOut }) => paidOut > released)
  for (const { account, assetId } of overpaid)
    problems.push(`asset ${assetId}: ${account} was paid more than was released`)
  return check(
    2,
    'backing, claims and unpaid releases are covered by every vault; nothing was paid twice',
    problems,
    `${state.tokens.length} tokens in vaults, ${state.releases.length} releases`,
  )
}

/** Invariant 5, with every account in the coalition: together nobody took out more than all put in. */
export function checkCoalition(
  state: LedgerState,
  price: (token: LedgerState['tokens'][number]) => bigint,
): Check {
  const value = (token: LedgerState['tokens'][number], units: bigint) =>
    (units * price(token)) / 10n ** BigInt(token.decimals)
  const deposited = sum(state.tokens.map((token) => value(token, token.totalIn)))
  const withdrawn = sum(state.tokens.map((token) => value(token, token.totalOut)))
  const perToken = state.tokens.filter(({ totalIn, totalOut }) => totalOut > totalIn)
  return check(
    5,
    'all accounts together withdrew no more than all deposited',
    perToken.map(
      ({ symbol, chain, totalIn, totalOut }) => `${symbol} on ${chain}: ${totalOut} out, ${totalIn} in`,
    ),
    `at final prices ${wad(withdrawn)} of ${wad(deposited)} withdrawn`,
  )
}

/** Invariant 7: only broken accounts were liquidated, never past the buffer, at prices that only fell and were never zero. */
export function checkLiquidations(auctions: readonly AuctionRecord[]): Check {
  const problems = auctions.flatMap(({ account, mm, bids }) => {
    const found: string[] = []
    if (mm >= 0n) found.push(`${account}: auction opened with maintenance margin ${wad(mm)}`)
    bids.forEach((bid, index) => {
      const whole = bid.fraction === WAD
      if (bid.bufferAfter > BUFFER_DUST && !whole)
        found.push(`${account}: a bid went ${wad(bid.bufferAfter)} past the buffer`)
      if (bid.equity > 0n && bid.payment === 0n) found.push(`${account}: sold for nothing while solvent`)
      const before = bids[index - 1]
      if (before && before.equity > 0n && bid.equity > 0n && bid.share > before.share)
        found.push(`${account}: the price rose from ${wad(before.share)} to ${wad(bid.share)} of equity`)
    })
    return found
  })
  const bids = auctions.reduce((count, auction) => count + auction.bids.length, 0)
  return check(
    7,
    'liquidation needed broken maintenance margin, never passed the buffer, never sold at zero, and its price never rose',
    problems,
    `${auctions.length} auctions, ${bids} bids and takeovers`,
  )
}

/** Invariant 8: the fund pays before others do, is never negative, and nobody is charged more than the loss. */
export function checkLosses(state: LedgerState, losses: readonly LossRecord[]): Check {
  const fund = state.accounts.find(({ account }) => account === state.fundAccount)?.cash ?? 0n
  const problems = losses.flatMap(({ account, loss, fromFund, socialised, fundAfter }) => {
    const found: string[] = []
    if (fromFund + socialised > loss)
      found.push(`${account}: ${wad(fromFund + socialised)} charged for a loss of ${wad(loss)}`)
    if (socialised > 0n && fundAfter > BUFFER_DUST)
      found.push(`${account}: others were charged while the fund still had ${wad(fundAfter)}`)
    return found
  })
  if (fund < 0n) problems.push(`the fund is at ${wad(fund)}`)
  return check(
    8,
    'losses fall on the fund before anybody else, and nobody is charged more than the loss',
    problems,
    `${losses.length} insolvent accounts, ${wad(sum(losses.map(({ fromFund }) => fromFund)))} from the fund, ${wad(sum(losses.map(({ socialised }) => socialised)))} from the other side`,
  )
}

/** Invariant 9: equal seq, equal report, whatever the chain. */
export function checkReports(
  reports: readonly { chain: string; seq: bigint; values: readonly Hex[] }[],
): Check {
  const first = new Map<bigint, { chain: string; values: string }>()
  const problems: string[] = []
  let compared = 0
  for (const { chain, seq, values } of reports) {
    const joined = values.join()
    const known = first.get(seq)
    if (known === undefined) {
      first.set(seq, { chain, values: joined })
      continue
    }
    compared++
    if (known.values !== joined) problems.push(`report ${seq} differs between ${known.chain} and ${chain}`)
  }
  if (compared === 0) problems.push('no report reached two chains, so nothing was compared')
  return check(
    9,
    'equal report for equal seq on all chains',
    problems,
    `${first.size} reports, ${compared} comparisons`,
  )
}

/** Invariant 13, as far as a finished story shows it: no message was forgotten. */
export function checkMessages(left: readonly string[], state: LedgerState): Check {
  const deposits = state.accounts.flatMap(({ rows }) => rows).length
  return check(
    13,
    'every deposit was credited and every release paid',
    left,
    `${deposits} rows of deposits, ${state.releases.length} releases`,
  )
}
