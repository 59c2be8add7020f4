// Collateral in and out: by every kind of deposit, over LayerZero and on the hub's own chain, through buckets and back.
import { accountId } from '@clearspan/shared'
import { type Address, type Hex, parseEther, parseSignature, parseUnits, zeroHash } from 'viem'
import { expect } from 'vitest'
import type { LocalKey } from '../roles.js'
import { balanceOf, type Contract, fill, type Place, read, send, usdc, wad } from './calls.test-util.js'
import { FEE } from './carrier.test-util.js'
import { cashOf, type World } from './world.test-util.js'

const FOREVER = 10n ** 12n
/** More than matures, or leaves a vault, at once. */
const MUCH = usdc(60_000_000)

/** Wei a packet, as a local network's Attestor has it. */
const ATTESTOR_FEE = parseEther('0.0001')

/** A vault's allowance of an ERC-20 token, signed by its holder. */
async function permitOf(place: Place, { account }: LocalKey, token: Contract, value: bigint) {
  const [name, nonce] = await Promise.all([
    read(place, token, 'name') as Promise<string>,
    read(place, token, 'nonces', [account.address]) as Promise<bigint>,
  ])
  const signature = await account.signTypedData({
    domain: { name, version: '1', chainId: place.chain.chainId, verifyingContract: token.address },
    types: {
      Permit: [
        { name: 'owner', type: 'address' },
        { name: 'spender', type: 'address' },
        { name: 'value', type: 'uint256' },
        { name: 'nonce', type: 'uint256' },
        { name: 'deadline', type: 'uint256' },
      ],
    },
    primaryType: 'Permit',
    message: { owner: account.address, spender: place.vault.address, value, nonce, deadline: FOREVER },
  })
  const { r, s, yParity } = parseSignature(signature)
  return { deadline: FOREVER, v: 27 + yParity, r, s }
}

interface Deposit {
  depositor: Address
  account: Hex
  token: Address
  amount: bigint
  nonce: bigint
  deadline: bigint
}

function signDeposit({ chain, vault }: Place, { account }: LocalKey, message: Deposit): Promise<Hex> {
  return account.signTypedData({
    domain: {
      name: 'Clearspan Vault',
      version: '1',
      chainId: chain.chainId,
      verifyingContract: vault.address,
      salt: zeroHash,
    },
    types: {
      Deposit: [
        { name: 'depositor', type: 'address' },
        { name: 'account', type: 'bytes32' },
        { name: 'token', type: 'address' },
        { name: 'amount', type: 'uint256' },
        { name: 'nonce', type: 'uint256' },
        { name: 'deadline', type: 'uint256' },
      ],
    },
    primaryType: 'Deposit',
    message,
  })
}

/** Alice by herself, Bob by a permit, Carol by a signature that somebody else sends, Erin more than a bucket lets through. */
export async function deposits(world: World): Promise<void> {
  const { hub, spoke, roles, clearinghouse, tellHub } = world
  const { alice, bob, carol, erin } = roles.traders
  const credited = (place: Place, { account }: LocalKey, token: Contract) =>
    read(place, place.vault, 'depositedIn', [accountId(account.address), token.address])
  const of = ({ account }: LocalKey, token: Contract) => ({
    account: accountId(account.address),
    token: token.address,
  })

  await fill(spoke, alice, spoke.usdc, usdc(100_000), spoke.vault.address)
  await send(spoke, alice, spoke.vault, 'deposit', [
    accountId(alice.account.address),
    spoke.usdc.address,
    usdc(100_000),
  ])
  expect(await credited(spoke, alice, spoke.usdc)).toBe(usdc(100_000))

  const weth = parseUnits('1000', 18)
  await send(spoke, bob, spoke.weth, 'mint', [bob.account.address, weth])
  const args = [accountId(bob.account.address), spoke.weth.address, weth]
  await send(spoke, bob, spoke.vault, 'depositWithPermit', [
    ...args,
    await permitOf(spoke, bob, spoke.weth, weth),
  ])
  expect(await credited(spoke, bob, spoke.weth)).toBe(weth)

  const deposit = {
    depositor: carol.account.address,
    ...of(carol, spoke.usdc),
    amount: usdc(100_000),
    nonce: 0n,
    deadline: FOREVER,
  }
  await send(spoke, carol, spoke.usdc, 'mint', [carol.account.address, deposit.amount])
  const permit = await permitOf(spoke, carol, spoke.usdc, deposit.amount)
  const signed = [deposit, await signDeposit(spoke, carol, deposit), permit]
  await send(spoke, roles.operator, spoke.vault, 'depositBySignature', signed)
  expect(await credited(spoke, carol, spoke.usdc)).toBe(usdc(100_000))

  await send(hub, bob, clearinghouse, 'openRow', [accountId(bob.account.address), spoke.weth.id])
  await tellHub(spoke, [of(alice, spoke.usdc)])
  // Of the vault of an epoch, which is the newest one here.
  const others = [1, [of(bob, spoke.weth), of(carol, spoke.usdc)]]
  await send(spoke, roles.operator, spoke.gateway, 'sendCountersOf', others, FEE)
  expect(await read(spoke, spoke.sendUln, 'fees', [spoke.attestor.address]), 'for two jobs').toBe(
    2n * ATTESTOR_FEE,
  )
  expect(await world.carry()).toBe(1)
  expect([await cashOf(world, alice), await cashOf(world, carol)]).toEqual([wad(100_000), wad(100_000)])
  const row = () => read(hub, clearinghouse, 'row', [accountId(bob.account.address), spoke.weth.id])
  expect(await row()).toMatchObject({ claim: weth, immature: 0n })

  await world.bring(hub, erin, hub.usdc, MUCH)
  const before = await cashOf(world, erin)
  expect(before).toBeLessThan(wad(51_000_000))
  await world.pass(1_000)
  await send(hub, roles.operator, clearinghouse, 'mature', [accountId(erin.account.address), hub.usdc.id])
  expect(await cashOf(world, erin)).toBe(wad(60_000_000))
}

