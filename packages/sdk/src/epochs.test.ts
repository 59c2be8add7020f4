import { createServer, type RequestListener, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import {
  compactSignature,
  encodeQuorum,
  encodeReport,
  handoverDigest,
  handoverOf,
  type OracleNetwork,
  RetryableError,
  reportDigest,
  systemClock,
} from '@clearspan/shared'
import { type Hex, numberToHex, pad } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { type OracleManifest, UnknownEpochError } from './epochs.js'
import { followReports, latestReport } from './reports.js'

// Nodes 0 to 3 are the manifest's epoch 1; one node changes with each epoch, so that 4 to 7 are epoch 5.
const SLOT_MS = 4_000
const accounts = Array.from({ length: 8 }, (_, n) => privateKeyToAccount(pad(numberToHex(n + 1))))
const networkId: Hex = pad('0x77')
const feeds = [{ name: 'ETH/USD', exponent: -8 }]
const now = Math.floor(systemClock.now() / SLOT_MS)

/** What each node answers by path; anything else is 404. A stream stays open. */
type Answers = Map<string, string>
const BROKEN = 'broken'
interface Node {
  url: string
  answers: Answers
  streams: ServerResponse[]
  /** Paths asked for. */
  asked: string[]
}
let nodes: Node[] = []
const ends: (() => Promise<unknown>)[] = []
beforeEach(async () => {
  nodes = await Promise.all(accounts.map(() => startNode()))
})
afterEach(async () => {
  await Promise.all(ends.splice(0).map((end) => end()))
})

async function startNode(): Promise<Node> {
  const node: Node = { url: '', answers: new Map(), streams: [], asked: [] }
  const answer: RequestListener = ({ url = '' }, response) => {
    node.asked.push(url)
    const body = node.answers.get(url)
    if (body === undefined) return void response.writeHead(404).end()
    if (body === BROKEN) return void response.writeHead(503).end()
    if (url !== '/reports/stream') return void response.end(body)
    node.streams.push(response)
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write(body)
  }
  const server = createServer(answer).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  ends.push(() => {
    server.closeAllConnections()
    return new Promise((done) => server.close(done))
  })
  node.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return node
}

const members = (epoch: number) => [0, 1, 2, 3].map((n) => n + epoch - 1)
const oracleOf = (epoch: number): OracleNetwork => ({
  epoch,
  slotMs: SLOT_MS,
  feeds,
  nodes: members(epoch).map((at) => ({ url: nodes[at]!.url, signer: accounts[at]!.address })),
})
const manifest = (): OracleManifest => ({ networkId, clock: null, oracle: oracleOf(1) })

async function signatures(epoch: number, hash: Hex) {
  const by = members(epoch).slice(0, 3)
  return Promise.all(
    by.map(async (at, signer) => ({
      signer,
      signature: compactSignature(await accounts[at]!.sign({ hash })),
    })),
  )
}

async function reportOf(epoch: number, seq: number): Promise<string> {
  const report = { epoch, seq: BigInt(seq), prices: [{ price: 10n ** 10n, confidence: 5 }] }
  const encoded = encodeReport(report, await signatures(epoch, reportDigest(report, feeds, networkId)))
  return JSON.stringify({ seq: `${seq}`, observedAt: seq * SLOT_MS, encoded })
}

/** The handover to an epoch, signed by the one before it, or by another. */
async function handoverTo(epoch: number, firstSeq: number, by = epoch - 1): Promise<string> {
  const succession = { oracle: oracleOf(epoch), firstSeq, lastSeq: firstSeq + 1_000_000, useAges: [120] }
  const signed = await signatures(by, handoverDigest(handoverOf(succession), networkId))
  return JSON.stringify({ ...succession, signatures: encodeQuorum(signed) })
}

/** These nodes answer so at this path. */
function serve(at: readonly number[], path: string, body: string) {
  for (const one of at) nodes[one]!.answers.set(path, body)
}

it('follows a handover to the next signers, and asks for it once', async () => {
  const network = manifest()
  serve(members(2), '/reports/latest', await reportOf(2, now))
  serve(members(2), '/handover/2', await handoverTo(2, now - 5))
  serve([0], '/reports/latest', await reportOf(1, now - 6)) // it has left
  expect(await latestReport(network)).toMatchObject({ epoch: 2, seq: BigInt(now) })
  for (const { asked } of nodes) asked.length = 0
  expect(await latestReport(network)).toMatchObject({ epoch: 2, seq: BigInt(now) })
  expect(nodes.flatMap(({ asked }) => asked).filter((path) => path.startsWith('/handover'))).toEqual([])
})

it('follows many, to nodes of which the manifest names none, from the last reports of those that have left', async () => {
  for (const epoch of [2, 3, 4, 5])
    serve([3], `/handover/${epoch}`, await handoverTo(epoch, now - 1_000 + 100 * epoch))
  serve([3], '/reports/latest', await reportOf(4, now - 501))
  serve(members(5), '/reports/latest', await reportOf(5, now))
  expect(await latestReport(manifest())).toMatchObject({ epoch: 5, seq: BigInt(now) })
})

it('takes nothing of an epoch that its predecessor has not signed, nor of a slot that it has given away', async () => {
  const own = await reportOf(1, now)
  serve([0, 1, 2], '/reports/latest', own)
  serve([3], '/reports/latest', await reportOf(2, now + 1))
  serve([3], '/handover/2', await handoverTo(2, now - 5, 2))
  // One node alone is no network.
  expect(await latestReport(manifest())).toMatchObject({ epoch: 1 })

  serve([3], '/handover/2', await handoverTo(2, now - 5))
  serve(members(2), '/reports/latest', await reportOf(2, now - 1))
  serve([0, 1], '/reports/latest', own)
  expect(await latestReport(manifest())).toMatchObject({ epoch: 2, seq: BigInt(now - 1) })
})

it('says in one clear error that the manifest is too old', async () => {
  serve(members(1), '/reports/latest', await reportOf(3, now))
  serve(members(1), '/handover/3', await handoverTo(3, now - 5)) // the one before it, nobody has
  const error = await latestReport(manifest()).catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(UnknownEpochError)
  expect(error).toMatchObject({ epoch: 3, known: 1 })

  serve(members(1), '/reports/stream', `data: ${await reportOf(3, now)}\n\n`)
  await expect(async () => {
    for await (const _ of followReports(manifest())) throw new Error('a report of an unknown epoch')
  }).rejects.toThrow(UnknownEpochError)
  // Nodes that are gone are another thing: they may come back.
  for (const { answers } of nodes) answers.clear()
  await expect(latestReport(manifest())).rejects.toThrow(RetryableError)
})

it('takes a handover that has not arrived for no sign of anything', async () => {
  const network = manifest()
  serve(members(2), '/reports/latest', await reportOf(2, now))
  serve(members(2), '/handover/2', BROKEN)
  await expect(latestReport(network)).rejects.toThrow(RetryableError)
  serve(members(2), '/handover/2', await handoverTo(2, now - 5))
  expect((await latestReport(network)).epoch).toBe(2)
})

it('streams on over a handover, from the new node too', async () => {
  const network = manifest()
  serve(members(1), '/reports/stream', `data: ${await reportOf(1, now - 3)}\n\n`)
  serve([4], '/reports/stream', `data: ${await reportOf(2, now)}\n\n`)
  const [second, handover] = [await reportOf(2, now - 2), await handoverTo(2, now - 2)]
  const seen: [number, bigint][] = []
  for await (const { epoch, seq } of followReports(network)) {
    seen.push([epoch, seq])
    if (seen.length === 3) break
    // The old nodes tell of one report of the new epoch; the newest is with the new node alone.
    serve([1, 2, 3], '/handover/2', handover)
    for (const one of nodes.slice(0, 4).flatMap(({ streams }) => streams)) one.write(`data: ${second}\n\n`)
  }
  expect(seen).toEqual([
    [1, BigInt(now - 3)],
    [2, BigInt(now - 2)],
    [2, BigInt(now)],
  ])
})
