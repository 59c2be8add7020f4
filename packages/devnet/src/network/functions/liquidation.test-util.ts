// Accounts that lose more than they should: sold by auction, at a fixed bonus, to the best quote; and one that loses all, and what becomes of it.
import { accountId } from '@clearspan/shared'
import { type Address, type Hex, parseUnits, zeroHash } from 'viem'
import { expect } from 'vitest'
import { feedIndex } from '../markets.js'
import type { LocalKey } from '../roles.js'
import { balanceOf, events, fill, govern, read, send, usdc, wad } from './calls.test-util.js'
import { idOf, positionOf, settlePnl, trade } from './trading.test-util.js'
import { createUniswap } from './uniswap.test-util.js'
import type { World } from './world.test-util.js'

const WHOLE = wad(1)
const MOST = 2n ** 256n - 1n
const DUST = wad(100)
const main = ({ account }: LocalKey) => accountId(account.address)

const isOpen = async ({ hub, auction }: World, key: LocalKey) =>
  ((await read(hub, auction, 'auction', [main(key)])) as { startedAt: bigint }).startedAt > 0n

/** Calm again, long enough after the last price for the next to be a large step from it. */
async function calm({ hub, roles, dynamicRisk, markets, tell, pass }: World, ETH: number): Promise<void> {
  await pass(3_600)
  await tell({ ETH, 'ETH.RV/VOL': 1, 'ETH.IV/VOL': 1 })
  await send(hub, roles.operator, dynamicRisk, 'refresh', [BigInt(feedIndex(markets, 'ETH')), []])
  await pass(3_600)
}

/** Dave's: started by the report that breaks it, insolvent for a while, sold up to the buffer; and once more, cured. */
export async function auctioned(world: World): Promise<void> {
  const { hub, roles, auction, clearinghouse, tell, pass, report } = world
  const { alice, dave, erin } = roles.traders
  const { bidder, operator } = roles
  await world.bring(hub, bidder, hub.usdc, usdc(200_000))
  await calm(world, 200)
  await tell()
  await trade(world, [dave, erin], 'ETH-PERP', 400, 200)
  await pass(3_600)
  const started = await send(hub, operator, auction, 'updateAndStart', [
    await report({ ETH: 170 }),
    [main(dave)],
  ])
  expect(events(started, auction, 'AuctionStarted')).toMatchObject([
    { account: main(dave), insolvent: false },
  ])

  for (const [ETH, insolvent] of [
    [160, true],
    [170, false],
  ] as const) {
    await pass(300)
    await tell({ ETH })
    const synced = await send(hub, operator, auction, 'sync', [main(dave)])
    expect(events(synced, auction, 'AuctionSolvencyChanged')).toMatchObject([{ insolvent }])
  }
  const sold = await send(hub, bidder, auction, 'bid', [main(dave), main(bidder), WHOLE, MOST])
  const [bid] = events(sold, auction, 'Bid') as [{ fraction: bigint; payment: bigint }]
  expect(bid.fraction).toBeLessThan(WHOLE)
  expect(bid.payment).toBeGreaterThan(0n)
  expect((await positionOf(world, bidder, 'ETH-PERP')).size).toBe((wad(400) * bid.fraction) / WHOLE)
  expect(await isOpen(world, dave)).toBe(false)

  await pass(1_200)
  await tell({ ETH: 160 })
  await send(hub, operator, auction, 'updateAndStart', ['0x', [main(dave)]])
  expect(await isOpen(world, dave)).toBe(true)
  await send(hub, alice, clearinghouse, 'transferCash', [main(alice), main(dave), wad(20_000)])
  await send(hub, operator, auction, 'end', [main(dave)])
  expect(await isOpen(world, dave)).toBe(false)
}

interface Quote {
  account: Hex
  bidder: Hex
  fraction: bigint
  share: bigint
  maxPayment: bigint
  deadline: bigint
  nonce: bigint
}