/** Who may act for an account, by which margin, and cash from one to another. */
export async function control({ hub, roles, clearinghouse, venue, oracleVenue }: World): Promise<void> {
  const { alice, dave } = roles.traders
  const account = accountId(alice.account.address)
  const of = (functionName: string, ...args: readonly unknown[]) =>
    read(hub, clearinghouse, functionName, args)
  await send(hub, alice, clearinghouse, 'setDelegate', [account, dave.account.address, true])
  expect(await of('isController', account, dave.account.address)).toBe(true)
  await send(hub, alice, clearinghouse, 'setPortfolioMargin', [account, true])
  expect(await of('portfolio', account)).toMatchObject({ portfolioSet: true })
  await send(hub, alice, clearinghouse, 'setPortfolioMargin', [account, false])
  for (const key of Object.values<LocalKey>(roles.traders))
    for (const { address } of [venue, oracleVenue]) {
      const args = [accountId(key.account.address), address, wad(100_000_000)]
      await send(hub, key, clearinghouse, 'approveVenue', args)
    }
  expect(await of('venueAllowance', account, oracleVenue.address)).toBe(wad(100_000_000))
  const to = accountId(dave.account.address)
  await send(hub, alice, clearinghouse, 'transferCash', [account, to, wad(10_000)])
  expect([await of('cash', account), await of('cash', to)]).toEqual([wad(90_000), wad(10_000)])
}

/** Carol leaves by the spoke, to an address that she chose there; Erin by the hub's own chain, more than leaves at once. */
export async function withdrawals(world: World): Promise<void> {
  const { hub, spoke, roles, clearinghouse, tellSpoke, pass } = world
  const { carol, dave, erin } = roles.traders
  const to = {
    account: accountId(carol.account.address),
    recipient: carol.account.address,
    assetId: spoke.usdc.id,
  }
  await send(spoke, carol, spoke.vault, 'redirect', [spoke.usdc.address, dave.account.address])
  expect(await read(spoke, spoke.vault, 'recipientOf', [spoke.usdc.address, to.recipient])).toBe(
    dave.account.address,
  )
  await send(hub, carol, clearinghouse, 'withdraw', [to.account, to.assetId, to.recipient, usdc(1_000)])
  await tellSpoke(spoke, [to])
  expect(await balanceOf(spoke, spoke.usdc, dave.account.address)).toBe(usdc(1_000))

  const all = {
    account: accountId(erin.account.address),
    recipient: erin.account.address,
    assetId: hub.usdc.id,
  }
  await send(hub, erin, clearinghouse, 'withdraw', [
    all.account,
    all.assetId,
    all.recipient,
    usdc(55_000_000),
  ])
  await tellSpoke(hub, [all])
  const paid = () => balanceOf(hub, hub.usdc, all.recipient)
  expect(await paid()).toBe(usdc(50_000_000))
  await pass(1_000)
  await send(hub, roles.operator, hub.vault, 'pay', [all.account, hub.usdc.address, all.recipient])
  expect(await paid()).toBe(usdc(55_000_000))
}
