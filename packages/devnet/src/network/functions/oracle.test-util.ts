// Who signs from when on, and contracts that read our oracle as they would read Chainlink's or Pyth's.
import { type Handover, handoverArgument, handoverDigest } from '@clearspan/shared'
import { type Hex, zeroHash } from 'viem'
import { expect } from 'vitest'
import { feedIndex } from '../markets.js'
import { events, govern, read, send, wad } from './calls.test-util.js'
import { FEE } from './carrier.test-util.js'
import type { World } from './world.test-util.js'

const EVER = 2n ** 63n
const ID: Hex = `0x${'e7'.repeat(32)}`

/** The next epoch by the word of this one's quorum; a later one revoked from the hub, before it was ever opened. */
export async function epochs({ hub, spoke, quorum, carry, roles, ...world }: World): Promise<void> {
  const { markets, timing } = world
  const next: Handover = {
    epoch: 2,
    // Not while anybody here still signs by the first.
    firstSeq: BigInt(Math.floor(world.now() / timing.slotSeconds) + 1_000_000),
    lastSeq: BigInt(Math.floor(world.now() / timing.slotSeconds) + 2_000_000),
    configHash: zeroHash,
    signers: roles.observers.map(({ account }) => account.address),
    feeds: markets.feeds.map((feed) => ({ ...feed, useAge: timing.useAge })),
  }
  const args = [handoverArgument(next), await quorum(handoverDigest(next, zeroHash))]
  const opened = await send(spoke, roles.operator, spoke.oracle, 'handOver', args)
  expect(events(opened, spoke.oracle, 'EpochOpened')).toMatchObject([{ epoch: 2, firstSeq: next.firstSeq }])

  await govern(hub, hub.revoker, 'order', [7])
  await send(hub, roles.operator, hub.revoker, 'send', [spoke.eid, 7], FEE)
  expect(await carry()).toBe(1)
  expect(await read(spoke, spoke.revoker, 'ordered', [7])).toBe(true)
  const { client } = spoke.chain
  const revoked = await client.getContractEvents({
    ...spoke.oracle,
    eventName: 'EpochRevoked',
    fromBlock: 0n,
  })
  expect(revoked).toMatchObject([{ args: { epoch: 7 } }])
}

/** Each call brings a report that the chain doesn't have yet. */
export async function adapters(world: World): Promise<void> {
  const { hub, create, roles, markets, report } = world
  const { alice } = roles.traders
  const feed = BigInt(feedIndex(markets, 'ETH'))
  const { address: oracle } = hub.oracle
  const pyth = await create(hub, 'pythAdapter', [oracle, 60n, [{ id: ID, feed }]])
  const aggregator = await create(hub, 'aggregatorAdapter', [oracle, feed, 18, 'ETH / USD'])
  const readers = [oracle, feed, 60n, aggregator.address, pyth.address, ID]
  const reader = await create(hub, 'priceReader', readers)
  const unit = 10n ** BigInt(-markets.feeds[Number(feed)]!.exponent)
  const { timing } = world
  const slotNow = () => BigInt(Math.floor(world.now() / timing.slotSeconds) * timing.slotSeconds)
  let ETH = 105
  /** The next price, in a report. */
  const next = () => report({ ETH: ++ETH })
  const told = async () => ((await read(hub, pyth, 'getPriceUnsafe', [ID])) as { price: bigint }).price

  await send(hub, alice, pyth, 'updatePriceFeeds', [[await next()]])
  expect(await told()).toBe(BigInt(ETH) * unit)
  const newer = [await next()]
  await send(hub, alice, pyth, 'updatePriceFeedsIfNecessary', [newer, [ID], [slotNow()]])
  expect(await told()).toBe(BigInt(ETH) * unit)
  for (const [name, ...rest] of [
    ['parsePriceFeedUpdates', 0n, EVER],
    ['parsePriceFeedUpdatesUnique', undefined, EVER],
    ['parsePriceFeedUpdatesWithConfig', 0n, EVER, false, false, true],
  ] as const) {
    const updates = [await next()]
    const args = [updates, [ID], ...rest.map((one) => one ?? slotNow())]
    expect(await read(hub, pyth, name, args, alice), name).toMatchObject(
      name.endsWith('Config') ? [[{ id: ID }], [slotNow() / BigInt(timing.slotSeconds)]] : [{ id: ID }],
    )
    await send(hub, alice, pyth, name, args)
    expect(await told(), name).toBe(BigInt(ETH) * unit)
  }
  for (const name of ['act', 'actOnAggregator', 'actOnPyth']) {
    const encoded = await next()
    await send(hub, alice, reader, name, [name === 'actOnPyth' ? [encoded] : encoded, wad(2)])
    const [amount, low, high] = (await read(hub, reader, 'deals', [alice.account.address])) as [
      bigint,
      bigint,
      bigint,
    ]
    expect(amount, name).toBe(wad(2))
    expect(low <= wad(2 * ETH) && wad(2 * ETH) <= high && high < wad(2 * ETH + 1), name).toBe(true)
  }
}
