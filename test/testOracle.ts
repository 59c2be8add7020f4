import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import {
  compactSignature,
  encodeReport,
  quorumOf,
  type Report,
  reportDigest,
  systemClock,
  UNUSABLE_CONFIDENCE,
} from '@clearspan/shared'
import type { Hex } from 'viem'
import type { TestNetwork } from './testNetwork.js'

/** Real ms; a slot of a test network is a second. */
const TICK_MS = 100

/** Serves reports that a quorum of a network's observers has signed, at prices of the test's choice, as its nodes would. */
export interface TestOracle {
  url: string
  /** Encoded reports by slot. */
  signed: ReadonlyMap<bigint, Hex>
  /**
   * From now on, each slot has a report with what `price` answers for each feed: in its quote, undefined where it is held. `onPublished` hears
   * the unix ms at which one leaves.
   */
  publish(
    on: TestNetwork,
    price: (feed: string) => number | undefined,
    onPublished?: (at: number) => void,
  ): void
  stop(): Promise<void>
}

export async function startTestOracle(): Promise<TestOracle> {
  const streams = new Set<ServerResponse>()
  const ending = new AbortController()
  let publishing: Promise<void> | undefined
  const signed = new Map<bigint, Hex>()
  let newest: string | undefined
  const server = createServer((request, response) => {
    if (request.url !== '/reports/stream') return void response.writeHead(404).end()
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.flushHeaders()
    if (newest !== undefined) response.write(newest)
    streams.add(response)
    response.on('close', () => streams.delete(response))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')

  async function sign({ network, roles }: TestNetwork, report: Report): Promise<string> {
    const { feeds, nodes, slotMs } = network.oracle
    const hash = reportDigest(report, feeds, network.networkId)
    const signers = roles.observers.slice(0, quorumOf(nodes.length))
    const signatures = await Promise.all(
      signers.map(async ({ account }, signer) => ({
        signer,
        signature: compactSignature(await account.sign({ hash })),
      })),
    )
    const { seq } = report
    const encoded = encodeReport(report, signatures)
    signed.set(seq, encoded)
    return `data: ${JSON.stringify({ seq: `${seq}`, observedAt: Number(seq) * slotMs, encoded })}\n\n`
  }

  async function publishEach(...[on, price, onPublished]: Parameters<TestOracle['publish']>): Promise<void> {
    const { epoch, feeds, slotMs } = on.network.oracle
    let last = -1n
    while (!ending.signal.aborted) {
      const seq = BigInt(Math.floor(on.networkClock.now() / slotMs))
      if (seq > last) {
        last = seq
        const prices = feeds.map(({ name, exponent }) => {
          const value = price(name)
          if (value === undefined) return { price: 0n, confidence: UNUSABLE_CONFIDENCE }
          return { price: BigInt(Math.round(value * 10 ** -exponent)), confidence: 1 }
        })
        newest = await sign(on, { epoch, seq, prices })
        onPublished?.(Date.now())
        for (const stream of streams) stream.write(newest)
      }
      await systemClock.sleep(TICK_MS, ending.signal).catch(() => {})
    }
  }

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    signed,
    publish(...options) {
      publishing = publishEach(...options)
    },
    async stop() {
      ending.abort()
      await publishing
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
