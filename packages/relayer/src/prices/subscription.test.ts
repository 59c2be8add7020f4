import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import {
  type Clock,
  compactSignature,
  createLogger,
  createMetrics,
  decodeReport,
  encodeReport,
  type Network,
  type Report,
  reportDigest,
  type SignedReport,
  seededRandom,
  systemClock,
  verifyReport,
} from '@clearspan/shared'
import { type Hex, numberToHex, pad } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { afterEach, expect, it } from 'vitest'
import { createPriceSubscription } from './subscription.js'

const accounts = [1, 2, 3, 4].map((n) => privateKeyToAccount(pad(numberToHex(n))))
const networkId: Hex = pad('0x77')
const SLOT_MS = 4_000
const feeds = ['ETH/USD', 'BTC/USD', 'USDC/USD', 'SOL/USD'].map((name) => ({ name, exponent: -8 }))
const oracleAt = (urls: readonly string[]): Network['oracle'] => ({
  epoch: 1,
  slotMs: SLOT_MS,
  feeds,
  nodes: accounts.map(({ address }, i) => ({ url: urls[i] ?? 'http://127.0.0.1:9', signer: address })),
})
const now = systemClock.now()
const currentSeq = BigInt(Math.floor(now / SLOT_MS))

async function served(seq: bigint, signers = [0, 1, 2], change: Partial<Report> = {}) {
  const prices = feeds.map((_, i) => ({ price: BigInt(i + 1) * 10n ** 10n, confidence: 5 }))
  const report: Report = { epoch: 1, seq, prices, ...change }
  const hash = reportDigest({ ...report, prices }, feeds, networkId)
  const signatures = await Promise.all(
    signers.map(async (signer) => ({
      signer,
      signature: compactSignature(await accounts[signer]!.sign({ hash })),
    })),
  )
  return { seq: `${seq}`, observedAt: Number(seq) * SLOT_MS, encoded: encodeReport(report, signatures) }
}

const oracle = oracleAt([])
const check = (report: Awaited<ReturnType<typeof served>>) =>
  verifyReport(report, { oracle, networkId }, systemClock.now())

it('decodes what nodes encode, and accepts a quorum of any three', async () => {
  const report = await served(currentSeq, [0, 2, 3])
  expect(decodeReport(report.encoded, oracle)).toMatchObject({
    report: { epoch: 1, seq: currentSeq, prices: [{ price: 10n ** 10n, confidence: 5 }, {}, {}, {}] },
    signatures: [{ signer: 0 }, { signer: 2 }, { signer: 3 }],
  })
  expect(await check(report)).toMatchObject({ seq: currentSeq, encoded: report.encoded })
})

/** An honest report but for one byte. */
async function changed(at: number, byte: string) {
  const report = await served(currentSeq)
  const start = 2 + 2 * at
  const encoded = `${report.encoded.slice(0, start)}${byte}${report.encoded.slice(start + 2)}` as Hex
  expect(encoded).not.toBe(report.encoded)
  return { ...report, encoded }
}

it.each([
  ['too few signatures', () => served(currentSeq, [0, 1]), /2 signatures/],
  [
    'a changed price',
    () => served(currentSeq, [0, 1, 2], { prices: feeds.map(() => ({ price: 1n, confidence: 0 })) }),
    /wrong signature/,
  ],
  ['another epoch', () => served(currentSeq, [0, 1, 2], { epoch: 2 }), /epoch, seq or time/],
  ['a slot of the future', () => served(currentSeq + 100n), /of the future/],
  [
    'another seq than its own',
    async () => ({ ...(await served(currentSeq)), seq: '1' }),
    /epoch, seq or time/,
  ],
  [
    'a byte too many',
    async () => ({
      ...(await served(currentSeq)),
      encoded: `${(await served(currentSeq)).encoded}00` as Hex,
    }),
    /bitmap/,
  ],
  ['nothing', async () => ({ seq: '1', observedAt: 1, encoded: '0x00' as Hex }), /words/],
  ['a signature more than the quorum', () => served(currentSeq, [0, 1, 2, 3]), /4 signatures/],
  // Of two words the second holds one feed: bytes 45 to 77 of the report, of which 55 to 75 stand for none.
  ['a price of no feed', () => changed(56, '01'), /not canonical/],
  ['bits below the prices of a word', () => changed(44, '01'), /not canonical/],
])('refuses a report with %s', async (_, make, message) => {
  await expect(make().then(check)).rejects.toThrow(message)
})

const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    server.close()
  }
})

