// Cash that somebody doesn't have, and what it costs.
import { accountId } from '@clearspan/shared'
import { parseUnits } from 'viem'
import { expect } from 'vitest'
import { events, read, send, usdc, wad } from './calls.test-util.js'
import { cashOf, type World } from './world.test-util.js'

/** Grace borrows against a claim; a day later she owes interest, which is everybody's, and Erin pays for her. */
export async function loans(world: World): Promise<void> {
  const { hub, spoke, roles, clearinghouse, tell, pass } = world
  const { erin, grace } = roles.traders
  const account = accountId(grace.account.address)
  await send(hub, grace, clearinghouse, 'openRow', [account, spoke.weth.id])
  await world.bring(spoke, grace, spoke.weth, parseUnits('1000', 18))
  await tell()
  const loan = [account, hub.usdc.id, grace.account.address, usdc(50_000)]
  const borrowed = await send(hub, grace, clearinghouse, 'withdraw', loan)
  expect(events(borrowed, clearinghouse, 'Borrowed')).toEqual([{ account, amount: wad(50_000) }])
  expect(await cashOf(world, grace)).toBe(wad(-50_000))

  const before = await cashOf(world, erin)
  await pass(86_400)
  const accrued = await send(hub, roles.operator, clearinghouse, 'accrueInterest')
  const [{ interest, earned }] = events(accrued, clearinghouse, 'InterestAccrued') as [
    { interest: bigint; earned: bigint },
  ]
  expect(earned).toBe(interest)
  expect(await cashOf(world, grace)).toBeLessThanOrEqual(wad(-50_000) - interest)
  expect(await cashOf(world, erin)).toBeGreaterThan(before)

  await tell()
  await send(hub, erin, clearinghouse, 'transferCash', [
    accountId(erin.account.address),
    account,
    wad(60_000),
  ])
  expect(await cashOf(world, grace)).toBeGreaterThan(wad(9_900))
  expect(await read(hub, clearinghouse, 'lending')).toMatchObject({ debt: 0n })
}
