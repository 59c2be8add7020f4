// What the council may change about itself: roles, their delays, and what each may call.
import { encodeFunctionData, type Hex, toFunctionSelector } from 'viem'
import { expect } from 'vitest'
import { COUNCIL_DELAY } from '../parameters.js'
import { events, read, send } from './calls.test-util.js'
import type { World } from './world.test-util.js'

/** One that nobody has so far, and the guardian's. */
const [ROLE, GUARDIAN] = [9n, 1n]

/** Each is scheduled, seen for a day, and executed; one is cancelled. */
export async function rolesOfGovernance(world: World): Promise<void> {
  const { hub, clearinghouse, venue, pass } = world
  const { governance } = hub
  const { council } = world.roles
  const { alice, bob } = world.roles.traders
  const target = clearinghouse.address
  const selector = toFunctionSelector('setWarmingPeriod(uint32)')
  const of = (functionName: string, ...args: readonly unknown[]) => read(hub, governance, functionName, args)
  const call = (functionName: string, ...args: readonly unknown[]): Hex =>
    encodeFunctionData({ abi: governance.abi, functionName, args })
  const schedule = (data: Hex) => [governance.address, data, 0]
  const execute = (data: Hex) => send(hub, council, governance, 'execute', [governance.address, data])

  const label = call('labelRole', ROLE, 'warmer')
  const changes = [
    ...[alice, bob].map(({ account }) => call('grantRole', ROLE, account.address, 0)),
    call('revokeRole', ROLE, bob.account.address),
    call('setTargetFunctionRole', target, [selector], ROLE),
    call('setGrantDelay', ROLE, 2 * COUNCIL_DELAY),
    call('setTargetAdminDelay', target, 2 * COUNCIL_DELAY),
    call('setRoleGuardian', ROLE, GUARDIAN),
    call('setRoleAdmin', ROLE, GUARDIAN),
    call('setTargetClosed', venue.address, true),
  ]
  const regretted = call('labelRole', ROLE, 'regretted')
  const scheduling = [...changes, regretted].map((data) => call('schedule', ...schedule(data)))
  await send(hub, council, governance, 'multicall', [scheduling])
  await send(hub, council, governance, 'schedule', schedule(label))
  const caller = council.account.address
  await send(hub, council, governance, 'cancel', [caller, governance.address, regretted])
  const operation = await of('hashOperation', caller, governance.address, regretted)
  expect(await of('getSchedule', operation)).toBe(0)
  await pass(COUNCIL_DELAY)
  await expect(execute(regretted)).rejects.toThrow('AccessManagerNotScheduled')
  expect(events(await execute(label), governance, 'RoleLabel')).toEqual([{ roleId: ROLE, label: 'warmer' }])
  for (const data of changes) await execute(data)

  expect(await of('hasRole', ROLE, alice.account.address)).toMatchObject([true, 0])
  expect(await of('hasRole', ROLE, bob.account.address)).toMatchObject([false, 0])
  expect(await of('getTargetFunctionRole', target, selector)).toBe(ROLE)
  expect([await of('getRoleGuardian', ROLE), await of('getRoleAdmin', ROLE)]).toEqual([GUARDIAN, GUARDIAN])
  expect(await of('isTargetClosed', venue.address)).toBe(true)
  const period = encodeFunctionData({
    abi: clearinghouse.abi,
    functionName: 'setWarmingPeriod',
    args: [7_200],
  })
  await send(hub, alice, governance, 'execute', [target, period])
  expect(((await read(hub, clearinghouse, 'warmings')) as bigint[])[3]).toBe(7_200n)
  await send(hub, alice, governance, 'renounceRole', [ROLE, alice.account.address])
  expect(await of('hasRole', ROLE, alice.account.address)).toMatchObject([false, 0])
  // These come in later.
  await pass(2 * COUNCIL_DELAY + 5 * 86_400)
  expect(await of('getRoleGrantDelay', ROLE)).toBe(2 * COUNCIL_DELAY)
  expect(await of('getTargetAdminDelay', target)).toBe(2 * COUNCIL_DELAY)
}