/** A node that serves what the test writes, on each of its connections. */
async function startNode(onConnect: (stream: ServerResponse, connection: number) => void): Promise<string> {
  let connections = 0
  const server = createServer((request, response) => {
    if (request.url === '/handover/2') return void response.writeHead(404).end()
    expect(request.url).toBe('/reports/stream')
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.flushHeaders()
    onConnect(response, connections++)
  })
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** A subscription to nodes at these URLs, until `end`. */
function subscribe(
  urls: readonly string[],
  onReport: (report: SignedReport) => void,
  { clock = systemClock, idleMs = 60_000 }: { clock?: Clock; idleMs?: number } = {},
) {
  const metrics = createMetrics()
  const subscription = createPriceSubscription({
    network: { oracle: oracleAt(urls), networkId },
    networkClock: systemClock,
    clock,
    idleMs,
    random: seededRandom(1),
    fetch,
    logger: createLogger({ name: 'test', level: 'silent' }),
    metrics,
    onReport,
    // Real time even where a test makes long sleeps short.
    handoverMs: 9_000,
    opened: async () => ({ epoch: 1, configHash: pad('0x'), firstSeq: 0n, lastSeq: 0n }),
    onHandover: () => {},
  })
  const abort = new AbortController()
  const running = subscription.run(abort.signal)
  const end = async () => {
    abort.abort()
    await running
  }
  return { subscription, metrics, end }
}

const eventOf = (value: unknown) => `data: ${JSON.stringify(value)}\n\n`

it('takes each new report once, from whichever honest node has it first, across reconnections and lies', async () => {
  const [first, second, third] = await Promise.all([1n, 2n, 3n].map((n) => served(currentSeq - 10n + n)))
  const reports: SignedReport[] = []
  let advance = () => {}
  const arrived = (count: number) =>
    new Promise<void>((resolve) => {
      advance = () => {
        if (reports.length >= count) resolve()
      }
      advance()
    })
  let connected = (_: ServerResponse) => {}
  const cut = new Promise<ServerResponse>((resolve) => {
    connected = resolve
  })
  const urls = await Promise.all([
    // Ends its first connection after one report and serves the newest on the second.
    startNode((stream, connection) => {
      if (connection === 0) stream.end(eventOf(first))
      else stream.write(eventOf(third))
    }),
    // Cuts an event in two.
    startNode((stream) => {
      stream.write(eventOf(first).slice(0, 20))
      connected(stream)
    }),
    // Sends without end.
    startNode((stream) => void stream.write(`data: ${'x'.repeat(200_000)}`)),
  ])
  const { subscription, end } = subscribe(urls, (report) => {
    reports.push(report)
    advance()
  })
  await arrived(2)
  expect(reports.map(({ seq }) => seq)).toEqual([BigInt(first!.seq), BigInt(third!.seq)])
  expect(subscription.newest()?.report.encoded).toBe(third!.encoded)
  // An older report is no news.
  const stream = await cut
  stream.write(`${eventOf(first).slice(20)}${eventOf(second)}`)
  stream.write(eventOf(await served(currentSeq)))
  await arrived(3)
  expect(reports.at(-1)?.seq).toBe(currentSeq)
  await end()
})

it('leaves a node that lies alone for longer each time, until it serves something true', async () => {
  const [first, second] = await Promise.all([1n, 2n].map((n) => served(currentSeq - 10n + n)))
  const forged = { ...first!, seq: `${currentSeq}` }
  const lies = [forged, { seq: 1 }, 'no JSON']
  let done = () => {}
  const caught = new Promise<void>((resolve) => {
    done = resolve
  })
  let lieAgain = () => {}
  const url = await startNode((stream, connection) => {
    const lie = lies[connection]
    if (connection < 3) stream.write(lie === 'no JSON' ? 'data: {\n\n' : eventOf(lie))
    else if (connection === 3) {
      stream.write(eventOf(second))
      lieAgain = () => void stream.end(eventOf(forged))
    } else done()
  })
  const penalties: number[] = []
  const clock: Clock = {
    now: systemClock.now,
    async sleep(ms, signal) {
      if (ms < 10_000) return systemClock.sleep(ms, signal)
      penalties.push(ms)
    },
  }
  const seen: bigint[] = []
  const onReport = ({ seq }: SignedReport) => {
    seen.push(seq)
    lieAgain()
  }
  const { metrics, end } = subscribe([url], onReport, { clock })
  await caught
  await end()
  expect(seen).toEqual([currentSeq - 8n])
  expect(penalties.slice(0, 3)).toEqual([10_000, 20_000, 40_000])
  // After the truth the count begins anew.
  expect(penalties[3]).toBe(10_000)
  expect(await metrics.text()).toMatch(/report_node_penalties_total\{node="0"\} 4/)
  expect(await metrics.text()).toMatch(/report_events_total\{node="0",outcome="invalid"\} 4/)
})

it('ends when told to, also when a collection has taken what fetch remembers of its signal', async () => {
  setFlagsFromString('--expose_gc')
  const collect = runInNewContext('gc') as () => void
  let connected = () => {}
  const connection = new Promise<void>((resolve) => {
    connected = resolve
  })
  const first = await served(currentSeq)
  const url = await startNode((stream) => {
    stream.write(eventOf(first))
  })
  const { subscription, end } = subscribe([url], () => connected())
  await connection
  for (let i = 0; i < 10; i++) {
    await new Promise(setImmediate)
    collect()
  }
  await end()
  expect(subscription.newest()?.report.seq).toBe(currentSeq)
})

it('connects anew when a stream has died without a word', async () => {
  let time = 0
  const sleepers = new Set<() => void>()
  const clock: Clock = {
    now: () => time,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        const due = time + ms
        const wake = () => {
          if (time < due && !signal?.aborted) return
          sleepers.delete(wake)
          signal?.removeEventListener('abort', wake)
          if (signal?.aborted) reject(signal.reason)
          else resolve()
        }
        sleepers.add(wake)
        signal?.addEventListener('abort', wake)
        wake()
      }),
  }
  const advance = (ms: number) => {
    time += ms
    for (const wake of sleepers) wake()
  }
  const report = await served(currentSeq)
  let connections = 0
  const url = await startNode((stream) => {
    connections += 1
    // The first connection says nothing more, ever; the second has the report.
    if (connections > 1) stream.write(eventOf(report))
  })
  let arrive = () => {}
  const arrived = new Promise<void>((resolve) => {
    arrive = resolve
  })
  const { end } = subscribe([url], () => arrive(), { clock, idleMs: 8_000 })
  await expect.poll(() => connections).toBe(1)
  // Time goes on until the second connection stands.
  await expect
    .poll(() => {
      advance(1_000)
      return connections
    })
    .toBe(2)
  expect(time).toBeGreaterThanOrEqual(8_000)
  await arrived
  await end()
})
