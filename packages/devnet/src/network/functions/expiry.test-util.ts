// Instruments that end: a coupon, a fixing, and what everybody gets by it.
import { accountId } from '@clearspan/shared'
import { expect } from 'vitest'
import { datedFeeds } from '../derivedFeeds.js'
import { feedIndex } from '../markets.js'
import { type Contract, events, govern, read, send, wad } from './calls.test-util.js'
import { idOf, positionOf, trade } from './trading.test-util.js'
import type { World } from './world.test-util.js'

const HOUR = 3_600
const RATE = 0.05

/** Alice is long of all four kinds, Erin short. */
export async function expiries(world: World): Promise<void> {
  const { hub, roles, clearinghouse, future, option, rateSwap, markets, tell, pass } = world
  const { operator } = roles
  const { alice, erin } = roles.traders
  const names = datedFeeds('ETH')
  const feedOf = (name: string) => markets.feeds.findIndex((feed) => feed.name === name)
  const [eth, fixing] = [feedIndex(markets, 'ETH'), feedOf(names.fixing)]
  await pass(HOUR)
  await tell({ ETH: 100, [names.rate]: RATE, [names.meanRate]: RATE })
  const expiry = world.now() + HOUR + 600
  const start = world.now() + 600
  const call = [idOf(world, 'ETH-CALL'), true, wad(100), expiry, eth, fixing, feedOf(names.volatility)]
  const put = [idOf(world, 'ETH-PUT'), false, wad(100), expiry, eth, fixing, feedOf(names.volatility)]
  const swap = [idOf(world, 'USDC-SWAP'), start, expiry, HOUR, feedOf(names.rate), feedOf(names.meanRate)]
  await govern(hub, future, 'list', [idOf(world, 'ETH-FUTURE'), expiry, eth, fixing])
  await govern(hub, option, 'list', call)
  await govern(hub, option, 'list', put)
  await govern(hub, rateSwap, 'list', swap)
  const kinds: readonly [string, Contract, number][] = [
    ['ETH-FUTURE', future, 10],
    ['ETH-CALL', option, 10],
    ['ETH-PUT', option, 10],
    ['USDC-SWAP', rateSwap, 1_000_000],
  ]
  for (const [symbol, module, size] of kinds) {
    const [mark] = (await read(hub, module, 'mark', [idOf(world, symbol)])) as [bigint]
    await trade(world, [alice, erin], symbol, size, mark)
    expect((await positionOf(world, alice, symbol)).size).toBe(wad(size))
  }

  await pass(expiry - world.now())
  await tell({ ETH: 105, [names.fixing]: 105 })
  for (const [module, symbol] of [
    [future, 'ETH-FUTURE'],
    [option, 'ETH-CALL'],
  ] as const) {
    await send(hub, operator, module, 'fix', [idOf(world, symbol)])
    expect(await read(hub, module, 'settlement', [idOf(world, symbol)])).toEqual([
      true,
      wad(symbol === 'ETH-CALL' ? 5 : 105),
    ])
  }
  const accrued = await send(hub, operator, option, 'accrue', [idOf(world, 'ETH-PUT')])
  expect(events(accrued, option, 'Fixed')).toMatchObject([{ fixing: wad(105) }])
  const paid = await send(hub, operator, rateSwap, 'accrue', [idOf(world, 'USDC-SWAP')])
  expect(events(paid, rateSwap, 'CouponPaid')).toMatchObject([{ rate: wad(RATE), until: BigInt(expiry) }])

  for (const [symbol] of kinds) {
    const id = idOf(world, symbol)
    for (const { account } of [erin, alice])
      await send(hub, operator, clearinghouse, 'settleExpired', [accountId(account.address), id])
    expect(await positionOf(world, alice, symbol)).toMatchObject({ size: 0n })
    expect(await read(hub, clearinghouse, 'houseRow', [id]), symbol).toMatchObject([0n, expect.anything()])
  }
}
