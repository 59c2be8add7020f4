import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import {
  compactSignature,
  createLogger,
  createMetrics,
  createOracleEpochs,
  encodeQuorum,
  encodeReport,
  handoverDigest,
  handoverOf,
  type OracleNetwork,
  oracleConfigHash,
  PermanentError,
  reportDigest,
  type SignedHandover,
  seededRandom,
  systemClock,
} from '@clearspan/shared'
import { type Hex, numberToHex, pad } from 'viem'
import { type PrivateKeyAccount, privateKeyToAccount } from 'viem/accounts'
import { afterEach, expect, it, vi } from 'vitest'
import { createPriceSubscription } from './subscription.js'

const accounts = [1, 2, 3, 4, 5, 6].map((n) => privateKeyToAccount(pad(numberToHex(n))))
const networkId: Hex = pad('0x77')
const SLOT_MS = 4_000
const feeds = [{ name: 'ETH/USD', exponent: -8 }]
const more = [...feeds, { name: 'BTC/USD', exponent: -8 }]
const currentSeq = Math.floor(systemClock.now() / SLOT_MS)

const oracleOf = (
  epoch: number,
  members: readonly number[],
  urls: readonly string[] = [],
  list = feeds,
): OracleNetwork => ({
  epoch,
  slotMs: SLOT_MS,
  feeds: list,
  nodes: members.map((at, i) => ({ url: urls[i] ?? `http://node-${at}`, signer: accounts[at]!.address })),
})

async function sign(account: PrivateKeyAccount, hash: Hex) {
  return compactSignature(await account.sign({ hash }))
}

async function signed(
  oracle: OracleNetwork,
  firstSeq: number,
  by: readonly number[],
): Promise<SignedHandover> {
  const succession = { oracle, firstSeq, lastSeq: firstSeq + 1_000, useAges: oracle.feeds.map(() => 120) }
  const digest = handoverDigest(handoverOf(succession), networkId)
  const signatures = await Promise.all(
    by.map(async (at, signer) => ({ signer, signature: await sign(accounts[at]!, digest) })),
  )
  return { ...succession, signatures: encodeQuorum(signatures) }
}

async function reportOf(oracle: OracleNetwork, seq: number, by: readonly number[]) {
  const report = {
    epoch: oracle.epoch,
    seq: BigInt(seq),
    prices: oracle.feeds.map(() => ({ price: 10n ** 10n, confidence: 5 })),
  }
  const hash = reportDigest(report, oracle.feeds, networkId)
  const signatures = await Promise.all(
    by.map(async (at, signer) => ({ signer, signature: await sign(accounts[at]!, hash) })),
  )
  const event = { seq: `${seq}`, observedAt: seq * SLOT_MS, encoded: encodeReport(report, signatures) }
  return `data: ${JSON.stringify(event)}\n\n`
}

it('follows what the newest quorum signs, link by link, and nothing else', async () => {
  const epochs = createOracleEpochs({ oracle: oracleOf(1, [0, 1, 2, 3]), networkId })
  const second = oracleOf(2, [4, 1, 2, 3], [], more)
  const third = oracleOf(3, [4, 5, 2, 3], [], more)
  const good = await signed(second, 100, [0, 1, 2])
  for (const bad of [
    await signed(second, 100, [0, 1]),
    await signed(second, 100, [4, 1, 2]),
    await signed(third, 100, [0, 1, 2]),
    { ...good, firstSeq: 90 },
    // The signed configuration hash binds what is not in the handover itself.
    { ...good, oracle: { ...second, nodes: second.nodes.map((node) => ({ ...node, url: 'http://liar' })) } },
  ])
    await expect(epochs.add(bad)).rejects.toThrow(PermanentError)
  expect(epochs.newest()).toMatchObject({ oracle: { epoch: 1 }, lastSeq: 2n ** 64n - 1n })
  expect(await Promise.all([epochs.add(good), epochs.add(good)])).toEqual([true, false])
  expect(await epochs.add(await signed(third, 200, [4, 1, 2]))).toBe(true)
  expect(epochs.get(1)).toMatchObject({ firstSeq: 0n, lastSeq: 99n })
  expect(epochs.get(2)).toMatchObject({ firstSeq: 100n, lastSeq: 199n })
  expect(epochs.get(3)).toMatchObject({ firstSeq: 200n, lastSeq: 1_200n })
  expect(epochs.handovers().map(({ oracle }) => oracle.epoch)).toEqual([2, 3])
  const urlsOf = (seq: bigint) => epochs.urls(seq).map((url) => Number(url.slice(-1)))
  expect(urlsOf(99n).toSorted()).toEqual([0, 1, 2, 3, 4, 5])
  expect(urlsOf(150n).toSorted()).toEqual([1, 2, 3, 4, 5])
  expect(urlsOf(1_150n)).toEqual([4, 5, 2, 3])
  // Expired: whoever was last may still serve the way on.
  expect(urlsOf(9_000n)).toEqual([4, 5, 2, 3])
})

