// Trades by signed orders at their own price and at the oracle's, what they leave unpaid, and what margin learns of the market meanwhile.
import { accountId } from '@clearspan/shared'
import { zeroAddress, zeroHash } from 'viem'
import { expect } from 'vitest'
import { type Order, signOrder } from '../../scenario/cast.js'
import { feedIndex } from '../markets.js'
import type { LocalKey } from '../roles.js'
import { type Contract, events, govern, read, send, wad } from './calls.test-util.js'
import { cashOf, type World } from './world.test-util.js'

const FOREVER = 10n ** 12n
let nonce = 0n

/** Id of an instrument by its symbol. */
export const idOf = ({ markets }: World, symbol: string) =>
  BigInt(markets.instruments.find((one) => one.symbol === symbol)!.id)

const ethFeed = ({ markets }: World) => BigInt(feedIndex(markets, 'ETH'))

/** Whole units, or WAD as it is. */
const priceOf = (price: number | bigint) => (typeof price === 'bigint' ? price : wad(price))

/** Signed for one of the two venues. Whole base units; buys are positive. */
async function order(
  world: World,
  at: Contract,
  key: LocalKey,
  instrument: string,
  size: number,
  price: number | bigint,
) {
  const made: Order = {
    account: accountId(key.account.address),
    instrumentId: idOf(world, instrument),
    size: wad(size),
    limitPrice: priceOf(price),
    expiry: FOREVER,
    nonce: ++nonce,
    matcher: zeroAddress,
  }
  const manifest = { hub: { chainId: world.hub.chain.chainId }, networkId: zeroHash }
  const name = at === world.venue ? 'Clearspan Venue' : 'Clearspan Oracle Venue'
  const signature = await signOrder(
    { manifest },
    { actor: { key }, order: made },
    { name, address: at.address },
  )
  return { order: made, signature }
}

/** One buys of another, by the venue. */
export async function trade(
  world: World,
  [buyer, seller]: readonly [LocalKey, LocalKey],
  instrument: string,
  size: number,
  price: number | bigint,
) {
  const { hub, roles, venue } = world
  const buy = await order(world, venue, buyer, instrument, size, price)
  const sell = await order(world, venue, seller, instrument, -size, price)
  const args = [buy.order, buy.signature, sell.order, sell.signature, wad(size), priceOf(price)]
  return send(hub, roles.operator, venue, 'matchOrders', args)
}

export const positionOf = (world: World, { account }: LocalKey, instrument: string) =>
  read(world.hub, world.clearinghouse, 'position', [
    accountId(account.address),
    idOf(world, instrument),
  ]) as Promise<{ size: bigint; quote: bigint }>

/** Alice buys of Bob, loses, pays; what he gets warms and becomes cash. */
export async function trades(world: World): Promise<void> {
  const { hub, roles, clearinghouse, venue, perp, tell, pass } = world
  const { alice, bob } = roles.traders
  await tell()
  expect(await read(world.spoke, world.spoke.oracle, 'price', [ethFeed(world)])).toMatchObject({
    price: wad(200),
    fresh: true,
  })
  const matched = await trade(world, [alice, bob], 'ETH-PERP', 100, 200)
  expect(events(matched, venue, 'Matched')).toMatchObject([{ size: wad(100), price: wad(200) }])
  expect(events(matched, perp, 'FundingRateSet')).toHaveLength(1)
  expect((await positionOf(world, alice, 'ETH-PERP')).size).toBe(wad(100))
  expect((await positionOf(world, bob, 'ETH-PERP')).size).toBe(wad(-100))

  const dead = await order(world, venue, alice, 'ETH-PERP', 1, 200)
  await send(hub, alice, venue, 'cancel', [dead.order])
  const hash = await read(hub, venue, 'orderHash', [dead.order])
  expect(await read(hub, venue, 'filled', [hash])).toBe(2n ** 256n - 1n)

  await tell({ ETH: 190 })
  const before = await cashOf(world, alice)
  await settlePnl(world, [alice], 'ETH-PERP')
  const paid = before - (await cashOf(world, alice))
  expect(paid).toBeGreaterThan(wad(999))
  await settlePnl(world, [bob], 'ETH-PERP')
  await pass(86_401)
  expect(await cashOf(world, bob)).toBe(0n)
  await send(hub, roles.operator, clearinghouse, 'warm', [accountId(bob.account.address)])
  expect(await cashOf(world, bob)).toBeGreaterThan((paid * 99n) / 100n)

  // What is closed is settled at once.
  await tell()
  await trade(world, [alice, bob], 'BTC-PERP', 1, 8_000)
  const closed = await trade(world, [bob, alice], 'BTC-PERP', 1, 8_010)
  const [instrumentId, lost] = [
    idOf(world, 'BTC-PERP'),
    { account: accountId(bob.account.address), amount: wad(-10) },
  ]
  expect(events(closed, clearinghouse, 'PnlSettled')).toMatchObject([
    { ...lost, instrumentId },
    { account: accountId(alice.account.address), instrumentId, amount: wad(10) },
  ])
}

