import fc from 'fast-check'
import { type Address, numberToHex } from 'viem'
import { expect, test } from 'vitest'
import { accountId } from './account.js'
import { type HubBooks, lastExits, type VaultBooks } from './last-word.js'

const WAD = 10n ** 18n
const owner = (n: number): Address => numberToHex(0xa0 + n, { size: 20 })
const account = (n: number) => accountId(owner(n))
const other: Address = numberToHex(0xfe, { size: 20 })

function vault(eid: number, held: bigint, more: Partial<VaultBooks> = {}): VaultBooks {
  const token = numberToHex(eid, { size: 20 })
  return {
    eid,
    vaultEpoch: 1,
    token,
    decimals: 6,
    settlement: true,
    held,
    payouts: [],
    own: [],
    brought: [],
    ...more,
  }
}

test('what is released, what is an account’s own, then cash, wherever there is some', () => {
  const payouts = [
    { account: account(1), recipient: other, released: 50n, paid: 30n },
    { account: account(1), recipient: owner(1), released: 7n, paid: 7n },
  ]
  const claims = vault(2, 9n * WAD, {
    settlement: false,
    decimals: 18,
    own: [{ account: account(2), amount: 9n * WAD }],
  })
  const books: HubBooks = {
    vaults: [vault(1, 130n, { payouts, own: [{ account: account(1), amount: 10n }] }), claims, vault(3, 60n)],
    cash: [
      { account: account(1), amount: 110n * 10n ** 12n },
      { account: account(2), amount: 50n * 10n ** 12n },
    ],
    fund: [],
  }
  const exits = lastExits(books).map(({ eid, recipient, released }) => [eid, recipient, released])
  expect(exits).toEqual([
    [1, other, 50n],
    // Paid, its own, and as much cash as lies there.
    [1, owner(1), 7n + 10n + 100n],
    [2, owner(2), 9n * WAD],
    [3, owner(1), 10n],
    [3, owner(2), 50n],
  ])
})

test('what is missing is missing for all alike', () => {
  const own = [
    { account: account(1), amount: 100n },
    { account: account(2), amount: 300n },
  ]
  const books: HubBooks = {
    vaults: [vault(1, 200n, { settlement: false, own }), vault(2, 90n)],
    cash: [
      { account: account(1), amount: 100n * 10n ** 12n },
      { account: account(2), amount: 200n * 10n ** 12n },
    ],
    fund: [{ account: account(3), amount: 10n ** 18n }],
  }
  expect(lastExits(books).map(({ released }) => released)).toEqual([50n, 150n, 30n, 60n])
})

test('what the vault pays anyway is paid before what is an account’s own, whoever fetches it when', () => {
  const payouts = [{ account: account(1), recipient: other, released: 70n, paid: 10n }]
  const own = [
    { account: account(2), amount: 60n },
    { account: account(3), amount: 20n },
  ]
  const [one, later] = [
    { held: 100n, payouts, own },
    { held: 40n, payouts: [{ ...payouts[0]!, paid: 70n }], own },
  ].map(({ held, ...more }) => lastExits({ vaults: [vault(1, held, more)], cash: [], fund: [] }))
  expect(one!.map(({ released }) => released)).toEqual([70n, 30n, 10n])
  expect(later).toEqual(one)
})

test('cash is paid where it was brought, and the fund has what is left', () => {
  const brought = (n: number, amount: bigint) => [{ account: account(n), amount }]
  const wad = (amount: bigint) => amount * 10n ** 12n
  const exits = lastExits({
    vaults: [vault(1, 100n, { brought: brought(2, 80n) }), vault(2, 100n, { brought: brought(1, 70n) })],
    cash: [
      { account: account(1), amount: wad(90n) },
      { account: account(2), amount: wad(60n) },
    ],
    fund: [{ account: account(3), amount: wad(200n) }],
  })
  expect(exits.map(({ eid, recipient, released }) => [eid, recipient, released])).toEqual([
    [1, owner(2), 60n],
    [2, owner(1), 70n],
    [1, owner(1), 20n],
    [1, owner(3), 20n],
    [2, owner(3), 30n],
  ])
})

const amounts = fc.bigInt({ min: 0n, max: 10n ** 12n })
const ofSomebody = fc.record({ account: fc.integer({ min: 0, max: 3 }).map(account), amount: amounts })

const anyVault = (eid: number) =>
  fc
    .record({
      held: amounts,
      settlement: fc.boolean(),
      decimals: fc.constantFrom(6, 8, 18),
      own: fc.array(ofSomebody, { maxLength: 4 }),
      brought: fc.uniqueArray(ofSomebody, { maxLength: 4, selector: ({ account }) => account }),
      payouts: fc.uniqueArray(
        fc
          .tuple(fc.integer({ min: 0, max: 3 }), fc.boolean(), amounts, amounts)
          .map(([n, elsewhere, paid, unpaid]) => ({
            account: account(n),
            recipient: elsewhere ? other : owner(n),
            released: paid + unpaid,
            paid,
          })),
        { maxLength: 4, selector: ({ account, recipient }) => account + recipient },
      ),
    })
    .map((more) => vault(eid, more.held, more))

test('no vault is asked for more than it holds, and nobody gets more than he is owed nor less where there is enough', () => {
  const books = fc.record({
    vaults: fc.tuple(anyVault(1), anyVault(2), anyVault(3)),
    cash: fc.array(
      fc.record({
        account: fc.integer({ min: 0, max: 3 }).map(account),
        amount: fc.bigInt({ min: 0n, max: 10n ** 25n }),
      }),
      { maxLength: 4 },
    ),
  })
  fc.assert(
    fc.property(books, ({ vaults, cash }) => {
      const exits = lastExits({ vaults, cash, fund: [] })
      expect(new Set(exits.map((e) => `${e.eid}${e.account}${e.recipient}`)).size).toBe(exits.length)
      let [given, room] = [0n, 0n]
      for (const v of vaults) {
        const paid = v.payouts.reduce((sum, p) => sum + p.paid, 0n)
        const senior =
          v.payouts.reduce((sum, p) => sum + p.released - p.paid, 0n) +
          v.own.reduce((sum, o) => sum + o.amount, 0n)
        const leaves = exits
          .filter(({ eid }) => eid === v.eid)
          .reduce((sum, { released }) => sum + released, 0n)
        const out = leaves - paid
        expect(out).toBeLessThanOrEqual(v.held)
        if (senior > v.held) {
          expect(out).toBeGreaterThan(v.held - BigInt(v.payouts.length + v.own.length) - 1n)
          continue
        }
        expect(out).toBeGreaterThanOrEqual(senior)
        const unit = 10n ** BigInt(18 - v.decimals)
        given += (out - senior) * unit
        if (v.settlement) room += (v.held - senior) * unit
        else expect(out).toBe(senior)
      }
      const owed = cash.reduce((sum, { amount }) => sum + amount, 0n)
      const due = owed < room ? owed : room
      expect(given).toBeLessThanOrEqual(due)
      // Of each account less than a unit of the coarsest token.
      expect(due - given).toBeLessThanOrEqual(BigInt(cash.length) * 10n ** 12n)
    }),
    { numRuns: 500 },
  )
})
