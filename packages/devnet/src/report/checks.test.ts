import { accountId } from '@clearspan/shared'
import { parseUnits } from 'viem'
import { describe, expect, test } from 'vitest'
import {
  type AuctionRecord,
  checkCash,
  checkCoalition,
  checkCustody,
  checkLiquidations,
  checkLosses,
  checkPositions,
  checkReports,
} from './checks.js'
import type { LedgerState } from './ledger.js'

const wad = (value: number) => parseUnits(String(value), 18)
const usdc = (value: number) => parseUnits(String(value), 6)
const alice = accountId('0x00000000000000000000000000000000000000a1')
const bob = accountId('0x00000000000000000000000000000000000000b0')
const fund = accountId('0x00000000000000000000000000000000000000f0')

/** Alice and bob on one chain; bob lost 30 to alice, of which 10 are settled. */
function ledger(): LedgerState {
  return {
    fundAccount: fund,
    backstopAccount: accountId('0x00000000000000000000000000000000000000b5'),
    accounts: [
      {
        account: alice,
        name: 'alice',
        cash: wad(100),
        rows: [{ assetId: 1, credited: usdc(110), immature: usdc(10), claim: 0n }],
        positions: [{ instrumentId: 1, size: wad(2), quote: -wad(190) }],
      },
      {
        account: bob,
        name: 'bob',
        cash: wad(140),
        rows: [],
        positions: [{ instrumentId: 1, size: -wad(2), quote: wad(200) }],
      },
      { account: fund, name: 'insurance fund', cash: wad(50), rows: [], positions: [] },
    ],
    tokens: [
      {
        chain: 'alpha',
        eid: 1,
        assetId: 1,
        symbol: 'USDC',
        decimals: 6,
        settlement: true,
        balance: usdc(315),
        totalIn: usdc(350),
        totalOut: usdc(35),
        credited: usdc(350),
      },
    ],
    backing: { 1: wad(300) },
    instruments: [{ id: 1, symbol: 'ETH-PERP', pnlPool: wad(10), long: wad(2), short: wad(2) }],
    releases: [
      {
        account: bob,
        recipient: '0x00000000000000000000000000000000000000b0',
        assetId: 1,
        released: usdc(40),
        paidOut: usdc(35),
      },
    ],
    lostBacking: 0n,
  }
}

const price = () => wad(1)

describe('an honest ledger', () => {
  test('passes every check', () => {
    const state = ledger()
    const checks = [
      checkCash(state),
      checkPositions(state),
      checkCustody(state),
      checkCoalition(state, price),
      checkLosses(state, []),
    ]
    expect(checks.filter(({ holds }) => !holds)).toEqual([])
  })
})

describe('a broken ledger fails the check that watches it', () => {
  test('a wei of cash out of nothing', () => {
    const state = ledger()
    state.accounts[0]!.cash += 1n
    expect(checkCash(state).holds).toBe(false)
  })

  test('a position without its other side', () => {
    const state = ledger()
    state.accounts[1]!.positions = []
    expect(checkPositions(state).holds).toBe(false)
  })

  test('profit that nobody paid for', () => {
    const state = ledger()
    state.accounts[0]!.positions[0]!.quote += 1n
    expect(checkPositions(state).holds).toBe(false)
  })

  test('a vault that lacks a unit of what it owes', () => {
    const state = ledger()
    state.tokens[0]!.balance = usdc(315) - 1n
    expect(checkCustody(state).holds).toBe(false)
  })

  test('a deposit that was counted but never made', () => {
    const state = ledger()
    state.tokens[0]!.credited += 1n
    expect(checkCustody(state).holds).toBe(false)
  })

  test('a payout beyond the release', () => {
    const state = ledger()
    state.releases[0]!.paidOut = usdc(41)
    expect(checkCustody(state).holds).toBe(false)
  })

  test('more out than in', () => {
    const state = ledger()
    state.tokens[0]!.totalOut = usdc(351)
    expect(checkCoalition(state, price).holds).toBe(false)
  })

  test('a fund below zero', () => {
    const state = ledger()
    state.accounts[2]!.cash = -1n
    expect(checkLosses(state, []).holds).toBe(false)
  })
})

describe('liquidations', () => {
  const fair: AuctionRecord = {
    account: alice,
    startedAt: 1,
    mm: -wad(5),
    bids: [
      {
        at: 2,
        fraction: wad(0.4),
        payment: wad(38),
        fromFund: 0n,
        equity: wad(100),
        share: wad(0.95),
        bufferAfter: -wad(2),
      },
      {
        at: 3,
        fraction: wad(0.1),
        payment: wad(9),
        fromFund: 0n,
        equity: wad(98),
        share: wad(0.92),
        bufferAfter: 0n,
      },
    ],
  }
  const changed = (change: object) => ({ ...fair, bids: [fair.bids[0]!, { ...fair.bids[1]!, ...change }] })

  test('a fair auction passes', () => {
    expect(checkLiquidations([fair])).toMatchObject({
      holds: true,
      detail: '1 auctions, 2 bids and takeovers',
    })
  })

  test.each([
    ['of a healthy account', { ...fair, mm: 0n }],
    ['past the buffer', changed({ bufferAfter: wad(1) })],
    ['at a price that rose', changed({ share: wad(0.96) })],
    ['for nothing', changed({ payment: 0n, share: 0n })],
  ])('%s is caught', (_, auction) => {
    expect(checkLiquidations([auction]).holds).toBe(false)
  })
})

describe('losses', () => {
  const loss = { account: bob, loss: wad(80), fromFund: wad(50), socialised: wad(30), fundAfter: 0n }

  test('the fund first, then the other side, never more than the loss', () => {
    expect(checkLosses(ledger(), [loss]).holds).toBe(true)
    expect(checkLosses(ledger(), [{ ...loss, socialised: wad(31) }]).holds).toBe(false)
    expect(checkLosses(ledger(), [{ ...loss, fundAfter: wad(1) }]).holds).toBe(false)
  })
})

describe('reports', () => {
  const report = (chain: string, seq: bigint, value: `0x${string}`) => ({ chain, seq, values: [value] })

  test('equal seq, equal report', () => {
    expect(checkReports([report('a', 1n, '0x01'), report('b', 1n, '0x01')]).holds).toBe(true)
    expect(checkReports([report('a', 1n, '0x01'), report('b', 1n, '0x02')]).holds).toBe(false)
  })

  test('nothing to compare is no proof', () => {
    expect(checkReports([report('a', 1n, '0x01'), report('b', 2n, '0x01')]).holds).toBe(false)
  })
})
