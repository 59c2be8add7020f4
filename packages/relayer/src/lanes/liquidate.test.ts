import { liquidationAuctionAbi } from '@clearspan/contracts'
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
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { relayerConfigSchema } from '../config.js'
import { createReportTurn } from '../prices/turn.js'
import { createStages } from '../stages.js'
import type { LaneContext, LanePart } from './context.js'
import { createKeeperBook, type KeeperBook } from './keeper-book.js'
import { createLiquidateLane } from './liquidate.js'

const logger = createLogger({ name: 'test', level: 'silent' })
const address = (n: number) => getAddress(pad(numberToHex(n), { size: 20 }))
const contracts = {
  clearinghouse: address(1),
  liquidationAuction: address(2),
  marginEngine: address(3),
  backstop: address(4),
  insuranceFund: address(5),
}
const accountOf = (n: number) => accountId(address(100 + n))

let backend: QueueBackend
const open: LanePart[] = []
beforeAll(async () => {
  backend = await createQueueBackend({ clock: systemClock, logger })
})
afterEach(async () => {
  for (const { lane } of open.splice(0)) await lane.close()
})
afterAll(() => backend.close())

interface Call {
  functionName: string
  args: readonly [unknown, readonly Hex[]]
}

interface World {
  accounts: Hex[]
  /** The hub takes no report of this epoch any more. */
  revoked?: boolean
  /** Below maintenance margin, and yet the auction opens none. */
  refused?: Hex[]
  /** Make the whole transaction revert. */
  reverting?: Hex[]
  /** Words of every account's rows. */
  words?: number
}

const report = { epoch: 1, seq: 1n, observedAt: 1_000, encoded: '0x01' }

/** Rings the keeper once over a hub where every account is due, the last most; resolves with the accounts that it sends. */
function liquidated({
  accounts,
  revoked = false,
  refused = [],
  reverting = [],
  words = 3,
}: World): Promise<readonly Hex[]> {
  return sent({ accounts, revoked, refused, reverting, words }).then(({ list }) => list)
}

/** The same, with the gas of the transaction. */
function sent({
  accounts,
  revoked,
  refused,
  reverting,
  words,
}: Required<World>): Promise<{ list: readonly Hex[]; gas: bigint }> {
  const answer = ({ functionName, args }: Call) => {
    if (functionName === 'accountsHealth')
      return (args as unknown as [Hex[]])[0].map((account) => ({ mm: -BigInt(account), fresh: true }))
    if (functionName === 'rows') return [0n, 0n, 0n, 0n, false, Array(words).fill(0n)]
    if (functionName !== 'updateAndStart') return undefined
    const [bundled, list] = args
    if (revoked && bundled !== '0x') return undefined
    if (list.some((account) => reverting.includes(account))) return undefined
    return BigInt(list.filter((account) => !refused.includes(account)).length)
  }
  const client = {
    getBlock: async () => ({ number: 7n, timestamp: 1_000n }),
    multicall: async ({ contracts: calls }: { contracts: Call[] }) =>
      calls.map((call) => {
        const result = answer(call)
        return result === undefined ? { status: 'failure' } : { status: 'success', result }
      }),
  }
  return new Promise((resolve, reject) => {
    const urgent = {
      async send({ data = '0x', gas = 0n }: TransactionRequest) {
        const { args } = decodeFunctionData({ abi: liquidationAuctionAbi, data })
        resolve({ list: args[1] as readonly Hex[], gas })
        return { receipt: { logs: [] } }
      },
    }
    const hub = { chain: { chainId: 1, contracts: {} }, client, senders: { urgent }, feed: { listen() {} } }
    const context = {
      network: { hub: { chainId: 1, contracts } },
      config: relayerConfigSchema.parse({}),
      hub,
      backend,
      prices: { newest: () => (revoked ? { report, arrivedAt: 0 } : undefined) },
      stages: createStages(),
      networkClock: systemClock,
      clock: systemClock,
      random: systemRandom,
      logger,
      metrics: createMetrics(),
    } as unknown as LaneContext
    const turn = createReportTurn(systemClock, 2_000)
    const book: KeeperBook = { ...createKeeperBook(context), accounts: () => accounts }
    createLiquidateLane(context, book, { turn, ring() {} }).then((part) => {
      open.push(part)
      part.ring()
    }, reject)
  })
}

it('never proposes the accounts that are exempt from liquidation', async () => {
  const exempt = [accountId(contracts.backstop), accountId(contracts.insuranceFund)]
  const accounts = [...exempt, accountOf(1)]
  expect(await liquidated({ accounts })).toEqual([accountOf(1)])
})

it('goes on to the next when the first twenty of its ranking can not start', async () => {
  const all = Array.from({ length: 30 }, (_, i) => accountOf(i))
  const refused = all.slice(-20)
  const sent = await liquidated({ accounts: all, refused })
  expect(sent).toEqual(all.slice(0, 10).reverse())
})

it('leaves out an account that would take the whole transaction down', async () => {
  const all = Array.from({ length: 20 }, (_, i) => accountOf(i))
  const sent = await liquidated({ accounts: all, reverting: [all[19] as Hex] })
  expect(sent.length).toBeGreaterThan(0)
  expect(sent).not.toContain(all[19])
})

it('starts liquidations on the stored prices when the hub refuses the newest report', async () => {
  expect(await liquidated({ accounts: [accountOf(1)], revoked: true })).toEqual([accountOf(1)])
})

it.each([
  { held: 'a claim and a perpetual', words: 3, atOnce: 20, gas: 200_000n },
  // `largest_account_start` of the contracts' gas snapshots.
  { held: '16 rows, of which 8 are options', words: 25, atOnce: 5, gas: 2_350_000n },
])('gives accounts of $held their gas, within a transaction', async ({ words, atOnce, gas }) => {
  const accounts = Array.from({ length: 20 }, (_, i) => accountOf(i))
  const bundle = await sent({ accounts, revoked: false, refused: [], reverting: [], words })
  expect(bundle.list).toHaveLength(atOnce)
  expect(bundle.gas).toBeGreaterThan(BigInt(atOnce) * gas)
  // EIP-7825.
  expect(bundle.gas).toBeLessThan(16_777_216n)
})
