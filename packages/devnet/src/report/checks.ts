import { formatUnits, type Hex } from 'viem'
import { COUNCIL_DELAY } from '../network/parameters.js'
import type { AuthorityReport } from './authority.js'
import { type ClosingRecord, sideByClosings, wasClosed } from './closings.js'
import type { AccountState, LedgerState } from './ledger.js'

const WAD = 10n ** 18n
/** Rounding of funding is against the account, a wei or two at each touch; more than this is no rounding. */
const QUOTE_DUST = 10n ** 9n
/** What roundings have left of a side of which something was closed against insolvent accounts: a wei for each position and each change of one. */
const SIZE_DUST = 10n ** 6n
/** What losses and interest have rounded off: at each, of an account's cash less than a unit of the index. */
const CASH_DUST = 10n ** 12n
/** The buffer may be passed by rounding only: a millionth of a unit. */
const BUFFER_DUST = 10n ** 12n

/** Each valuation is rounded by a wei; less than a unit of any token. WAD. */
const VALUE_DUST = 10n ** 10n

/** A sentence of DESIGN's invariants, and whether the chains bear it out. */
export interface Check {
  /** Number in the list of invariants. */
  invariant: number
  claim: string
  holds: boolean
  /** Nothing happened that could have broken it: it holds, and proves nothing. */
  vacuous: boolean
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
  /** Margin above the buffer just before, WAD: negative. */
  bufferBefore: bigint
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

function check(
  invariant: number,
  claim: string,
  problems: readonly string[],
  { detail, empty }: { detail: string; empty?: string | false },
): Check {
  const holds = problems.length === 0
  const vacuous = holds && typeof empty === 'string'
  return { invariant, claim, holds, vacuous, detail: vacuous ? empty : holds ? detail : problems.join('; ') }
}

/** All that the checks judge, read from the chains. */
export interface Facts {
  ledger: LedgerState
  prices: FinalPrices
  auctions: readonly AuctionRecord[]
  losses: readonly LossRecord[]
  /** In order. */
  closings: readonly ClosingRecord[]
  reports: readonly { chain: string; seq: bigint; values: readonly Hex[] }[]
  /** Hash of the description and rules that the oracle's nodes run with, and of those that each chain expects of their epoch. */
  configuration: { nodes: Hex; chains: readonly { chain: string; expected: Hex }[] }
  authorities: readonly AuthorityReport[]
  /** Messages that were still under way at the end, and positions that had expired and weren't settled. */
  left: readonly string[]
}

/** The hub's, WAD. */
export interface FinalPrices {
  token(symbol: string): bigint
  instrument(id: number): bigint
}

/** Every check of the closing report, in its order. */
export function checkAll(facts: Facts): Check[] {
  const { ledger, prices, auctions, losses, closings, reports, configuration, authorities, left } = facts
  return [
    checkCash(ledger),
    checkPositions(ledger, closings),
    checkCustody(ledger),
    checkCoalition(ledger, prices),
    checkLiquidations(auctions),
    checkLosses(ledger, losses),
    checkReports(reports, configuration),
    checkAuthorities(authorities),
    checkUnfinished(left, ledger),
  ]
}

/** Invariant 1: money is neither made nor lost. */
function checkCash(state: LedgerState): Check {
  const positive = sum(state.accounts.map(({ cash }) => (cash > 0n ? cash : 0n)))
  const owed = sum(state.accounts.map(({ cash }) => (cash < 0n ? -cash : 0n)))
  const dust = state.indexed ? CASH_DUST : 0n
  const pools = sum(state.instruments.map(({ pnlPool }) => pnlPool))
  const backing = sum(Object.values(state.backing))
  const warm = sum(state.accounts.map(({ warming }) => warming))
  const left = state.totalCash - state.totalDebt + state.warming + pools
  const right = backing + state.lostBacking
  const figures = `cash ${wad(positive)} − debt ${wad(owed)} + warming ${wad(state.warming)} + pools ${wad(pools)}`
  return check(
    1,
    'signed cash and warming profit of all accounts, fund and backstop included, plus PnL pools equals the backing of all chains',
    [
      ...(left === right ? [] : [`${figures} differs from backing ${wad(right)} by ${left - right} wei`]),
      ...(positive <= state.totalCash && state.totalCash - positive <= dust
        ? []
        : [`accounts have ${positive - state.totalCash} wei more cash than there is`]),
      ...(owed >= state.totalDebt && owed - state.totalDebt <= dust
        ? []
        : [`accounts owe ${owed - state.totalDebt} wei more than is counted`]),
      ...(warm > state.warming
        ? [`accounts have ${warm - state.warming} wei more warming profit than there is`]
        : []),
    ],
    { detail: `${figures} = backing ${wad(right)}` },
  )
}

/**
 * Invariant 1: every instrument is zero-sum, with the house row that stands for what has been settled at expiry. What roundings of closed positions
 * left is the house row's too, and only open interest counts it.
 */
function checkPositions(state: LedgerState, closings: readonly ClosingRecord[]): Check {
  const problems = state.instruments.flatMap(({ id, symbol, pnlPool, long, short, sides, house }) => {
    const positions = [
      house,
      ...state.accounts.flatMap((account) =>
        account.positions.filter(({ instrumentId }) => instrumentId === id),
      ),
    ]
    const size = sum(positions.map((position) => position.size))
    const quote = sum(positions.map((position) => position.quote))
    const found: string[] = []
    const closed = wasClosed(sides.long) || wasClosed(sides.short)
    const rest = closed ? SIZE_DUST : 0n
    for (const side of ['long', 'short'] as const) {
      const told = sideByClosings(closings, id, side === 'long')
      if (told.scale !== sides[side].scale || told.generation !== sides[side].generation)
        found.push(`${symbol}: something of the ${side} side was closed, and nobody told`)
    }
    if (size > rest || size < -rest) found.push(`${symbol}: sizes add up to ${wad(size)}`)
    if (long !== short) found.push(`${symbol}: ${wad(long)} long against ${wad(short)} short`)
    if (quote > pnlPool + (closed ? QUOTE_DUST : 0n))
      found.push(`${symbol}: quotes exceed the PnL pool by ${quote - pnlPool} wei`)
    if (pnlPool - quote > QUOTE_DUST)
      found.push(`${symbol}: ${pnlPool - quote} wei of the PnL pool belong to nobody`)
    return found
  })
  return check(1, 'positions of every instrument add up to zero', problems, {
    detail: `${state.instruments.length} instruments, ${closings.length} positions closed against the other side`,
  })
}

/** Invariant 2: what is owed on a chain lies there. */
function checkCustody(state: LedgerState): Check {
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
    const backing = token.settlement ? ((state.backing[token.assetId] ?? 0n) + unit - 1n) / unit : 0n
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
    { detail: `${state.tokens.length} tokens in vaults, ${state.releases.length} releases` },
  )
}