/** Losers first, so that winners find it in the pool. */
export async function settlePnl(world: World, keys: readonly LocalKey[], instrument: string): Promise<void> {
  const { hub, roles, clearinghouse } = world
  for (const { account } of keys)
    await send(hub, roles.operator, clearinghouse, 'settlePnl', [
      accountId(account.address),
      idOf(world, instrument),
    ])
}

/** A pair settled at its slot's price, one given back, one order ended. */
export async function oracleTrades(world: World): Promise<void> {
  const { hub, roles, oracleVenue, timing, tell, report, pass } = world
  const { alice, bob } = roles.traders
  await tell({ ETH: 200 })
  const commit = async () => {
    const buy = await order(world, oracleVenue, alice, 'ETH-PERP', 10, 300)
    const sell = await order(world, oracleVenue, bob, 'ETH-PERP', -10, 100)
    const args = [buy.order, buy.signature, sell.order, sell.signature, wad(10)]
    const [{ slot }] = events(
      await send(hub, roles.operator, oracleVenue, 'commit', args),
      oracleVenue,
      'Committed',
    ) as [{ slot: bigint }]
    return { pair: [buy.order, sell.order] as const, slot }
  }
  const { pair, slot } = await commit()
  const before = (await positionOf(world, alice, 'ETH-PERP')).size
  await pass(Number(slot - 1n) * timing.slotSeconds + 1 - world.now())
  const price = await report({ ETH: 201 })
  const settled = await send(hub, roles.operator, oracleVenue, 'settle', [...pair, slot, price])
  expect(events(settled, oracleVenue, 'Settled')).toMatchObject([{ size: wad(10), price: wad(201) }])
  expect((await positionOf(world, alice, 'ETH-PERP')).size).toBe(before + wad(10))

  const late = await commit()
  const hash = await read(hub, oracleVenue, 'orderHash', [late.pair[0]])
  expect(await read(hub, oracleVenue, 'filled', [hash])).toBe(wad(10))
  await pass(timing.acceptAge + 3 * timing.slotSeconds)
  await send(hub, roles.operator, oracleVenue, 'release', [...late.pair, late.slot])
  expect(await read(hub, oracleVenue, 'filled', [hash])).toBe(0n)
  await send(hub, alice, oracleVenue, 'cancel', [late.pair[0]])
  expect(await read(hub, oracleVenue, 'filled', [hash])).toBe(2n ** 256n - 1n)
}

/** What anybody may tell margin: averages, volatility, depth, open interest, and how far a ramp has come. */
export async function marketRisk(world: World): Promise<void> {
  const { hub, spoke, roles, markets, dynamicRisk, marginEngine, riskConfig, tell, pass } = world
  const feed = ethFeed(world)
  const by = roles.operator
  await tell({ ETH: 200, 'ETH.RV/VOL': 4, 'ETH.IV/VOL': 4 })
  await send(hub, by, marginEngine, 'observe', [feed])
  await pass(600)
  const average = (await read(hub, marginEngine, 'averageOf', [feed])) as bigint
  await pass(600)
  await tell({ ETH: 205 })
  await send(hub, by, marginEngine, 'observe', [feed])
  await pass(600)
  expect(await read(hub, marginEngine, 'averageOf', [feed])).toBeGreaterThan(average)

  await tell()
  const shocks = async () =>
    (await read(hub, riskConfig, 'currentUnderlying', [feed])) as { shockIm: number; rampedAt: number }
  const calm = await shocks()
  await send(hub, by, dynamicRisk, 'refresh', [feed, [idOf(world, 'ETH-PERP')]])
  expect(await read(hub, dynamicRisk, 'counted', [feed])).toBe(wad(110))
  expect((await shocks()).shockIm, 'at 400 % a year').toBeGreaterThan(calm.shockIm)

  const leader = {
    volatilityFeed: markets.feeds.findIndex(({ name }) => name === 'ETH.RV/VOL'),
    volatility: 30_000,
  }
  await govern(hub, dynamicRisk, 'setClassInputs', [0n, leader])
  const rho = async () => ((await read(hub, riskConfig, 'currentRho', [0n])) as bigint[])[0]!
  const before = await rho()
  await send(hub, by, dynamicRisk, 'refreshClass', [0n])
  expect(await rho()).toBeGreaterThan(before)

  const asset = (await read(hub, riskConfig, 'asset', [spoke.weth.id])) as Record<string, unknown>
  const credit = async () => ((await read(hub, riskConfig, 'currentCredit', [spoke.weth.id])) as bigint[])[1]!
  await govern(hub, riskConfig, 'setAsset', [spoke.weth.id, { ...asset, creditIm: 9_000, creditMm: 9_200 }])
  const set = await credit()
  const grid = (await read(hub, riskConfig, 'grid')) as Record<string, unknown>
  await govern(hub, riskConfig, 'setGrid', [{ ...grid, volatilityUp: 5_000 }])
  await pass(3_600)
  await send(hub, by, riskConfig, 'moveCredit', [spoke.weth.id])
  expect(await credit()).toBeLessThan(set)
  const moved = await send(hub, by, riskConfig, 'moveGrid')
  expect(events(moved, riskConfig, 'VersionRaised')).toHaveLength(1)
}
