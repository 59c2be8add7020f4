// The insurance fund as its depositors know it: in and out by assets and by shares, in their own name and in others'.
import { accountId } from '@clearspan/shared'
import type { Address } from 'viem'
import { expect } from 'vitest'
import { balanceOf, events, fill, read, send, usdc, wad } from './calls.test-util.js'
import { cashOf, type World } from './world.test-util.js'

const WEEK = 7 * 86_400

/** Half of the cool-down and the rest, with a word of the hub's between: silence of two weeks would be its end. */
async function coolDown({ hub, hubGateway, roles, pass }: World): Promise<void> {
  for (let week = 0; week < 2; week++) {
    await pass(WEEK)
    await send(hub, roles.operator, hubGateway, 'sendReleases', [hub.eid, []])
  }
}

/** Leaves the underwriter a fifth of what came in. */
export async function fundExits(world: World): Promise<void> {
  const { hub, roles, fund, tell } = world
  const { underwriter } = roles
  const { alice, bob, dave } = roles.traders
  const me = underwriter.account.address
  const hers = alice.account.address
  const his = bob.account.address
  const sharesOf = (who: Address) => balanceOf(hub, fund, who)
  await tell()
  await fill(hub, underwriter, hub.usdc, usdc(50_000), fund.address)
  await send(hub, underwriter, fund, 'deposit', [usdc(40_000), me])
  const shares = await sharesOf(me)
  expect(await read(hub, fund, 'totalAssets')).toBe(usdc(40_000))
  await send(hub, underwriter, fund, 'mint', [shares / 4n, me])
  expect(await sharesOf(me)).toBe(shares + shares / 4n)
  expect(await read(hub, fund, 'totalAssets')).toBe(usdc(50_000))

  const part = shares / 8n
  await send(hub, underwriter, fund, 'transfer', [hers, part])
  expect(await sharesOf(hers)).toBe(part)
  await send(hub, underwriter, fund, 'approve', [his, part])
  expect(await read(hub, fund, 'allowance', [me, his])).toBe(part)
  await send(hub, bob, fund, 'transferFrom', [me, his, part])
  expect([await sharesOf(his), await read(hub, fund, 'allowance', [me, his])]).toEqual([part, 0n])

  const asked = await send(hub, bob, fund, 'requestRedeem', [part])
  expect(events(asked, fund, 'ExitRequested')).toMatchObject([{ shares: part }])
  const cancelled = await send(hub, bob, fund, 'cancelRedeem')
  expect(events(cancelled, fund, 'ExitCancelled')).toMatchObject([{ forgone: 0n }])
  expect(await read(hub, fund, 'exits', [his])).toMatchObject([0n, 0n, 0n])

  for (const [key, amount] of [
    [underwriter, shares / 2n + shares / 4n + shares / 8n],
    [alice, part],
    [bob, part],
  ] as const)
    await send(hub, key, fund, 'requestRedeem', [amount])
  await coolDown(world)
  await tell()
  const tokens = () => balanceOf(hub, hub.usdc, me)
  await send(hub, underwriter, fund, 'redeem', [shares / 2n, me, me])
  expect(await tokens()).toBe(usdc(20_000))
  await send(hub, underwriter, fund, 'withdraw', [usdc(10_000), me, me])
  expect(await tokens()).toBe(usdc(30_000))
  // By an allowance, as any holder of one.
  await send(hub, alice, fund, 'approve', [his, part])
  await send(hub, bob, fund, 'redeem', [part, his, hers])
  expect([await sharesOf(hers), await balanceOf(hub, hub.usdc, his)]).toEqual([0n, usdc(5_000)])
  const before = await cashOf(world, dave)
  await send(hub, bob, fund, 'redeemToAccount', [part, accountId(dave.account.address)])
  expect((await cashOf(world, dave)) - before).toBe(wad(5_000))
  expect(await read(hub, fund, 'totalAssets')).toBe(usdc(10_000))
}
