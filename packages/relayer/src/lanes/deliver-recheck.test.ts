import { type ChainClient, createLogger, createMetrics, systemClock } from '@clearspan/shared'
import { type Hex, keccak256, numberToHex, pad, zeroHash } from 'viem'
import { beforeEach, expect, it } from 'vitest'
import type { ChainContext } from '../chains/context.js'
import { createQuarantine } from '../chains/quarantine.js'
import { createComposes } from '../layerzero/composes.js'
import { createOutbox } from '../layerzero/outbox.js'
import { pathOf, payloadHash } from '../layerzero/packet.js'
import { address, sent } from './deliver.test-util.js'
import { createRecheck } from './deliver-recheck.js'

const CONFIRMATIONS = 3
const packet = sent(1n, 1)
const { guid } = packet.packet
const MESSAGE: Hex = '0xc0ffee'
const call = { from: address(1_001), to: address(12), guid, index: 0, message: MESSAGE, block: 1n }

type Says = (block: bigint) => 'delivered' | 'open'
/** A node that knows blocks up to the feed's head, by their hashes of this branch, and what the destination was at each. */
const node = (says: Says, branch = 0n, isDown = () => false) =>
  ({
    async getBlock({ blockNumber }: { blockNumber: bigint }) {
      if (isDown()) throw new Error('down')
      return { hash: pad(numberToHex(branch * 1_000n + blockNumber)) }
    },
    multicall: async ({
      contracts,
      blockNumber,
    }: {
      contracts: { functionName: string }[]
      blockNumber: bigint
    }) => {
      const isDelivered = says(blockNumber) === 'delivered'
      return contracts.map(({ functionName }) => {
        if (functionName === 'inboundNonce') return 1n
        if (functionName === 'composeQueue') return isDelivered ? pad('0x1') : keccak256(MESSAGE)
        return isDelivered ? zeroHash : payloadHash(packet.packet)
      })
    },
  }) as unknown as ChainClient
const always = (): 'delivered' => 'delivered'
const never = (): 'open' => 'open'

let head: bigint
beforeEach(() => {
  head = 10n
})

/** What nodes are asked about that was settled at block 10. */
function world(witnesses: readonly ChainClient[]) {
  const logger = createLogger({ name: 'test', level: 'silent' })
  const quarantine = createQuarantine({
    chain: 'destination',
    nodes: witnesses,
    clock: { ...systemClock, now: () => 0 },
    logger,
    metrics: createMetrics(),
  })
  const destination = {
    chain: { confirmations: CONFIRMATIONS, layerzero: { endpoint: address(5) } },
    witnesses,
    quarantine,
    feed: { head: () => ({ number: head }) },
  } as unknown as ChainContext
  const outbox = createOutbox({ ownPaths: new Set([pathOf(packet.packet)]), maxForeign: 100 })
  const composes = createComposes({ maxFailures: 3 })
  outbox.add(packet, 0)
  outbox.settleSeen(guid, head)
  composes.expect({ ...packet, options: { ...packet.options, composes: [{ index: 0, gas: 1n, value: 0n }] } })
  composes.queue(call)
  composes.settle(call, head)
  const recheck = createRecheck(destination, { outbox, composes, log: logger })
  return {
    outbox,
    composes,
    held: () => witnesses.map(quarantine.holds),
    /** One sweep this many blocks later; answers how many packets and compose calls wait then. */
    async sweep(blocks: bigint) {
      head += blocks
      await recheck()
      return [outbox.size(), composes.pending().length]
    },
  }
}

it('what one node made up is done after all, once it would be deep, and the node left out', async () => {
  const { sweep, held } = world([node(always), node(never), node(never)])
  // As of block 10 nobody can say yet: it may have been of the block after.
  expect(await sweep(2n)).toEqual([0, 0])
  expect(await sweep(1n)).toEqual([1, 1])
  expect(held()).toEqual([true, false, false])
})

it('what was of a branch that the feed never saw is done after all', async () => {
  const { sweep, held } = world([node(never), node(never), node(never)])
  expect(await sweep(3n)).toEqual([1, 1])
  expect(held()).not.toContain(true)
})

it('what more than half call done stays so, and comes back only with what holds it', async () => {
  const { sweep, outbox, composes, held } = world([node(never), node(always), node(always)])
  expect(await sweep(3n)).toEqual([0, 0])
  expect(held()).toEqual([true, false, false])
  for (const part of [outbox.restore, composes.forget]) part(12n)
  expect([outbox.size(), composes.pending().length]).toEqual([0, 0])
  for (const part of [outbox.restore, composes.forget]) part(11n)
  expect([outbox.size(), composes.pending().length]).toEqual([1, 1])
})

it('until it is confirmed, it comes back with any reorg: nobody knows which block it was of', () => {
  const { outbox, composes } = world([node(always)])
  for (const part of [outbox.restore, composes.forget]) part(11n)
  expect([outbox.size(), composes.pending().length]).toEqual([1, 1])
})

it.each([
  ['more than half call delivered is let go', [node(always), node(always), node(never)], 0],
  ['one node calls delivered is kept', [node(always), node(never), node(never)], 1],
])('a native drop of what %s', async (_, witnesses, left) => {
  const { outbox, sweep } = world(witnesses)
  outbox.markDropped(packet.packet, address(1_001), 9n)
  await sweep(2n)
  expect(outbox.drops.size()).toBe(left)
})

it('without a majority it is asked again at the next sweep, and nobody is left out', async () => {
  let isDown = true
  const { sweep, held } = world([node(always), node(never, 1n), node(never, 0n, () => isDown)])
  expect(await sweep(3n)).toEqual([0, 0])
  const other = world([node(always), node(never), node(never, 0n, () => isDown)])
  expect(await other.sweep(3n)).toEqual([0, 0])
  isDown = false
  expect(await other.sweep(0n)).toEqual([1, 1])
  // One of another branch tells no lie.
  expect(held()).not.toContain(true)
})
