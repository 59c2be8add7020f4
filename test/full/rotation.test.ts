import { join } from 'node:path'
import { epochRevokerAbi, priceOracleAbi } from '@clearspan/contracts'
import {
  compactSignature,
  createLogger,
  createQueueBackend,
  encodeQuorum,
  encodeReport,
  handoverArgument,
  handoverDigest,
  handoverOf,
  type OracleNetwork,
  type QueueBackend,
  quorumOf,
  type Report,
  type ReportSignature,
  reportDigest,
  revertOf,
  type Succession,
  seededRandom,
  systemClock,
} from '@clearspan/shared'
import { type Hex, keccak256, parseEventLogs, toHex } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  createOracleNode,
  createSigner,
  type OracleNode,
  type OracleNodeConfigInput,
} from '../../packages/aggregator/src/index.js'
import { freePorts } from '../../packages/aggregator/src/network.test-util.js'
import type { Call } from '../../packages/devnet/src/scenario/wallet.js'
import type { Relayer } from '../../packages/relayer/src/index.js'
import { temporaryDirectory } from '../clearspan.js'
import { createTestRelayer, govern, startTestNetwork, type TestNetwork } from '../testNetwork.js'
import { startTestVenue, type TestVenue } from '../testVenue.js'

// Real chains, oracle nodes over HTTP and a relayer, in one process: slots of four real seconds.
const SPEED = 1
const TEST_TIMEOUT_MS = 600_000
/** What a poll waits for takes a minute; a machine with much else to do takes longer. */
const PATIENCE = { timeout: 280_000, interval: 200 }
/** Slots until a change of epochs: nodes start, agree, sign; a relayer hears of it and brings it to every chain. */
const LEAD_SLOTS = 12

const logger = createLogger({ name: 'test', level: 'silent' })
const prices: Record<string, number> = { 'BTC-USD': 8_000, 'ETH-USD': 200, 'SOL-USD': 20 }

let dir: Awaited<ReturnType<typeof temporaryDirectory>>
let venue: TestVenue
let on: TestNetwork
let backend: QueueBackend
let relayer: Relayer
/** Running nodes by place. */
const nodes = new Map<number, OracleNode>()
let ports: number[]
/** The epochs as their nodes are configured. */
let first: OracleNetwork
let second: OracleNetwork
let secondSeq: number

const currentSeq = () => Math.floor(on.networkClock.now() / first.slotMs)
/** Places 0 to 3 are the network's first nodes, 4 and 5 come later. */
const keyOf = (place: number): Hex =>
  on.roles.observers[place]?.key ?? keccak256(toHex(`oracle node ${place}`))
const memberOf = (place: number) => ({
  url: `http://127.0.0.1:${ports[place]}`,
  signer: privateKeyToAccount(keyOf(place)).address,
})
const oracles = () =>
  on.network.chains.map(({ contracts }, at) => ({
    client: on.chains[at]!.client,
    call: { address: contracts.priceOracle, abi: priceOracleAbi } as const,
  }))

function configOf(oracle: OracleNetwork, index: number, place: number): OracleNodeConfigInput {
  return {
    networkId: on.network.networkId,
    clock: on.network.clock,
    index,
    oracle,
    sources: ['a', 'b', 'c'].map((id) => ({
      id,
      adapter: 'replay' as const,
      url: venue.url,
      tags: [id],
      markets: oracle.feeds.map(({ name }) => {
        const [base = '', quote = ''] = name.split('/')
        return { symbol: `${base}-${quote}`, base, quote }
      }),
    })),
    listen: { host: '127.0.0.1', port: ports[place]! },
    dataDir: join(dir.path, `node-${place}`),
  }
}

async function startNode(place: number, config: OracleNodeConfigInput): Promise<void> {
  await nodes.get(place)?.stop()
  const node = createOracleNode({
    config,
    networkClock: on.networkClock,
    realClock: systemClock,
    random: seededRandom(place),
    logger,
    signer: createSigner(keyOf(place)),
  })
  nodes.set(place, node)
  await node.start()
}

beforeAll(async () => {
  dir = await temporaryDirectory()
  ports = await freePorts(6)
  on = await startTestNetwork({
    directory: dir.path,
    chains: ['alpha', 'beta'],
    nodeUrls: ports.map((port) => `http://127.0.0.1:${port}`),
    speed: SPEED,
  })
  venue = await startTestVenue(on.networkClock, (symbol) => prices[symbol] ?? 1)
  first = on.network.oracle
  second = {
    ...first,
    epoch: 2,
    feeds: [...first.feeds, { name: 'SOL/USD', exponent: -10 }],
    // The first node makes room for a new one.
    nodes: [...first.nodes.slice(1), memberOf(4)],
  }
  await Promise.all([0, 1, 2, 3].map((at) => startNode(at, configOf(first, at, at))))
  backend = await createQueueBackend({ clock: systemClock, logger })
  relayer = createTestRelayer(on, backend, { roles: ['relayer'], sweepMs: 2_000 })
  await relayer.start()
}, TEST_TIMEOUT_MS)
afterAll(async () => {
  await relayer?.stop()
  await backend?.close()
  for (const node of nodes.values()) await node.stop()
  await venue?.stop()
  await on?.stop()
  await dir?.remove()
})