it('takes what the hub has opened, if the description is the one that the hub knows', () => {
  const epochs = createOracleEpochs({ oracle: oracleOf(1, [0, 1, 2, 3]), networkId })
  const fourth = oracleOf(4, [4, 5, 2, 3], [], more)
  const described = { oracle: fourth, firstSeq: 1, lastSeq: 2, useAges: [] }
  const opened = { epoch: 4, configHash: oracleConfigHash(fourth), firstSeq: 50n, lastSeq: 90n }
  const moved = { ...fourth, nodes: fourth.nodes.map((node) => ({ ...node, url: 'http://liar' })) }
  expect(() => epochs.adopt({ ...described, oracle: moved }, opened)).toThrow(PermanentError)
  expect(() => epochs.adopt(described, { ...opened, epoch: 5 })).toThrow(PermanentError)
  expect(epochs.adopt(described, opened)).toBe(true)
  expect(epochs.adopt(described, opened)).toBe(false)
  // Its slots are the chain's, and there is nothing to deliver.
  expect(epochs.get(4)).toMatchObject({ firstSeq: 50n, lastSeq: 90n })
  expect(epochs.get(1)).toMatchObject({ lastSeq: 49n })
  expect(epochs.handovers()).toEqual([])
})

const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    server.close()
  }
})

/** A node with these answers by path; a stream's stay open. */
async function startNode(answers: Record<string, string>): Promise<string> {
  const server = createServer((request, response) => {
    const answer = answers[request.url ?? '']
    if (answer === undefined) return void response.writeHead(404).end()
    if (request.url !== '/reports/stream') return void response.end(answer)
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(answer)
  })
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

it('listens to the nodes of the next epoch as soon as any node shows a handover, and takes reports as the chain does', async () => {
  const firstSeq = currentSeq - 10
  const stays: Record<string, string> = {}
  const liar = await startNode({ '/handover/2': '{"oracle":', '/reports/stream': ': hello\n\n' })
  const oldUrl = await startNode(stays)
  const manifest = oracleOf(1, [0, 1, 2, 3], [liar, oldUrl, liar, liar])
  const newUrl = await startNode({
    '/reports/stream': await reportOf(oracleOf(2, [4, 1, 2, 3], [], more), firstSeq, [4, 1, 2]),
  })
  const next = oracleOf(2, [4, 1, 2, 3], [newUrl, oldUrl], more)
  stays['/handover/2'] = JSON.stringify(await signed(next, firstSeq, [0, 1, 2]))
  // A quorum of the old epoch signs on: the chain gives these slots to the next one.
  stays['/reports/stream'] = await reportOf(manifest, firstSeq + 1, [0, 1, 2])
  const metrics = createMetrics()
  const seen: { epoch: number; seq: bigint }[] = []
  const handovers: number[] = []
  const subscription = createPriceSubscription({
    network: { oracle: manifest, networkId },
    networkClock: systemClock,
    clock: systemClock,
    idleMs: 60_000,
    handoverMs: 50,
    random: seededRandom(1),
    fetch,
    logger: createLogger({ name: 'test', level: 'silent' }),
    metrics,
    onReport: ({ epoch, seq }) => void seen.push({ epoch, seq }),
    opened: async () => ({ epoch: 1, configHash: pad('0x'), firstSeq: 0n, lastSeq: 0n }),
    onHandover: () => void handovers.push(subscription.epochs.newest().oracle.epoch),
  })
  const abort = new AbortController()
  const running = subscription.run(abort.signal)
  await vi.waitFor(() => expect(seen.at(-1)).toEqual({ epoch: 2, seq: BigInt(firstSeq) }), {
    timeout: 20_000,
  })
  expect(handovers).toEqual([2])
  abort.abort()
  await running
})
