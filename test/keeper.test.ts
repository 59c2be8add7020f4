import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  clearinghouseAbi,
  liquidationAuctionAbi,
  marginEngineAbi,
  oracleVenueAbi,
  priceOracleAbi,
} from '@clearspan/contracts'
import {
  accountId,
  createLogger,
  createQueueBackend,
  type QueueBackend,
  type SentTransaction,
  systemClock,
} from '@clearspan/shared'
import { parseEventLogs, parseUnits, zeroAddress } from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type Actor,
  createActor,
  depositCalls,
  enrolCalls,
  type Match,
  matchCall,
  signOrder,
} from '../packages/devnet/src/scenario/cast.js'
import type { Relayer } from '../packages/relayer/src/index.js'
import { clearspan, type Run, temporaryDirectory } from './clearspan.js'
import { createTestRelayer, startTestNetwork, type TestNetwork } from './testNetwork.js'
import { startTestOracle, type TestOracle } from './testOracle.js'

const TEST_TIMEOUT_MS = 600_000
/** What a poll waits for takes seconds; a machine with much else to do takes minutes. */
// Blocks come every half second; to ask oftener costs a core more than what is tested.
const PATIENCE = { timeout: 280_000, interval: 250 }
const WAD = 10n ** 18n
const DEPOSITS = { alice: 1_000, maker: 100_000 }
const LEVERAGE = 7
const ETH_AT_FIRST = 2_000
/** Of the first price, from report to report. */
const FALL = 0.01

const logger = createLogger({ name: 'test', level: 'silent' })

let dir: Awaited<ReturnType<typeof temporaryDirectory>>
let oracle: TestOracle
let on: TestNetwork
let backend: QueueBackend
let keeper: Relayer
let messages: Run
let actors: { alice: Actor; maker: Actor; operator: Actor }
let falling = false
let eth = ETH_AT_FIRST

beforeAll(async () => {
  dir = await temporaryDirectory()
  oracle = await startTestOracle()
  on = await startTestNetwork({ directory: dir.path, chains: ['alpha'], nodeUrls: oracle.url })
  backend = await createQueueBackend({ dataDir: join(dir.path, 'queue'), clock: systemClock, logger })
  // Only a keeper that has looked may let a price pass.
  keeper = createTestRelayer(on, backend, {
    roles: ['prices', 'keeper'],
    keeperPatienceMs: TEST_TIMEOUT_MS,
  })
  ;[messages] = await Promise.all([startMessages(), keeper.start()])
  const stage = { manifest: on.network, timing: on.timing, realClock: systemClock }
  const { traders, maker, operator } = on.roles
  actors = {
    alice: createActor(stage, traders.alice, logger),
    maker: createActor(stage, maker, logger),
    operator: createActor(stage, operator, logger),
  }
  oracle.publish(on, (feed) => {
    if (feed !== 'ETH/USD') return feed === 'BTC/USD' ? 8_000 : 1
    if (falling) eth -= ETH_AT_FIRST * FALL
    return eth
  })
})
afterAll(async () => {
  messages?.child.kill('SIGKILL')
  await messages?.exited
  await keeper?.stop()
  await backend?.close()
  for (const actor of Object.values(actors ?? {})) await actor.close()
  await on?.stop()
  await oracle?.stop()
  await dir?.remove()
})