const latestEpochs = () =>
  Promise.all(
    oracles().map(
      async ({ client, call }) => (await client.readContract({ ...call, functionName: 'latest' }))[0],
    ),
  )
const latestSeqs = () =>
  Promise.all(
    oracles().map(async ({ client, call }) =>
      Number((await client.readContract({ ...call, functionName: 'latest' }))[1]),
    ),
  )
/** Slot of the newest report that the relayer has: nodes hear of no revocation, and sign on. */
const newestReport = async () => Number((await relayer.status()).reportSeq)
const openedEpochs = () =>
  Promise.all(
    oracles().map(async ({ client, call }) => {
      const [epoch] = await client.readContract({ ...call, functionName: 'openedEpoch' })
      return epoch
    }),
  )

/** Every report that a chain has stored: epoch and values by slot. */
async function stored() {
  return Promise.all(
    oracles().map(async ({ client, call }) => {
      const logs = await client.getLogs({ address: call.address, fromBlock: 0n })
      const events = parseEventLogs({ abi: priceOracleAbi, logs, eventName: 'ReportStored' })
      return new Map(events.map(({ args }) => [Number(args.seq), args]))
    }),
  )
}

/** Signatures of the first 2f + 1 of an epoch's four places. */
function quorumSigns(hash: Hex, places: readonly number[]): Promise<ReportSignature[]> {
  return Promise.all(
    places.slice(0, quorumOf(places.length)).map(async (place, signer) => ({
      signer,
      signature: compactSignature(await privateKeyToAccount(keyOf(place)).sign({ hash })),
    })),
  )
}

/** A report that a quorum of an epoch signs whatever its nodes do: by keys that its operators have lost or sold. */
async function signedBy(oracle: OracleNetwork, places: readonly number[], seq: number): Promise<Hex> {
  const report: Report = {
    epoch: oracle.epoch,
    seq: BigInt(seq),
    prices: oracle.feeds.map(() => ({ price: 10n ** 10n, confidence: 1 })),
  }
  const hash = reportDigest(report, oracle.feeds, on.network.networkId)
  return encodeReport(report, await quorumSigns(hash, places))
}

/** Names of the errors with which the chains refuse a report in its own slot; undefined where it is taken. */
async function refusals(report: Hex, seq: number): Promise<(string | undefined)[]> {
  return Promise.all(
    oracles().map(async ({ client, call }) => {
      const time = (BigInt(seq) * BigInt(first.slotMs)) / 1000n
      try {
        await client.simulateContract({
          ...call,
          functionName: 'update',
          args: [report],
          blockOverrides: { time },
        })
        return undefined
      } catch (error) {
        return revertOf(error, priceOracleAbi)?.name ?? 'unknown'
      }
    }),
  )
}