/** Frank's, by engines that governance has listed for perpetuals: a part to the best quote, the rest at a fixed bonus. */
export async function engines(world: World): Promise<void> {
  const { hub, create, roles, clearinghouse, marginEngine, riskConfig, auction, perp } = world
  const { tell, pass } = world
  const { alice, erin, frank } = roles.traders
  const { bidder, operator } = roles
  const common = [clearinghouse, marginEngine, riskConfig, auction].map(({ address }) => address)
  const fixed = await create(hub, 'fixedBonus', [...common, DUST, wad(0.02), wad(0.5)])
  const quotes = await create(hub, 'requestForQuotes', [...common, zeroHash, DUST, wad(0.5), 60n, 600n])
  for (const { address } of [fixed, quotes])
    await govern(hub, clearinghouse, 'setEngine', [address, perp.address, true])

  await send(hub, erin, clearinghouse, 'transferCash', [main(erin), main(frank), wad(15_000)])
  await tell()
  await trade(world, [frank, erin], 'ETH-PERP', 400, 160)
  await tell({ ETH: 161 })
  await settlePnl(world, [alice, frank], 'ETH-PERP')
  const warming = async (key: LocalKey) =>
    ((await read(hub, clearinghouse, 'warming', [main(key)])) as bigint[])[0]!
  const warms = await warming(frank)
  expect(warms).toBeGreaterThan(0n)
  await pass(3_600)
  await tell({ ETH: 128 })

  const asked = await send(hub, operator, quotes, 'request', [main(frank)])
  expect(events(asked, quotes, 'Requested')).toHaveLength(1)
  const quote = (share: number, nonce: bigint): Quote => ({
    account: main(frank),
    bidder: main(bidder),
    fraction: wad(0.1),
    share: wad(share),
    maxPayment: wad(10_000),
    deadline: BigInt(world.now() + 3_600),
    nonce,
  })
  const best = quote(0.9, 1n)
  const quoted = await send(hub, operator, quotes, 'quote', [
    best,
    await signQuote(world, quotes.address, best),
  ])
  expect(events(quoted, quotes, 'Quoted')).toMatchObject([{ share: wad(0.9) }])
  const withdrawn = quote(0.95, 2n)
  await send(hub, bidder, quotes, 'cancel', [withdrawn])
  expect(await read(hub, quotes, 'used', [await read(hub, quotes, 'quoteHash', [withdrawn])])).toBe(true)
  const held = async () => (await positionOf(world, bidder, 'ETH-PERP')).size
  const before = await held()
  await pass(60)
  const settled = await send(hub, operator, quotes, 'settle', [main(frank)])
  expect(events(settled, quotes, 'Liquidated')).toMatchObject([{ fraction: wad(0.1) }])
  expect(await held()).toBe(before + wad(40))
  // A tenth of what hadn't become his cash within the hour, too.
  const warmed = await warming(bidder)
  expect(warmed > (warms * 9n) / 100n && warmed < warms / 10n).toBe(true)

  const taken = await send(hub, bidder, fixed, 'take', [main(frank), main(bidder), WHOLE, MOST])
  const [{ fraction }] = events(taken, fixed, 'Liquidated') as [{ fraction: bigint }]
  expect(await held()).toBe(before + wad(40) + (wad(360) * fraction) / WHOLE)
}

function signQuote({ hub, roles }: World, verifyingContract: `0x${string}`, message: Quote): Promise<Hex> {
  return roles.bidder.account.signTypedData({
    domain: {
      name: 'Clearspan Request For Quotes',
      version: '1',
      chainId: hub.chain.chainId,
      verifyingContract,
      salt: zeroHash,
    },
    types: {
      Quote: [
        { name: 'account', type: 'bytes32' },
        { name: 'bidder', type: 'bytes32' },
        { name: 'fraction', type: 'uint256' },
        { name: 'share', type: 'uint256' },
        { name: 'maxPayment', type: 'uint256' },
        { name: 'deadline', type: 'uint64' },
        { name: 'nonce', type: 'uint256' },
      ],
    },
    primaryType: 'Quote',
    message,
  })
}

/**
 * The maker's, of which nobody takes anything: more is lost than the fund has, and what covers it lies on a chain that isn't heard of. Then that
 * chain speaks, the collateral is sold there, and the proceeds are the fund's.
 */
export async function backstopped(world: World): Promise<void> {
  const { hub, spoke, roles, clearinghouse, auction, backstop, fund, timing, tell, pass } = world
  const { maker, underwriter, operator } = roles
  const { erin } = roles.traders
  const weth = spoke.weth.id
  await send(hub, maker, clearinghouse, 'openRow', [main(maker), weth])
  await send(hub, maker, clearinghouse, 'approveVenue', [main(maker), world.venue.address, MOST])
  await world.bring(spoke, maker, spoke.weth, parseUnits('100', 18))
  await calm(world, 132)
  await world.tellHub(spoke, [])
  await tell()
  await trade(world, [maker, erin], 'ETH-PERP', 600, 132)
  const shares = await balanceOf(hub, fund, underwriter.account.address)
  // An earlier request forgoes what the fund has earned by fees since: not all of them are left.
  await send(hub, underwriter, fund, 'requestRedeem', [(shares * 9n) / 10n])

  await pass(7_300)
  await tell({ ETH: 110 })
  const watched = await send(hub, operator, clearinghouse, 'watch', [[weth]])
  expect(events(watched, clearinghouse, 'LivenessChanged')).toMatchObject([{ assetId: weth, liveness: 1 }])
  await send(hub, operator, auction, 'updateAndStart', ['0x', [main(maker)]])
  await pass(timing.takeOverAfter)
  await tell()
  const funds = (await read(hub, clearinghouse, 'cash', [accountId(fund.address)])) as bigint
  const taken = await send(hub, operator, backstop, 'takeOver', [main(maker)])
  const [over] = events(taken, backstop, 'TakenOver') as [{ fromFund: bigint; socialised: bigint }]
  expect(over.fromFund).toBe(funds)
  expect(over.socialised).toBeGreaterThan(0n)
  expect(events(taken, clearinghouse, 'LossSocialised')).toMatchObject([
    { instrumentId: idOf(world, 'ETH-PERP') },
  ])
  expect(events(taken, clearinghouse, 'Deleveraged')).toMatchObject([
    { account: main(maker), size: wad(600) },
  ])
  expect(events(taken, clearinghouse, 'SuspendedTransferred')).toMatchObject([{ assetId: weth }])
  const told = await send(hub, operator, fund, 'observe', [underwriter.account.address])
  expect(events(told, fund, 'ExitRateLowered')).toMatchObject([{ owner: underwriter.account.address }])

  await world.tellHub(spoke, [])
  await send(hub, operator, clearinghouse, 'watch', [[weth]])
  await sold(world)
}

