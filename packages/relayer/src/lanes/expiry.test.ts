import { clearinghouseAbi, iInstrumentAbi } from '@clearspan/contracts'
import {
  accountId,
  createLogger,
  createMetrics,
  createQueueBackend,
  type QueueBackend,
  systemClock,
  systemRandom,
  type TransactionRequest,
} from '@clearspan/shared'
import { decodeFunctionData, getAddress, type Hex, numberToHex, pad } from 'viem'
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest'
import { relayerConfigSchema } from '../config.js'
import type { LaneContext, LanePart } from './context.js'
import { createExpiryLane } from './expiry.js'
import type { KeeperBook } from './keeper-book.js'

const WAD = 10n ** 18n
const logger = createLogger({ name: 'test', level: 'silent' })
const address = (n: number) => getAddress(pad(numberToHex(n), { size: 20 }))
const [clearinghouse, riskConfig, perp, future] = [address(1), address(2), address(3), address(4)]
const accountOf = (n: number) => accountId(address(100 + n))
/** Of the one future, behind a perpetual. */
const ID = 2n
const PRICE = 100n * WAD

let backend: QueueBackend
const open: LanePart[] = []
beforeAll(async () => {
  backend = await createQueueBackend({ clock: systemClock, logger })
})
afterEach(async () => {
  for (const { lane } of open.splice(0)) await lane.close()
})
afterAll(() => backend.close())

/** A hub with a future, whose fixing is signed. */
interface World {
  isFixed: boolean
  /** Without terms, its module answers nothing. */
  isListed: boolean
  pool: bigint
  positions: Map<Hex, { size: bigint; quote: bigint; cash: bigint }>
}

interface Call {
  functionName: string
  args: readonly [unknown, ...unknown[]]
}

/** What a call answers; undefined where it reverts. Settling changes what the calls behind it see. */
function answer(world: World, { functionName, args }: Call): unknown {
  const position = world.positions.get(args[0] as Hex)
  switch (functionName) {
    case 'instrument':
      return { module: args[0] === ID ? future : perp }
    case 'settlement':
      return world.isListed ? [world.isFixed, world.isFixed ? PRICE : 0n] : undefined
    case 'costIndex':
      return world.isListed ? 0n : undefined
    case 'accrue':
      world.isFixed ||= world.isListed
      return 0n
    case 'openInterest': {
      const longs = [...world.positions.values()].reduce((sum, { size }) => sum + (size > 0n ? size : 0n), 0n)
      return [longs, longs]
    }
    case 'instrumentsOf':
      return position && (position.size !== 0n || position.quote !== 0n) ? [1n, ID] : [1n]
    case 'position':
      return position
    case 'settleExpired': {
      if (!world.isFixed || position === undefined) return undefined
      position.quote += (position.size * PRICE) / WAD
      position.size = 0n
      const most = position.quote < 0n ? -position.cash : world.pool
      const amount =
        position.quote < 0n
          ? position.quote > most
            ? position.quote
            : most
          : position.quote < most
            ? position.quote
            : most
      position.quote -= amount
      position.cash += amount
      world.pool -= amount
      return amount
    }
  }
  throw new Error(`nobody knows ${functionName}`)
}

const copy = (world: World): World => ({
  ...world,
  positions: new Map([...world.positions].map(([account, position]) => [account, { ...position }])),
})

