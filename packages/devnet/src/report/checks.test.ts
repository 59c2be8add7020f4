import { accountId } from '@clearspan/shared'
import { type Hex, parseUnits } from 'viem'
import { describe, expect, test } from 'vitest'
import type { AuthorityReport } from './authority.js'
import { type BidRecord, checkAll, type Facts } from './checks.js'

const wad = (value: number) => parseUnits(String(value), 18)
const usdc = (value: number) => parseUnits(String(value), 6)
const alice = accountId('0x00000000000000000000000000000000000000a1')
const bob = accountId('0x00000000000000000000000000000000000000b0')
const fund = accountId('0x00000000000000000000000000000000000000f0')
const backstop = accountId('0x00000000000000000000000000000000000000b5')

const firstBid = (): BidRecord => ({
  at: 2,
  fraction: wad(0.4),
  payment: wad(38),
  fromFund: 0n,
  equity: wad(100),
  share: wad(0.95),
  bufferBefore: -wad(60),
  bufferAfter: -wad(2),
})

/**
 * Alice and bob on one chain, and the fund. Bob lost 30 to alice, of which 10 are settled and 8 still warm: 210 + 200 were deposited, 60 by the fund; bob
 * took 40 out, 5 of them still under way, and the fund paid 10 to bob for an insolvent account that he took.
 */
