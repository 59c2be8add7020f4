// A chain that takes back what it said, a vault that loses tokens, and a hub that is never heard again.
import { accountId, exitTree, lastWordDigest } from '@clearspan/shared'
import { type Hex, zeroHash } from 'viem'
import { expect } from 'vitest'
import { balanceOf, events, govern, read, send, sendAs, usdc, wad } from './calls.test-util.js'
import type { World } from './world.test-util.js'

const SILENCE = 14 * 86_400 + 60

/** Dave's deposit is undone by a reorg of the spoke, after the hub has heard of it. */
export async function regression(world: World): Promise<void> {
  const { hub, spoke, roles, clearinghouse, timing, pass } = world
  const { dave } = roles.traders
  const account = accountId(dave.account.address)
  const asset = spoke.usdc.id
  const key = { account, token: spoke.usdc.address }
  const undo = await world.checkpoint(spoke)
  await world.bring(spoke, dave, spoke.usdc, usdc(1_000))
  const cash = () => read(hub, clearinghouse, 'cash', [account]) as Promise<bigint>
  const had = await cash()
  await undo()
  // The endpoint there gives a number again that the hub has had already; the message after it arrives.
  await world.tellHub(spoke, [key])
  await world.tellHub(spoke, [key])
  expect(await read(hub, clearinghouse, 'row', [account, asset])).toMatchObject({
    credited: usdc(1_000),
    target: 0n,
  })
  await pass(timing.regressionDelay)
  const booked = await send(hub, roles.operator, clearinghouse, 'bookRegression', [account, asset])
  expect(events(booked, clearinghouse, 'RegressionBooked')).toMatchObject([
    { fromCash: wad(1_000), lostBacking: 0n },
  ])
  expect(await cash()).toBe(had - wad(1_000))
}

/** Tokens vanish from the spoke's vault: written off once that has lasted. */
export async function shortfall(world: World): Promise<void> {
  const { hub, spoke, roles, clearinghouse, timing, pass } = world
  const stolen = usdc(10)
  await sendAs(spoke, spoke.vault.address, spoke.usdc, 'transfer', [roles.operator.account.address, stolen])
  const anybody = accountId(roles.operator.account.address)
  await world.tellHub(spoke, [{ account: anybody, token: spoke.usdc.address }])
  const written = async () =>
    ((await read(hub, clearinghouse, 'vaulted', [spoke.usdc.id])) as bigint[]).slice(2, 4)
  expect(await written()).toEqual([0n, stolen])
  await pass(timing.regressionDelay)
  await send(hub, roles.operator, clearinghouse, 'repair', [spoke.usdc.id])
  expect(await written()).toEqual([stolen, stolen])
}

/** The spoke's last hub: called dead, its last word signed, and what that says of the maker paid. */
export async function lastWord(world: World): Promise<void> {
  const { spoke, quorum, roles, pass } = world
  const { maker } = roles
  const recipient = maker.account.address
  await govern(spoke, spoke.vault, 'seal', [])
  await pass(SILENCE)
  await govern(spoke, spoke.gateway, 'endHub', [])
  const exit = {
    vaultEpoch: 1,
    account: accountId(recipient),
    token: spoke.usdc.address,
    recipient,
    released: usdc(123),
  }
  const tree = exitTree([{ eid: spoke.eid, ...exit }])
  const word = { hubEpoch: 1, version: 1, hubTime: BigInt(world.now()), root: tree.root as Hex }
  const signed = await quorum(lastWordDigest(word, zeroHash))
  await govern(spoke, spoke.gateway, 'openExits', [word.version, word.hubTime, word.root, signed])
  const before = await balanceOf(spoke, spoke.usdc, recipient)
  await send(spoke, roles.operator, spoke.gateway, 'exit', [exit, tree.getProof(0)])
  expect((await balanceOf(spoke, spoke.usdc, recipient)) - before).toBe(usdc(123))
}