/** The lane over that hub, and each bundle of transactions that it sent, in words. */
async function lane(world: World) {
  const bundles: string[][] = []
  let looks = 0
  const client = {
    readContract: async () => {
      looks++
      return 2n
    },
    multicall: async ({ contracts, allowFailure }: { contracts: Call[]; allowFailure: boolean }) => {
      const state = copy(world)
      return contracts.map((call) => {
        const result = answer(state, call)
        if (!allowFailure) return result
        return result === undefined ? { status: 'failure' } : { status: 'success', result }
      })
    },
  }
  const bulk = {
    async sendMany(requests: TransactionRequest[]) {
      const calls = requests.map(({ data = '0x' }) =>
        decodeFunctionData({ abi: [...clearinghouseAbi, ...iInstrumentAbi], data }),
      )
      if (calls.length > 0)
        bundles.push(calls.map(({ functionName, args }) => `${functionName} ${args?.[0]}`))
      for (const call of calls) answer(world, call as Call)
      return []
    },
  }
  const feed = { onHead() {}, listen() {} }
  const context = {
    network: { hub: { chainId: 1, contracts: { clearinghouse, riskConfig, perp } } },
    config: relayerConfigSchema.parse({}),
    hub: { client, senders: { bulk }, feed },
    backend,
    clock: systemClock,
    random: systemRandom,
    logger,
    metrics: createMetrics(),
  } as unknown as LaneContext
  const book: KeeperBook = { accounts: () => [...world.positions.keys()], auctions: new Set() }
  const part = await createExpiryLane(context, book)
  open.push(part)
  return {
    bundles,
    /** A sweep, and all that comes of it. */
    async sweep() {
      const before = looks
      await part.sweep()
      await vi.waitFor(async () => {
        const { waiting, active } = await part.lane.counts()
        expect([looks > before, waiting, active]).toEqual([true, 0, 0])
      })
    },
  }
}

const worldOf = (positions: World['positions']): World => ({
  isFixed: false,
  isListed: true,
  pool: 0n,
  positions,
})
const held = (size: bigint, quote: bigint, cash = 1_000n) => ({
  size: size * WAD,
  quote: quote * WAD,
  cash: cash * WAD,
})

it('brings the fixing, then settles losers before winners, so that nobody waits for what he is owed', async () => {
  const [winner, loser, even] = [accountOf(1), accountOf(2), accountOf(3)]
  const world = worldOf(
    new Map([
      [winner, held(2n, -150n)],
      [even, held(1n, -100n)],
      [loser, held(-3n, 250n)],
    ]),
  )
  const { bundles, sweep } = await lane(world)
  await sweep()
  expect(bundles).toEqual([
    [`accrue ${ID}`],
    [`settleExpired ${loser}`, `settleExpired ${even}`, `settleExpired ${winner}`],
  ])
  expect([...world.positions.values()].map(({ size, quote }) => [size, quote])).toEqual([
    [0n, 0n],
    [0n, 0n],
    [0n, 0n],
  ])
  // What is done is done, whoever looks again.
  await sweep()
  expect(bundles).toHaveLength(2)
})

it('sends nothing for an instrument without terms', async () => {
  const { bundles, sweep } = await lane({ ...worldOf(new Map()), isListed: false })
  await sweep()
  expect(bundles).toEqual([])
})

it('fetches what a winner is owed once a loser has paid', async () => {
  const [winner, loser] = [accountOf(1), accountOf(2)]
  const world = worldOf(
    new Map([
      [winner, held(1n, -50n)],
      [loser, held(-1n, 50n, 0n)],
    ]),
  )
  const { bundles, sweep } = await lane(world)
  await sweep()
  expect(world.positions.get(winner)!.quote).toBe(50n * WAD)
  world.positions.get(loser)!.cash = 50n * WAD
  await sweep()
  expect(bundles.at(-1)).toEqual([`settleExpired ${loser}`, `settleExpired ${winner}`])
  expect(world.positions.get(winner)!.quote).toBe(0n)
})

it('goes on to others when many can pay nothing', async () => {
  const winner = accountOf(500)
  const poor = Array.from({ length: 60 }, (_, n) => [accountOf(n), held(0n, -10n, 0n)] as const)
  const world = worldOf(new Map([...poor, [winner, held(0n, 20n)]]))
  world.pool = 20n * WAD
  const { sweep } = await lane(world)
  await sweep()
  await sweep()
  expect(world.positions.get(winner)!.quote).toBe(0n)
})
