import { type Hex, zeroHash } from 'viem'
import { expect, it } from 'vitest'
import type { ChainContext } from '../chains/context.js'
import { createOutbox } from '../layerzero/outbox.js'
import { address, sent } from './deliver.test-util.js'
import { createCatchUp } from './deliver-catch-up.js'

/** A destination that has executed all nonces up to one. */
function destinationAt(executed: bigint) {
  let requests = 0
  const multicall = async ({ contracts }: { contracts: { functionName: string }[] }) => {
    requests++
    return contracts.map(({ functionName }): bigint | Hex =>
      functionName === 'inboundNonce' ? executed : zeroHash,
    )
  }
  const destination = {
    chain: { layerzero: { endpoint: address(5) } },
    client: { multicall },
    feed: { head: () => ({ number: 5n }) },
  } as unknown as ChainContext
  return { destination, requests: () => requests }
}

function outboxOf(count: number) {
  const outbox = createOutbox({ ownPaths: new Set(), maxForeign: 10_000 })
  for (let nonce = 1; nonce <= count; nonce++) outbox.add(sent(BigInt(nonce), 1), 0)
  return outbox
}

it('what is delivered long since leaves in a few requests, and the rest is asked about once', async () => {
  const outbox = outboxOf(1_200)
  const { destination, requests } = destinationAt(1_150n)
  const catchUp = createCatchUp(destination, outbox)
  // Rounds beside one another ask together.
  await Promise.all([catchUp(), catchUp()])
  expect(outbox.pending().map(({ packet }) => packet.nonce)).toEqual(
    Array.from({ length: 50 }, (_, i) => BigInt(1_151 + i)),
  )
  expect(requests()).toBe(3)
  await catchUp()
  expect(requests()).toBe(3)
})

it('a few fresh packets wait for no request of their own', async () => {
  const { destination, requests } = destinationAt(0n)
  await createCatchUp(destination, outboxOf(20))()
  expect(requests()).toBe(0)
})

it.each([
  ['after a restart, most being delivered', 1_150n],
  ['when more are sent than may wait', 0n],
])("of others' packets none is forgotten for want of room: %s", async (_, executed) => {
  const [count, maxForeign] = [1_200, 200]
  const packets = Array.from({ length: count }, (_, i) => ({
    ...sent(BigInt(i + 1), 1),
    blockNumber: BigInt(i + 1),
  }))
  const outbox = createOutbox({ ownPaths: new Set(), maxForeign })
  const catchUp = createCatchUp(destinationAt(executed).destination, outbox)
  const read = (from: bigint) => {
    for (const packet of packets) if (packet.blockNumber >= from) outbox.add(packet, 0)
  }
  read(0n)
  const delivered: bigint[] = []
  for (let looks = 0; looks < 20; looks++) {
    await catchUp()
    for (const { packet } of outbox.pending().slice(0, maxForeign / 2)) {
      delivered.push(packet.nonce)
      outbox.settle(packet.guid, 6n)
    }
    // Its feed is still at what was refused.
    expect(outbox.readmit(packets[0]!.packet.srcEid, BigInt(count) - 1n, 1)).toBe(undefined)
    const from = outbox.readmit(packets[0]!.packet.srcEid, BigInt(count), maxForeign / 2)
    if (from !== undefined) read(from)
  }
  expect(delivered).toEqual(packets.map(({ packet }) => packet.nonce).filter((nonce) => nonce > executed))
})
