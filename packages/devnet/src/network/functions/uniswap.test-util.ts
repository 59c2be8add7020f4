// Uniswap v3 from its published bytecode, with one pool of WETH and USDC, and the example bidder that fills by it.
import { createRequire } from 'node:module'
import { type Abi, type Hex, zeroAddress } from 'viem'
import { createBatch } from '../../chains/index.js'
import { type Contract, type Place, send } from './calls.test-util.js'
import type { World } from './world.test-util.js'

interface Artifact {
  abi: Abi
  bytecode: Hex
}

const load = createRequire(import.meta.url)
const artifact = (name: string): Artifact => load(`@uniswap/${name}.json`)
const FEE = 3_000

/** A pool of so much of both, over all prices. */
export async function createUniswap(
  { create, roles }: World,
  place: Place,
  amounts: { weth: bigint; usdc: bigint },
): Promise<Contract> {
  const { deployer } = roles
  const { weth, usdc, executor } = place
  const batch = await createBatch(place.chain, deployer.account)
  const add = (name: string, ...args: unknown[]): Contract => {
    const { abi, bytecode } = artifact(name)
    return { abi, address: batch.create(name, { abi, bytecode, args } as never) }
  }
  const factory = add('v3-core/artifacts/contracts/UniswapV3Factory.sol/UniswapV3Factory')
  const contracts = 'v3-periphery/artifacts/contracts'
  const positions = add(
    `${contracts}/NonfungiblePositionManager.sol/NonfungiblePositionManager`,
    factory.address,
    zeroAddress,
    zeroAddress,
  )
  const router = add(`${contracts}/SwapRouter.sol/SwapRouter`, factory.address, zeroAddress)
  await batch.send()

  const sides = [
    { token: weth, amount: amounts.weth },
    { token: usdc, amount: amounts.usdc },
  ].sort((a, b) => (a.token.address.toLowerCase() < b.token.address.toLowerCase() ? -1 : 1))
  for (const { token, amount } of sides) {
    await send(place, deployer, token, 'mint', [deployer.account.address, amount])
    await send(place, deployer, token, 'approve', [positions.address, amount])
  }
  const [first, second] = sides as [(typeof sides)[number], (typeof sides)[number]]
  const start = BigInt(Math.round(Math.sqrt(Number(second.amount) / Number(first.amount)) * 2 ** 48)) << 48n
  const pair = [first.token.address, second.token.address]
  await send(place, deployer, positions, 'createAndInitializePoolIfNecessary', [...pair, FEE, start])
  const [token0, token1] = pair
  const [amount0Desired, amount1Desired] = [first.amount, second.amount]
  const range = { tickLower: -887_220, tickUpper: 887_220 }
  const least = { amount0Min: 0n, amount1Min: 0n, recipient: deployer.account.address, deadline: 2n ** 40n }
  await send(place, deployer, positions, 'mint', [
    { token0, token1, fee: FEE, ...range, amount0Desired, amount1Desired, ...least },
  ])
  return create(place, 'uniswapBidder', [executor.address, router.address, usdc.address])
}
