// Every function that changes something, of every contract there is, called with success on real chains, and what it did looked at: an owner's
// in `governance.test.ts`, all others here. What has been called is read from the chains' own traces, so that a call of another contract
// counts; the list of what must be is the ABIs themselves.
import { getAddress, toFunctionSelector, toHex } from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { abiOf, compiled, type Kind, read } from './functions/calls.test-util.js'
import { control, deposits, withdrawals } from './functions/custody.test-util.js'
import { expiries } from './functions/expiry.test-util.js'
import { fundExits } from './functions/fund.test-util.js'
import { rolesOfGovernance } from './functions/governance.test-util.js'
import { auctioned, backstopped, covered, engines } from './functions/liquidation.test-util.js'
import { loans } from './functions/loans.test-util.js'
import { lastWord, regression, shortfall } from './functions/losses.test-util.js'
import { adapters, epochs } from './functions/oracle.test-util.js'
import { marketRisk, oracleTrades, trades } from './functions/trading.test-util.js'
import { allocation } from './functions/venue.test-util.js'
import { openWorld, type World } from './functions/world.test-util.js'
import { ownersFunctions, writesOf } from './owners.test-util.js'

/** What succeeds for nobody. */
const NEVER = [
  // OpenZeppelin's, for contracts that ask their manager at each call: ours have an owner instead.
  'governance.consumeScheduledOp',
  'governance.updateAuthority',
  // Reports have no time-weighted average: it refuses, by name.
  'pythAdapter.parseTwapPriceFeedUpdates',
]

/** What governance owns `governance.test.ts` knows; parts of the Clearinghouse belong to nobody, and run as it. */
const ownersOf = ({ hub }: World) => [getAddress(hub.governance.address), getAddress(toHex(1, { size: 20 }))]

let world: World

beforeAll(async () => {
  world = await openWorld()
})
afterAll(() => world?.close())

// One life, in this order: each goes on from where the last has left the chains.
test('deposits by oneself, by permit and by signature', () => deposits(world))
test('delegates, margin sets, venues and cash between accounts', () => control(world))
test('withdrawals over LayerZero and on the hub, redirected, and more than leaves at once', () =>
  withdrawals(world))
test('trades by signed orders, settled and warmed', () => trades(world))
test("trades at the oracle's price", () => oracleTrades(world))
test('what margin is told of the market', () => marketRisk(world))
test('the fund, by assets and by shares', () => fundExits(world))
test('an auction', () => auctioned(world))
test('the other engines', () => engines(world))
test('the backstop, and the sale of its collateral', () => backstopped(world))
test('a deficit of the backstop', () => covered(world))
test('expiries', () => expiries(world))
test('an allocation to a remote venue', () => allocation(world))
test('adapters of the oracle', () => adapters(world))
test('a handover and a revocation', () => epochs(world))
test('a regression', () => regression(world))
test('a shortfall', () => shortfall(world))
test('a loan of cash, and interest', () => loans(world))
test('roles of governance', () => rolesOfGovernance(world))
test("a dead hub's last word", () => lastWord(world))

test('there is no other function', async () => {
  // Mocks are for tests: nobody deploys them where it matters.
  const created = Object.keys(compiled).filter(
    (name) => name.endsWith('Bytecode') && !name.startsWith('test'),
  )
  const kinds = created.map((name) => name.replace('Bytecode', '') as Kind)
  const unknown = kinds.filter((kind) => writesOf(abiOf(kind)).length > 0 && !world.kinds.has(kind))
  expect(unknown).toEqual([])

  await world.recorder.catchUp()
  const left: string[] = []
  for (const [kind, contract] of world.kinds) {
    const owners = await ownersFunctions(contract.chain, contract)
    if (owners.length > 0) expect(ownersOf(world), kind).toContain(await read(contract, contract, 'owner'))
    const others = writesOf(contract.abi).filter(({ name }) => !owners.includes(name))
    const missing = others.filter((item) => !world.recorder.has(kind, toFunctionSelector(item)))
    left.push(...missing.map(({ name }) => `${kind}.${name}`))
  }
  expect(left.sort()).toEqual(NEVER)
})