/** The process that carries messages, and with them what has matured. */
async function startMessages(): Promise<Run> {
  const { bulk, dvnSigners } = on.roles.relayer
  const keys = { KEY_BULK: bulk.key, KEY_DVN_0: dvnSigners[0]!.key, KEY_DVN_1: dvnSigners[1]!.key }
  const relayer = {
    network: 'network.json',
    config: { roles: ['messages'], blockMs: on.blockMs, sweepMs: 2_000 },
    keys: { bulk: { env: 'KEY_BULK' }, dvnSigners: [{ env: 'KEY_DVN_0' }, { env: 'KEY_DVN_1' }] },
  }
  writeFileSync(join(dir.path, 'network.json'), JSON.stringify(on.network))
  writeFileSync(join(dir.path, 'messages.json'), JSON.stringify({ name: 'messages', relayer }))
  const run = clearspan(dir.path, ['run', 'messages.json'], keys)
  await run.line(/^\{"ready"/)
  return run
}

async function deposit(actor: Actor, amount: number): Promise<void> {
  const [chain] = on.network.chains
  const token = chain!.tokens.find(({ settlement }) => settlement)!
  await actor.hub.send([
    ...enrolCalls({ manifest: on.network }, actor, []),
    ...depositCalls(actor, chain!, token, parseUnits(String(amount), token.decimals)),
  ])
}

/** A matched trade at the price of the newest report, alice long. Whether the hub took it. */
async function trade(nonce: bigint): Promise<boolean> {
  const size = parseUnits(String((DEPOSITS.alice * LEVERAGE) / ETH_AT_FIRST), 18)
  const match = orders(nonce, size, BigInt(ETH_AT_FIRST) * WAD)
  const [result] = await actors.operator.hub.trySend([await matchCall({ manifest: on.network }, match)])
  return result?.status === 'fulfilled'
}

/** Alice buys of the maker. */
function orders(nonce: bigint, size: bigint, price: bigint): Match {
  const { alice, maker } = actors
  const { id } = on.network.hub.instruments.find(({ feed }) => feed === 'ETH/USD')!
  const order = (actor: Actor, signed: bigint, at: bigint) => ({
    actor,
    order: {
      account: actor.account,
      instrumentId: BigInt(id),
      size: signed,
      limitPrice: price,
      expiry: BigInt(Math.floor(on.networkClock.now() / 1000) + 86_400),
      nonce: at,
      matcher: zeroAddress,
    },
  })
  return { buyer: order(alice, size, nonce), seller: order(maker, -size, nonce + 1n), size, price }
}

function hubRead() {
  const { liquidationAuction, marginEngine } = on.network.hub.contracts
  const { client } = actors.alice.hub
  return {
    client,
    auctions: () =>
      client.getContractEvents({
        address: liquidationAuction,
        abi: liquidationAuctionAbi,
        eventName: 'AuctionStarted',
        fromBlock: 0n,
        strict: true,
      }),
    async mmAt(blockNumber: bigint) {
      const args = [actors.alice.account] as const
      const call = {
        address: marginEngine,
        abi: marginEngineAbi,
        functionName: 'accountHealth',
        args,
      } as const
      return (await client.readContract({ ...call, blockNumber })).mm
    },
  }
}

test(
  'two orders that are bound to each other trade at the price of a slot that had not begun',
  async () => {
    const { alice, maker, operator } = actors
    await Promise.all([deposit(alice, DEPOSITS.alice), deposit(maker, DEPOSITS.maker)])
    const { clearinghouse, oracleVenue } = on.network.hub.contracts
    const book = { to: oracleVenue!, abi: [...oracleVenueAbi, ...clearinghouseAbi] }
    const venue = { name: 'Clearspan Oracle Venue', address: oracleVenue! }
    for (const { hub, account } of [alice, maker]) {
      const args = [account, oracleVenue, WAD * 1_000n]
      await hub.send([{ to: clearinghouse, abi: clearinghouseAbi, functionName: 'approveVenue', args }])
    }
    let nonce = 1_000n
    await expect
      .poll(async () => {
        nonce += 2n
        const { buyer, seller, size } = orders(nonce, WAD / 100n, BigInt(ETH_AT_FIRST) * WAD)
        const signed = (side: Match['buyer']) => signOrder({ manifest: on.network }, side, venue)
        const [buy, sell] = await Promise.all([signed(buyer), signed(seller)])
        const commit = { functionName: 'commit', args: [buyer.order, buy, seller.order, sell, size] }
        const [{ receipt }] = (await operator.hub.send([{ ...book, ...commit }])) as [SentTransaction]
        const [event] = parseEventLogs({ abi: oracleVenueAbi, logs: receipt.logs, eventName: 'Committed' })
        const { slot } = event!.args
        const { timestamp } = await operator.hub.client.getBlock({ blockNumber: receipt.blockNumber })
        expect(slot * BigInt(on.network.oracle.slotMs)).toBeGreaterThan(timestamp * 1_000n)
        // A slot may go without a report, and a deposit not be there yet: then another pair is bound.
        await expect.poll(() => oracle.signed.has(slot + 2n), PATIENCE).toBe(true)
        const report = oracle.signed.get(slot)
        if (report === undefined) return false
        const settle = { functionName: 'settle', args: [buyer.order, seller.order, slot, report] }
        const [settled] = await operator.hub.trySend([{ ...book, ...settle }])
        return settled?.status === 'fulfilled'
      }, PATIENCE)
      .toBe(true)
    const position = await alice.hub.client.readContract({
      address: clearinghouse,
      abi: clearinghouseAbi,
      functionName: 'position',
      args: [alice.account, orders(nonce, WAD, WAD).buyer.order.instrumentId],
    })
    expect(position).toMatchObject({ size: WAD / 100n, quote: -20n * WAD })
  },
  TEST_TIMEOUT_MS,
)

test(
  'a liquidation lands in the transaction that stores the price which triggers it, while the process that carries messages stands still',
  async () => {
    let nonce = 0n
    await expect
      .poll(() => {
        nonce += 2n
        return trade(nonce)
      }, PATIENCE)
      .toBe(true)
    const hub = hubRead()
    expect(await hub.mmAt(await hub.client.getBlockNumber())).toBeGreaterThan(0n)

    // As one that is busy with a backlog for good.
    messages.child.kill('SIGSTOP')
    falling = true
    await expect.poll(async () => (await hub.auctions()).length, PATIENCE).toBeGreaterThan(0)
    const [{ args, transactionHash, blockNumber }] = (await hub.auctions()) as [
      Awaited<ReturnType<typeof hub.auctions>>[number],
    ]
    expect(args.account).toBe(accountId(actors.alice.key.account.address))
    // Before it she was above maintenance, so it is this price that brought her below.
    expect(await hub.mmAt(blockNumber - 1n)).toBeGreaterThanOrEqual(0n)
    expect(args.mm).toBeLessThan(0n)
    const { logs } = await hub.client.getTransactionReceipt({ hash: transactionHash })
    expect(parseEventLogs({ abi: priceOracleAbi, logs, eventName: 'ReportStored' })).toHaveLength(1)
    messages.child.kill('SIGCONT')
    messages.child.kill('SIGTERM')
    expect(await messages.exited).toEqual({ code: 0, signal: null })
  },
  TEST_TIMEOUT_MS,
)
