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