function facts(): Facts {
  return {
    ledger: {
      fundAccount: fund,
      backstopAccount: backstop,
      accounts: [
        {
          account: alice,
          name: 'alice',
          cash: wad(92),
          warming: wad(8),
          rows: [{ assetId: 1, deposited: usdc(110), credited: usdc(110), immature: usdc(10), claim: 0n }],
          positions: [{ instrumentId: 1, size: wad(2), quote: -wad(190) }],
        },
        {
          account: bob,
          name: 'bob',
          cash: wad(140),
          warming: 0n,
          rows: [{ assetId: 1, deposited: usdc(180), credited: usdc(180), immature: 0n, claim: 0n }],
          positions: [{ instrumentId: 1, size: -wad(2), quote: wad(200) }],
        },
        {
          account: fund,
          name: 'insurance fund',
          cash: wad(50),
          warming: 0n,
          rows: [{ assetId: 1, deposited: usdc(60), credited: usdc(60), immature: 0n, claim: 0n }],
          positions: [],
        },
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
      instruments: [
        {
          id: 1,
          symbol: 'ETH-PERP',
          pnlPool: wad(10),
          long: wad(2),
          short: wad(2),
          sides: { long: unclosed(), short: unclosed() },
          house: { size: 0n, quote: 0n },
        },
      ],
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
      totalCash: wad(282),
      totalDebt: 0n,
      indexed: false,
      warming: wad(8),
    },
    prices: { token: () => wad(1), instrument: () => wad(98) },
    auctions: [
      {
        account: alice,
        startedAt: 1,
        mm: -wad(5),
        bids: [
          firstBid(),
          {
            at: 3,
            fraction: wad(0.1),
            payment: wad(9),
            fromFund: 0n,
            equity: wad(98),
            share: wad(0.92),
            bufferBefore: -wad(3),
            bufferAfter: 0n,
          },
        ],
      },
    ],
    losses: [{ account: bob, loss: wad(80), fromFund: wad(50), socialised: wad(30), fundAfter: 0n }],
    closings: [],
    reports: [
      { chain: 'alpha', seq: 1n, values: ['0x01'] },
      { chain: 'beta', seq: 1n, values: ['0x01'] },
    ],
    configuration: { nodes: '0x05', chains: [{ chain: 'alpha', expected: '0x05' }] },
    authorities: [
      {
        chain: 'alpha',
        governed: ['vault'],
        others: [],
        roles: [
          { role: 'council', account: address(1), delaySeconds: 86_400, may: [] },
          { role: 'guardian', account: address(2), delaySeconds: 0, may: ['vault.halt'] },
        ],
      },
    ],
    left: [],
  }
}

const address = (n: number): Hex => `0x${n.toString(16).padStart(40, '0')}`
const withRole = (f: Facts, at: number, change: Partial<AuthorityReport['roles'][number]>) => {
  const [alpha] = f.authorities as [AuthorityReport]
  alpha.roles[at] = { ...alpha.roles[at]!, ...change }
}

const account = (f: Facts, index: number) => f.ledger.accounts[index]!
const unclosed = () => ({ scale: 10n ** 36n, generation: 0n })
/** Something of a position of alice's was closed against the other side, so that it has this scale. */
const closeShorts = (f: Facts, scale: bigint, generation: bigint) => {
  const closing = { scale, generation }
  f.closings = [{ instrumentId: 1, account: alice, size: wad(1), ...closing }]
  f.ledger.instruments[0]!.sides.short = closing
}
const withBid = (f: Facts, change: Partial<BidRecord>) => {
  f.auctions = [{ ...f.auctions[0]!, bids: [firstBid(), { ...f.auctions[0]!.bids[1]!, ...change }] }]
}
const withLoss = (f: Facts, change: Partial<Facts['losses'][number]>) => {
  f.losses = [{ ...f.losses[0]!, ...change }]
}

/** Per check, in the report's order: its invariant, and facts that it must not let pass. */
const FALSEHOODS: [invariant: number, Record<string, (f: Facts) => void>][] = [
  [
    1,
    {
      'a wei of cash out of nothing': (f) => {
        account(f, 0).cash += 1n
      },
      'more than roundings gone after a loss of all cash': (f) => {
        f.ledger.indexed = true
        account(f, 0).cash -= wad(1)
      },
      'cash that the hub counts and nobody has': (f) => {
        f.ledger.totalCash += 1n
        account(f, 0).cash += 1n
      },
      'debt that the hub has forgotten': (f) => {
        f.ledger.indexed = true
        account(f, 0).cash -= wad(100)
        f.ledger.totalCash -= wad(92)
      },
      'warming profit out of nothing': (f) => {
        f.ledger.warming += 1n
      },
      'warming profit that two accounts have': (f) => {
        account(f, 1).warming += 1n
      },
      'backing that nobody owns': (f) => {
        f.ledger.backing[1]! += 1n
      },
    },
  ],
  [
    1,
    {
      'a position without its other side': (f) => {
        account(f, 1).positions = []
      },
      'profit that nobody paid for': (f) => {
        account(f, 0).positions[0]!.quote += 1n
      },
      'a pool that belongs to nobody': (f) => {
        f.ledger.instruments[0]!.pnlPool += wad(1)
      },
      'a settlement that gave more than the other side': (f) => {
        f.ledger.instruments[0]!.house = { size: 0n, quote: 1n }
      },
      'a settled position whose other side is gone': (f) => {
        f.ledger.instruments[0]!.house = { size: 1n, quote: 0n }
      },
      'more than roundings left of a side that was closed in part': (f) => {
        closeShorts(f, 10n ** 35n, 0n)
        f.ledger.instruments[0]!.house = { size: -(10n ** 6n) - 1n, quote: 0n }
      },
      'more profit than roundings made of a side that was closed in part': (f) => {
        closeShorts(f, 10n ** 35n, 0n)
        f.ledger.instruments[0]!.house = { size: 0n, quote: 10n ** 9n + 1n }
      },
      'a side that was closed in part, and nobody told': (f) => {
        f.ledger.instruments[0]!.sides.long.scale = 10n ** 35n
      },
      'a closing that was told and did not happen': (f) => {
        closeShorts(f, 10n ** 35n, 0n)
        f.ledger.instruments[0]!.sides.short = unclosed()
      },
      'a generation that went on after all of it was closed': (f) => {
        closeShorts(f, 0n, 3n)
        f.ledger.instruments[0]!.sides.short = { scale: 10n ** 36n, generation: 3n }
      },
      'more long than short': (f) => {
        f.ledger.instruments[0]!.long += 1n
      },
    },
  ],
  [
    2,
    {
      'a vault that lacks a unit of what it owes': (f) => {
        f.ledger.tokens[0]!.balance -= 1n
      },
      'a deposit that was counted but never made': (f) => {
        f.ledger.tokens[0]!.credited += 1n
      },
      'a payout beyond the release': (f) => {
        f.ledger.releases[0]!.paidOut = usdc(41)
      },
      'more out than ever came in': (f) => {
        f.ledger.tokens[0]!.totalOut = usdc(351)
      },
    },
  ],
  [
    5,
    {
      'a unit that was paid twice': (f) => {
        f.ledger.releases[0]!.paidOut = usdc(40) + 1n
      },
      'a deposit that was credited without being made': (f) => {
        account(f, 0).rows[0]!.deposited -= 1n
      },
      'a claim out of nothing': (f) => {
        account(f, 0).rows[0]!.claim += 1n
      },
      'a profit that nobody lost': (f) => {
        account(f, 1).positions[0]!.quote += wad(0.001)
      },
      'what the fund has not paid': (f) => {
        account(f, 2).cash += wad(0.001)
      },
    },
  ],
  [
    7,
    {
      'of a healthy account': (f) => {
        f.auctions = [{ ...f.auctions[0]!, mm: 0n }]
      },
      'past the buffer': (f) => withBid(f, { bufferAfter: wad(1) }),
      'away from the buffer': (f) => withBid(f, { bufferAfter: -wad(4) }),
      'that leaves the ratio where it was': (f) => withBid(f, { bufferAfter: -wad(2.7) }),
      'at a price that rose': (f) => withBid(f, { share: wad(0.96) }),
      'for nothing': (f) => withBid(f, { payment: 0n, share: 0n }),
    },
  ],
  [
    8,
    {
      'more charged than was lost': (f) => withLoss(f, { socialised: wad(31) }),
      'others charged before the fund': (f) => withLoss(f, { fundAfter: wad(1) }),
      'a fund below zero': (f) => {
        account(f, 2).cash = -1n
      },
    },
  ],
  [
    9,
    {
      'another report on another chain': (f) => {
        f.reports = [f.reports[0]!, { ...f.reports[1]!, values: ['0x02'] }]
      },
      'nothing to compare': (f) => {
        f.reports = [f.reports[0]!, { ...f.reports[1]!, seq: 2n }]
      },
      'nodes of other rules than a chain expects': (f) => {
        f.configuration = { nodes: '0x05', chains: [{ chain: 'alpha', expected: '0x06' }] }
      },
    },
  ],
  [
    11,
    {
      'a contract that somebody keeps': (f) => {
        f.authorities[0]!.others.push({ contract: 'vault', as: 'owner', account: address(3) })
      },
      'a council that acts at once': (f) => withRole(f, 0, { delaySeconds: 0 }),
      'a guardian who may pay': (f) => withRole(f, 1, { may: ['vault.halt', 'vault.setLimits'] }),
      'a governance of nothing': (f) => {
        f.authorities[0]!.governed = []
      },
    },
  ],
  [
    13,
    {
      'a release that was forgotten': (f) => {
        f.left = ['a release of USDC on alpha is not paid']
      },
    },
  ],
]

test('an honest network passes every check, and none of them is vacuous', () => {
  expect(checkAll(facts()).filter(({ holds, vacuous }) => !holds || vacuous)).toEqual([])
})

test('every check is here with what it must catch', () => {
  expect(FALSEHOODS.map(([invariant]) => invariant)).toEqual(
    checkAll(facts()).map(({ invariant }) => invariant),
  )
})

describe.each(FALSEHOODS.map(([invariant, falsehoods], index) => ({ invariant, falsehoods, index })))(
  'check $invariant (number $index)',
  ({ falsehoods, index }) => {
    test.each(Object.entries(falsehoods))('catches: %s', (_, falsify) => {
      const false_ = facts()
      falsify(false_)
      expect(checkAll(false_)[index]).toMatchObject({ holds: false, vacuous: false })
    })
  },
)

describe('what others paid counts', () => {
  test('a coalition may hold what the fund lost to it', () => {
    const paid = facts()
    account(paid, 2).cash -= wad(10)
    account(paid, 1).cash += wad(10)
    expect(checkAll(paid)[3]).toMatchObject({ holds: true })
  })
})

describe('positions closed against the other side', () => {
  test.each([
    [10n ** 35n, 2n, { scale: 10n ** 35n, generation: 2n }],
    [10n ** 30n - 1n, 2n, { scale: 10n ** 36n, generation: 3n }],
    [0n, 0n, { scale: 10n ** 36n, generation: 1n }],
  ])('a scale of %d told in generation %d', (scale, generation, left) => {
    const closed = facts()
    closeShorts(closed, scale, generation)
    closed.ledger.instruments[0]!.sides.short = left
    closed.ledger.instruments[0]!.house = { size: 10n ** 6n, quote: 10n ** 9n }
    expect(checkAll(closed)[1]).toMatchObject({ holds: true })
    closed.ledger.instruments[0]!.sides.long = left
    expect(checkAll(closed)[1]).toMatchObject({ holds: false })
  })
})

describe('what proves nothing says so', () => {
  test('a story without liquidation, loss or deposit', () => {
    const quiet = { ...facts(), auctions: [], losses: [] }
    for (const one of quiet.ledger.accounts) one.rows = []
    const vacuous = checkAll(quiet).filter((check) => check.vacuous)
    expect(vacuous.map(({ invariant }) => invariant)).toEqual([7, 8, 13])
    for (const { detail } of vacuous) expect(detail).toMatch(/^vacuous/)
  })

  test('an insolvent account of which a part is taken keeps its ratio at least', () => {
    const insolvent = facts()
    const taken = { payment: 0n, share: 0n, equity: -wad(10), bufferBefore: -wad(20), fraction: wad(0.5) }
    withBid(insolvent, { ...taken, bufferAfter: -wad(10) })
    expect(checkAll(insolvent)[4]).toMatchObject({ holds: true })
    withBid(insolvent, { ...taken, bufferAfter: -wad(11) })
    expect(checkAll(insolvent)[4]).toMatchObject({ holds: false })
  })
})