/**
 * Invariant 5, with every account in the coalition, by value at final prices: what they took out and what they still hold is no more than
 * what they put in and what the others, which are the fund and its book, paid. Others paid what they put in and neither took out nor hold.
 */
function checkCoalition(state: LedgerState, prices: FinalPrices): Check {
  const tokens = new Map(state.tokens.map((token) => [token.assetId, token]))
  const value = (assetId: number, units: bigint) => {
    const { symbol, decimals } = tokens.get(assetId)!
    return (units * prices.token(symbol)) / 10n ** BigInt(decimals)
  }
  const book = (accounts: readonly AccountState[]) => {
    const own = new Set(accounts.map(({ account }) => account))
    const rows = accounts.flatMap(({ rows }) => rows)
    const positions = accounts.flatMap(({ positions }) => positions)
    return {
      deposited: sum(rows.map(({ assetId, deposited }) => value(assetId, deposited))),
      // Released counts as taken, though it may still be under way.
      withdrawn: sum(
        state.releases
          .filter(({ account }) => own.has(account))
          .map(({ assetId, released, paidOut }) => value(assetId, released > paidOut ? released : paidOut)),
      ),
      held:
        sum(accounts.map(({ cash, warming }) => cash + warming)) +
        sum(rows.map(({ assetId, claim, immature }) => value(assetId, claim + immature))) +
        sum(
          positions.map(
            ({ instrumentId, size, quote }) => quote + (size * prices.instrument(instrumentId)) / WAD,
          ),
        ),
    }
  }
  const isOther = ({ account }: AccountState) =>
    account === state.fundAccount || account === state.backstopAccount
  const others = book(state.accounts.filter(isOther))
  const coalition = book(state.accounts.filter((account) => !isOther(account)))
  const paid = others.deposited - others.withdrawn - others.held
  const excess = coalition.withdrawn + coalition.held - coalition.deposited - paid
  const figures =
    `withdrew ${wad(coalition.withdrawn)} and hold ${wad(coalition.held)}; ` +
    `they deposited ${wad(coalition.deposited)} and the fund with its book paid ${wad(paid)}`
  return check(
    5,
    'all accounts together took out and hold no more than they put in and others paid, at final prices',
    excess > VALUE_DUST ? [`${wad(excess)} too much: they ${figures}`] : [],
    { detail: figures },
  )
}