/** What the backstop has on the spoke, sold there: part to a buyer, part by way of Uniswap. */
async function sold(world: World): Promise<void> {
  const { hub, spoke, roles, clearinghouse, backstop, fund, timing, tell, pass } = world
  const { bidder, operator } = roles
  const book = accountId(backstop.address)
  const { executor, weth } = spoke
  const released = await send(hub, operator, backstop, 'releaseCollateral', [weth.id])
  const [{ amount }] = events(released, backstop, 'CollateralReleased') as [{ amount: bigint }]
  await world.tellSpoke(spoke, [{ account: book, recipient: executor.address, assetId: weth.id }])
  expect(await balanceOf(spoke, weth, executor.address)).toBe(amount)

  const uniswap = await createUniswap(world, spoke, { weth: parseUnits('10000', 18), usdc: usdc(1_100_000) })
  await send(spoke, operator, executor, 'open', [weth.address])
  await pass(timing.lotSeconds / 2)
  await tell()
  const part = parseUnits('10', 18)
  const before = await balanceOf(spoke, weth, bidder.account.address)
  await fill(spoke, bidder, spoke.usdc, usdc(2_000), executor.address)
  await send(spoke, bidder, executor, 'buy', [weth.address, part, usdc(2_000)])
  expect((await balanceOf(spoke, weth, bidder.account.address)) - before).toBe(part)
  const deadline = BigInt(world.now() + 600)
  const filled = await send(spoke, operator, uniswap, 'fill', [weth.address, amount, 3_000, 1n, deadline])
  expect(events(filled, executor, 'LotSold')).toMatchObject([
    { buyer: uniswap.address, amount: amount - part },
  ])
  expect(await balanceOf(spoke, spoke.usdc, operator.account.address)).toBeGreaterThan(0n)

  const cash = (account: Hex) => read(hub, clearinghouse, 'cash', [account]) as Promise<bigint>
  await world.tellHub(spoke, [{ account: book, token: spoke.usdc.address }])
  await tell()
  const held = await cash(book)
  const fundHad = await cash(accountId(fund.address))
  await send(hub, operator, backstop, 'sweep')
  const swept = held - (await cash(book))
  expect(swept).toBeGreaterThan(0n)
  expect(await cash(accountId(fund.address))).toBe(fundHad + swept)
}

/** What is left of Frank's, solvent, of which nobody takes anything either: the fund buys it, and bears what it loses then. */
export async function covered(world: World): Promise<void> {
  const { hub, roles, clearinghouse, marginEngine, auction, backstop, fund, timing, tell, pass } = world
  const { erin, frank } = roles.traders
  const { operator } = roles
  const cash = (of: Address) => read(hub, clearinghouse, 'cash', [accountId(of)]) as Promise<bigint>
  await tell()
  const health = (await read(hub, marginEngine, 'accountHealth', [main(frank)])) as Record<
    'equity' | 'mm',
    bigint
  >
  // Half of the way from nothing to health.
  const gift = -(health.equity + health.mm) / 2n
  await send(hub, erin, clearinghouse, 'transferCash', [main(erin), main(frank), gift])
  await send(hub, operator, auction, 'updateAndStart', ['0x', [main(frank)]])
  await pass(timing.takeOverAfter)
  await tell()
  const taken = await send(hub, operator, backstop, 'takeOver', [main(frank)])
  const [{ payment }] = events(taken, backstop, 'TakenOver') as [{ payment: bigint }]
  expect(payment).toBeGreaterThan(0n)

  await pass(3_600)
  await tell({ ETH: 90 })
  const [book, funds] = [await cash(backstop.address), await cash(fund.address)]
  await send(hub, operator, backstop, 'cover')
  const paid = (await cash(backstop.address)) - book
  expect(paid).toBeGreaterThan(0n)
  expect(await cash(fund.address)).toBe(funds - paid)
}
