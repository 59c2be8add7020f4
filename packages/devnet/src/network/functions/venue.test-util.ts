// A remote venue: what an account allocates to it, lends there, and gets back.
import { accountId } from '@clearspan/shared'
import { type Address, parseUnits, zeroAddress } from 'viem'
import { expect } from 'vitest'
import { balanceOf, events, fill, read, send, usdc } from './calls.test-util.js'
import type { World } from './world.test-util.js'

/** Alice lends 5,000 on the spoke, Dave borrows of it and repays. */
export async function allocation(world: World): Promise<void> {
  const { hub, spoke, roles, clearinghouse, know, tell } = world
  const { alice, bob, dave } = roles.traders
  const { registry, usdc: token, weth } = spoke
  const venue = spoke.lendingVenue!
  const gateway = know('venueGateway', (await read(spoke, venue, 'gateway')) as Address, spoke.chain)
  const account = accountId(alice.account.address)
  await send(hub, alice, clearinghouse, 'withdraw', [account, token.id, gateway.address, usdc(5_000)])
  await world.tellSpoke(spoke, [{ account, recipient: gateway.address, assetId: token.id }])
  const offered = await send(spoke, roles.operator, gateway, 'offer', [1, account, token.address])
  expect(events(offered, gateway, 'Allocated')).toMatchObject([{ account, amount: usdc(5_000) }])
  expect(await balanceOf(spoke, token, venue.address)).toBe(usdc(5_000))
  const shares = await read(spoke, venue, 'shares', [account])

  await tell()
  await fill(spoke, dave, weth, parseUnits('10', 18), venue.address)
  const had = await balanceOf(spoke, token, dave.account.address)
  await send(spoke, dave, venue, 'borrow', [parseUnits('10', 18), usdc(400)])
  expect(await balanceOf(spoke, token, dave.account.address)).toBe(had + usdc(400))
  await send(spoke, dave, token, 'approve', [venue.address, usdc(500)])
  await send(spoke, dave, venue, 'end', [dave.account.address])
  expect(await read(spoke, venue, 'loans', [dave.account.address])).toEqual([0n, 0n])
  expect(await balanceOf(spoke, weth, dave.account.address)).toBe(parseUnits('10', 18))

  const deposited = () => read(spoke, spoke.vault, 'depositedIn', [account, token.address]) as Promise<bigint>
  const before = await deposited()
  const closed = await send(spoke, alice, venue, 'close', [account, shares])
  expect(events(closed, gateway, 'GivenBack')).toMatchObject([{ account }])
  expect((await deposited()) - before).toBeGreaterThan(usdc(4_999))

  await send(spoke, alice, registry, 'open', [bob.account.address])
  expect(await read(spoke, registry, 'gatewayOf', [bob.account.address])).not.toBe(zeroAddress)
}