/** Invariant 7: only broken accounts were liquidated, towards the buffer and never past it, at prices that only fell and were never zero. */
function checkLiquidations(auctions: readonly AuctionRecord[]): Check {
  const problems = auctions.flatMap(({ account, mm, bids }) => [
    ...(mm >= 0n ? [`${account}: auction opened with maintenance margin ${wad(mm)}`] : []),
    ...bids.flatMap((bid, index) => bidProblems(bid, bids[index - 1]).map((line) => `${account}: ${line}`)),
  ])
  const bids = auctions.reduce((count, auction) => count + auction.bids.length, 0)
  return check(
    7,
    'liquidation needed broken maintenance margin, raised the buffer ratio and never passed the buffer, never sold at zero, and its price never rose',
    problems,
    {
      detail: `${auctions.length} auctions, ${bids} bids and takeovers`,
      empty: bids === 0 && `vacuous: ${auctions.length} auctions, and nothing was taken`,
    },
  )
}

function bidProblems(bid: BidRecord, before: BidRecord | undefined): string[] {
  const found: string[] = []
  const solvent = bid.equity > 0n
  if (bid.bufferAfter > BUFFER_DUST && bid.fraction !== WAD)
    found.push(`a bid went ${wad(bid.bufferAfter)} past the buffer`)
  // What is left of the account would have this margin if nothing had been paid: the same share of what was missing.
  const unpaid = (bid.bufferBefore * (WAD - bid.fraction)) / WAD
  if (bid.bufferAfter < unpaid - BUFFER_DUST || (solvent && bid.bufferAfter <= unpaid))
    found.push(`a bid did not raise the buffer ratio: ${wad(bid.bufferAfter)} from ${wad(unpaid)}`)
  if (solvent && bid.payment === 0n) found.push('sold for nothing while solvent')
  if (solvent && before && before.equity > 0n && bid.share > before.share)
    found.push(`the price rose from ${wad(before.share)} to ${wad(bid.share)} of equity`)
  return found
}

/** Invariant 8: the fund pays before others do, is never negative, and nobody is charged more than the loss. */
function checkLosses(state: LedgerState, losses: readonly LossRecord[]): Check {
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
    {
      detail: `${losses.length} bids for and takeovers of insolvent accounts, ${wad(sum(losses.map(({ fromFund }) => fromFund)))} from the fund, ${wad(sum(losses.map(({ socialised }) => socialised)))} from the other side`,
      empty:
        losses.length === 0 && 'vacuous, but for the fund, which is not negative: no account was insolvent',
    },
  )
}

/** Invariant 9: equal seq, equal report, whatever the chain; by the nodes and rules that each chain expects. */
function checkReports(reports: Facts['reports'], { nodes, chains }: Facts['configuration']): Check {
  const first = new Map<bigint, { chain: string; values: string }>()
  const problems = chains
    .filter(({ expected }) => expected !== nodes)
    .map(({ chain, expected }) => `${chain} expects the configuration ${expected}, nodes run ${nodes}`)
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
  return check(9, 'equal report for equal seq on all chains', problems, {
    detail: `${first.size} reports, ${compared} comparisons; configuration ${nodes}`,
  })
}

/** Invariant 13, as far as a finished story shows it: no message was forgotten, and nobody who waited for an expiry. */
/** What holds back new risk, and what gives terms to an instrument that the council admitted. */
const AT_ONCE = new Set([
  ...['endpoint.skip', 'vault.halt', 'clearinghouse.pauseNewRisk'],
  ...['future.list', 'option.list', 'rateSwap.list'],
])

/** Invariant 11, as far as a run can show it: no parameter changes at once. */
function checkAuthorities(authorities: readonly AuthorityReport[]): Check {
  const problems = authorities.flatMap(({ chain, governed, others, roles }) => [
    ...(governed.length === 0 ? [`governance owns nothing on ${chain}`] : []),
    ...others.map(({ contract, as, account }) => `${account} is ${as} of ${contract} on ${chain}`),
    ...roles.flatMap(({ role, account, delaySeconds, may }) => {
      const early = role === 'council' ? ['anything'] : may.filter((name) => !AT_ONCE.has(name))
      return delaySeconds >= COUNCIL_DELAY
        ? []
        : early.map((name) => `${role} ${account} may do ${name} on ${chain} after ${delaySeconds} s`)
    }),
  ])
  const owned = authorities.reduce((count, { governed }) => count + governed.length, 0)
  return check(
    11,
    'what has an owner belongs to governance, which acts a day after all could see it; at once its guardian holds back and its lister gives terms',
    problems,
    { detail: `${owned} contracts on ${authorities.length} chains` },
  )
}

function checkUnfinished(left: readonly string[], state: LedgerState): Check {
  const deposits = state.accounts.flatMap(({ rows }) => rows).length
  return check(
    13,
    'every deposit was credited, every release paid and every expired position settled',
    left,
    {
      detail: `${deposits} rows of deposits, ${state.releases.length} releases`,
      empty: deposits === 0 && 'vacuous: nobody deposited',
    },
  )
}
