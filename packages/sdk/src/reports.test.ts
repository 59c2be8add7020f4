import { createServer, type RequestListener, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import {
  compactSignature,
  encodeReport,
  type Report,
  RetryableError,
  reportDigest,
  systemClock,
} from '@clearspan/shared'
import { type Hex, numberToHex, pad } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { afterEach, expect, it } from 'vitest'
import type { OracleManifest } from './epochs.js'
import { followReports, latestReport } from './reports.js'

const SLOT_MS = 4_000
const accounts = [1, 2, 3, 4].map((n) => privateKeyToAccount(pad(numberToHex(n))))
const networkId: Hex = pad('0x77')
const feeds = [{ name: 'ETH/USD', exponent: -8 }]
const currentSeq = BigInt(Math.floor(systemClock.now() / SLOT_MS))

/** A report as a node serves it, signed by these nodes. */
async function served(seq: bigint, signers = [0, 1, 2]): Promise<string> {
  const report: Report = { epoch: 1, seq, prices: [{ price: 10n ** 10n + seq, confidence: 5 }] }
  const hash = reportDigest(report, feeds, networkId)
  const signatures = await Promise.all(
    signers.map(async (signer) => ({
      signer,
      signature: compactSignature(await accounts[signer]!.sign({ hash })),
    })),
  )
  const encoded = encodeReport(report, signatures)
  return JSON.stringify({ seq: `${seq}`, observedAt: Number(seq) * SLOT_MS, encoded })
}

const ends: (() => Promise<unknown>)[] = []
afterEach(async () => {
  await Promise.all(ends.splice(0).map((end) => end()))
})

/** A network of four nodes that answer so. */
async function networkOf(...nodes: RequestListener[]): Promise<OracleManifest> {
  const urls = await Promise.all(
    nodes.map(async (answer) => {
      const server = createServer(answer)
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      ends.push(() => {
        server.closeAllConnections()
        return new Promise((done) => server.close(done))
      })
      return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    }),
  )
  const signers = accounts.map(({ address }, at) => ({ url: urls[at]!, signer: address }))
  return { networkId, clock: null, oracle: { epoch: 1, slotMs: SLOT_MS, feeds, nodes: signers } }
}

const says = (body: string): RequestListener => {
  return (_, response) => void response.end(body)
}
const silent: RequestListener = () => {}
const broken: RequestListener = (_, response) => void response.writeHead(503).end()

it('takes the newest of what honest nodes serve, whatever one more says', async () => {
  const [old, newest] = await Promise.all([served(currentSeq - 1n), served(currentSeq)])
  const liars = {
    tooFew: await served(currentSeq + 1n, [0, 3]),
    garbage: '{"seq":',
    endless: 'x'.repeat(1_000_000),
    future: await served(currentSeq + 100n),
  }
  for (const lie of Object.values(liars)) {
    const network = await networkOf(says(lie), says(old), says(newest), says(old))
    expect((await latestReport(network)).seq).toBe(currentSeq)
  }
})

it('waits for no more than n − f nodes', async () => {
  const network = await networkOf(
    silent,
    says(await served(currentSeq)),
    ...Array(2).fill(says(await served(currentSeq - 1n))),
  )
  // The time limit is never reached: this clock's never ends.
  const realClock = { ...systemClock, sleep: waitForAbort }
  expect((await latestReport(network, { realClock })).seq).toBe(currentSeq)
})

it('takes what there is when the time is over, and says why there is nothing', async () => {
  const report = await served(currentSeq)
  let answered = () => {}
  const soonAfter = new Promise<void>((resolve) => {
    answered = () => setTimeout(resolve, 500)
  })
  const slow: RequestListener = (_, response) => void response.end(report, answered)
  const one = await networkOf(silent, silent, silent, slow)
  expect((await latestReport(one, { realClock: { ...systemClock, sleep: () => soonAfter } })).seq).toBe(
    currentSeq,
  )
  const none = await networkOf(silent, silent, silent, silent)
  const over = { ...systemClock, sleep: async () => {} }
  await expect(latestReport(none, { realClock: over })).rejects.toThrow(RetryableError)
  await expect(latestReport(await networkOf(broken, broken, broken, broken))).rejects.toThrow(/answered 503/)
})

it('gives up when it is told to', async () => {
  const abort = new AbortController()
  const network = await networkOf(() => abort.abort('enough'), silent, silent, silent)
  await expect(latestReport(network, { signal: abort.signal })).rejects.toBe('enough')
})

function waitForAbort(_: number, signal?: AbortSignal): Promise<void> {
  return new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason)))
}

const streams = (onOpen: (response: ServerResponse) => void): RequestListener => {
  return (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
    onOpen(response)
  }
}
const event = (data: string) => `data: ${data}\n\n`

it('yields every newer report once, from whichever node is first, and passes lies over', async () => {
  const reports = await Promise.all([0n, 1n, 2n].map((n) => served(currentSeq - 2n + n)))
  const forged = await served(currentSeq + 1n, [1, 2])
  const opened: ServerResponse[] = []
  const honest = streams((response) => {
    opened.push(response)
    response.write(event(reports[0]!))
  })
  const liar = streams((response) => void response.write(event(forged)))
  const network = await networkOf(liar, honest, honest, broken)
  const seen: bigint[] = []
  for await (const { seq } of followReports(network)) {
    seen.push(seq)
    const next = reports[seen.length]
    if (next === undefined) break
    for (const response of opened) response.write(event(next))
  }
  expect(seen).toEqual([currentSeq - 2n, currentSeq - 1n, currentSeq])
})

it('connects again when a stream ends', async () => {
  const reports = await Promise.all([served(currentSeq - 1n), served(currentSeq)])
  let times = 0
  const shortLived = streams((response) => void response.end(event(reports[Math.min(times++, 1)]!)))
  const seen: bigint[] = []
  for await (const { seq } of followReports(await networkOf(shortLived, broken, broken, broken))) {
    seen.push(seq)
    if (seen.length === 2) break
  }
  expect(seen).toEqual([currentSeq - 1n, currentSeq])
})

it('ends when its signal aborts', async () => {
  const abort = new AbortController()
  const report = await served(currentSeq)
  const network = await networkOf(
    ...Array<RequestListener>(4).fill(streams((r) => void r.write(event(report)))),
  )
  const seen: bigint[] = []
  for await (const { seq } of followReports(network, { signal: abort.signal })) {
    seen.push(seq)
    setImmediate(() => abort.abort())
  }
  expect(seen).toEqual([currentSeq])
})