describe('the life of the oracle network, on two chains', () => {
  test(
    'four nodes hand over to a set with a new signer and a new feed while reports flow',
    async () => {
      await expect.poll(latestEpochs, PATIENCE).toEqual([1, 1])
      // Each operator writes the next epoch into its node's file and starts it again.
      secondSeq = currentSeq() + LEAD_SLOTS
      const lastSeq = secondSeq + 100_000
      const useAges = second.feeds.map(() => 120)
      const { sources } = configOf(second, 0, 0)
      const next = { oracle: second, firstSeq: secondSeq, lastSeq, useAges, sources }
      await startNode(4, { ...configOf(second, 3, 4), firstSeq: secondSeq, lastSeq })
      for (const at of [0, 1, 2, 3]) await startNode(at, { ...configOf(first, at, at), next })
      // A relayer with the manifest of the first epoch brings the handover to every chain.
      await expect.poll(openedEpochs, PATIENCE).toEqual([2, 2])
      await expect.poll(latestEpochs, PATIENCE).toEqual([2, 2])
      await expect.poll(() => currentSeq(), PATIENCE).toBeGreaterThan(secondSeq + 3)
      const [hub, spoke] = await stored()
      for (const [seq, { epoch, values }] of hub!) {
        expect(epoch).toBe(seq < secondSeq ? 1 : 2)
        const other = spoke!.get(seq)
        if (other) expect({ epoch: other.epoch, values: other.values }).toEqual({ epoch, values })
      }
      for (const { client, call } of oracles()) {
        expect(await client.readContract({ ...call, functionName: 'feedCount' })).toBe(5n)
        const sol = await client.readContract({ ...call, functionName: 'price', args: [4n] })
        expect(sol.price).toBe(20n * 10n ** 18n)
      }
      const seq = currentSeq() + 1
      const old = await signedBy(first, [0, 1, 2, 3], seq)
      expect(await refusals(old, seq)).toEqual(['SlotOutsideEpoch', 'SlotOutsideEpoch'])
      expect(await refusals(await signedBy(second, [1, 2, 3, 4], seq), seq)).toEqual([undefined, undefined])
    },
    TEST_TIMEOUT_MS,
  )

  /** Has governance call the oracle of every chain. */
  async function onEveryChain(functionName: string, args: readonly unknown[]): Promise<void> {
    const calls = on.network.chains.map(
      ({ contracts }): Call => ({ to: contracts.priceOracle, abi: priceOracleAbi, functionName, args }),
    )
    await Promise.all(calls.map((call, at) => govern(on, at, [call])))
  }
  const revoked = (epoch: number) =>
    Promise.all(
      oracles().map(async ({ client, call }) => {
        const [, , isRevoked] = await client.readContract({
          ...call,
          functionName: 'epochSlots',
          args: [epoch],
        })
        return isRevoked
      }),
    )

  test(
    'a pending epoch is revoked on the hub, and by LayerZero on the other chain, and the present one goes on',
    async () => {
      // Signed by a quorum that was tricked: its signers are nobody's.
      const stolen = [6, 7, 8, 9].map((place) => ({ ...memberOf(place), url: 'http://127.0.0.1:1' }))
      const firstSeq = currentSeq() + 1_000
      const third: Succession = {
        oracle: { ...second, epoch: 3, nodes: stolen },
        firstSeq,
        lastSeq: firstSeq + 1_000,
        useAges: second.feeds.map(() => 120),
      }
      const digest = handoverDigest(handoverOf(third), on.network.networkId)
      const signatures = encodeQuorum(await quorumSigns(digest, [1, 2, 3, 4]))
      await onEveryChain('handOver', [handoverArgument(handoverOf(third)), signatures])
      expect(await openedEpochs()).toEqual([3, 3])

      const [hub] = on.network.chains
      const order = {
        to: hub!.contracts.epochRevoker,
        abi: epochRevokerAbi,
        functionName: 'order',
        args: [3],
      }
      await govern(on, 0, [order])
      await expect.poll(() => revoked(3), PATIENCE).toEqual([true, true])
      const seq = currentSeq()
      await expect.poll(async () => Math.min(...(await latestSeqs())), PATIENCE).toBeGreaterThan(seq)
      expect(await latestEpochs()).toEqual([2, 2])
      const forged = await signedBy(third.oracle, [6, 7, 8, 9], firstSeq)
      expect(await refusals(forged, firstSeq)).toEqual(['RevokedEpoch', 'RevokedEpoch'])
    },
    TEST_TIMEOUT_MS,
  )

  test(
    'a lost quorum is replaced by governance, with nodes old and new, and the relayer follows',
    async () => {
      const firstSeq = currentSeq() + LEAD_SLOTS
      const lastSeq = firstSeq + 100_000
      const fourth = { ...second, epoch: 4, nodes: [0, 1, 2, 5].map(memberOf) }
      const next = { oracle: fourth, firstSeq, lastSeq, useAges: second.feeds.map(() => 120) }
      // Two of four are gone for good: no quorum is left to sign anything.
      await Promise.all([3, 4].map((place) => nodes.get(place)?.stop()))
      await onEveryChain('openEpoch', [handoverArgument(handoverOf(next))])
      await Promise.all([
        startNode(1, { ...configOf(second, 0, 1), next: { ...next, by: 'timelock' } }),
        startNode(2, { ...configOf(second, 1, 2), next: { ...next, by: 'timelock' } }),
        startNode(0, { ...configOf(fourth, 0, 0), firstSeq, lastSeq }),
        startNode(5, { ...configOf(fourth, 3, 5), firstSeq, lastSeq }),
      ])
      await expect.poll(latestEpochs, PATIENCE).toEqual([4, 4])
      const [hub] = await stored()
      for (const [seq, { epoch }] of hub!) expect(epoch).toBe(seq < secondSeq ? 1 : seq < firstSeq ? 2 : 4)
      const seq = currentSeq() + 1
      const old = await signedBy(second, [1, 2, 3, 4], seq)
      expect(await refusals(old, seq)).toEqual(['SlotOutsideEpoch', 'SlotOutsideEpoch'])
    },
    TEST_TIMEOUT_MS,
  )

  test(
    'a present epoch that is revoked on every chain gets no report any more, and costs the relayer nothing',
    async () => {
      const [hub] = on.network.chains
      const order = {
        to: hub!.contracts.epochRevoker,
        abi: epochRevokerAbi,
        functionName: 'order',
        args: [4],
      }
      await govern(on, 0, [order])
      await expect.poll(() => revoked(4), PATIENCE).toEqual([true, true])
      const { address } = on.roles.relayer.price.account
      const sent = () =>
        Promise.all(
          on.chains.map(({ client }) => client.getTransactionCount({ address, blockTag: 'pending' })),
        )
      // What was on its way when the word came has landed, or reverted, by then.
      const seq = currentSeq()
      await expect.poll(currentSeq, PATIENCE).toBeGreaterThan(seq + 1)
      const [before, latest] = await Promise.all([sent(), latestSeqs()])
      await expect.poll(newestReport, PATIENCE).toBeGreaterThan(seq + 4)
      expect(await sent()).toEqual(before)
      expect(await latestSeqs()).toEqual(latest)
    },
    TEST_TIMEOUT_MS,
  )
})
