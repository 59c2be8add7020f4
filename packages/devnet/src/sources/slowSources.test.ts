import { createRequire } from 'node:module'
import { createSource, type Source, type SourceParameters } from '@clearspan/aggregator'
import {
  testAggregatorAbi,
  testAggregatorBytecode,
  testTokenAbi,
  testTokenBytecode,
} from '@clearspan/contracts'
import { type Clock, createLogger, seededRandom, systemClock } from '@clearspan/shared'
import {
  type Abi,
  type Address,
  createWalletClient,
  encodeDeployData,
  encodeFunctionData,
  type Hex,
  http,
  parseEther,
  parseUnits,
} from 'viem'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { startTestChains } from '../chains/chains.test-util.js'
import { type LocalChain, localAccounts } from '../chains/index.js'

const CHAIN_ID = 31_977
const GENESIS = 1_700_000_000
const HEARTBEAT = 3_600
const WAD = 10n ** 18n
const logger = createLogger({ name: 'test', level: 'silent' })
const [account] = localAccounts(1)

let chain: LocalChain
let close: (() => Promise<void>) | undefined
const sources: Source[] = []
/** Network time is the chain's. */
const networkClock: Clock = { now: () => chain.lastTimestamp() * 1000, sleep: systemClock.sleep }

beforeAll(async () => {
  const started = await startTestChains([{ name: 'slow', chainId: CHAIN_ID }], { genesisTime: GENESIS })
  ;({ close } = started)
  chain = started.chains[0]!
})
afterEach(async () => {
  await Promise.all(sources.splice(0).map((source) => source.stop()))
})
afterAll(async () => {
  await close?.()
})

async function send(data: Hex, to?: Address, at?: number) {
  const wallet = createWalletClient({
    account: account!,
    chain: chain.client.chain,
    transport: http(chain.rpcUrl),
  })
  const hash = await wallet.sendTransaction({ data, gas: 20_000_000n, ...(to ? { to } : {}) })
  await chain.mine(at)
  const receipt = await chain.client.getTransactionReceipt({ hash })
  expect(receipt.status).toBe('success')
  return receipt
}

async function deploy(abi: Abi, bytecode: Hex, args: unknown[]): Promise<Address> {
  return (await send(encodeDeployData({ abi, bytecode, args }))).contractAddress!
}

function read(
  adapter: SourceParameters['adapter'],
  market: SourceParameters['markets'][number],
  extra: object = {},
) {
  const source = createSource({
    id: adapter,
    adapter,
    url: chain.rpcUrl,
    markets: [market],
    chain: { chainId: CHAIN_ID, pollMs: 20, ...extra },
    maxClockSkewMs: 2_000,
    networkClock,
    realClock: systemClock,
    random: seededRandom(1),
    logger,
  })
  sources.push(source)
  source.start()
  return source
}

/** The source has read a block that was mined after this call. */
const rejectedNow = (source: Source, reason: string) => {
  const before = (source.status().rejected as Record<string, number>)[reason] ?? 0
  return vi.waitFor(
    () => {
      expect((source.status().rejected as Record<string, number>)[reason] ?? 0).toBeGreaterThan(before)
      expect(source.quotes()).toEqual([])
    },
    { timeout: 20_000 },
  )
}
const quoted = (source: Source, fits: (price: bigint) => boolean) =>
  vi.waitFor(
    () => {
      const [quote] = source.quotes()
      if (!quote || !fits(quote.price)) throw new Error(`no such quote: ${quote?.price}`)
      return quote
    },
    { timeout: 20_000 },
  )

describe('Chainlink', () => {
  const aggregator = (least = 1n, largest = 10n ** 18n) =>
    deploy(testAggregatorAbi as Abi, testAggregatorBytecode, [8, least, largest])
  const set = (feed: Address, answer: bigint, startedAt: number, updatedAt: number) =>
    send(
      encodeFunctionData({
        abi: testAggregatorAbi,
        functionName: 'set',
        args: [answer, BigInt(startedAt), BigInt(updatedAt)],
      }),
      feed,
    )
  const market = (symbol: Address) => ({
    symbol,
    base: 'ETH',
    quote: 'USD',
    chainlink: { heartbeatSeconds: HEARTBEAT, deviationBps: 50 },
  })

  it('bounds by its answer until its heartbeat ends, and is withdrawn when it says what cannot be', async () => {
    const feed = await aggregator()
    const now = chain.lastTimestamp()
    await set(feed, 20_000_000_000n, now - 30, now - 10)
    const source = read('chainlink', market(feed))
    expect(await quoted(source, (price) => price === 200n * WAD)).toMatchObject({
      kind: 'bound',
      confidence: WAD,
      eventTime: (now - 10) * 1000,
      expiresAt: (now - 10 + HEARTBEAT) * 1000,
      sequence: 1n,
    })
    for (const [answer, updatedAt, reason] of [
      [0n, now, 'bad_price'],
      [-1n, now, 'bad_price'],
      [20_000_000_000n, 0, 'bad_time'],
      [20_000_000_000n, now + 86_400, 'bad_time'],
    ] as const) {
      await set(feed, answer, updatedAt, updatedAt)
      await rejectedNow(source, reason)
    }
    await set(feed, 20_100_000_000n, now, now)
    await quoted(source, (price) => price === 201n * WAD)
    await chain.mine(now + HEARTBEAT)
    await rejectedNow(source, 'stale')
  })

  it('at its floor or ceiling is no price: the market may be anywhere beyond', async () => {
    const [least, largest] = [10_000_000n, 30_000_000_000n]
    const feed = await aggregator(least, largest)
    const source = read('chainlink', market(feed))
    for (const pinned of [least, least - 1n, largest, largest + 1n]) {
      const now = chain.lastTimestamp()
      await set(feed, least + 1n, now, now)
      await quoted(source, (price) => price === (least + 1n) * 10n ** 10n)
      await set(feed, pinned, now, now)
      await rejectedNow(source, 'pinned_answer')
    }
  })

  it('on a rollup counts only while the sequencer is up, and after its grace', async () => {
    const [feed, uptime] = [await aggregator(), await aggregator()]
    const source = read('chainlink', market(feed), { sequencer: { feed: uptime, graceSeconds: 600 } })
    await rejectedNow(source, 'sequencer_down')
    const now = chain.lastTimestamp()
    await set(feed, 20_000_000_000n, now, now)
    await set(uptime, 0n, now, now)
    await rejectedNow(source, 'sequencer_grace')
    await chain.mine(now + 600)
    await quoted(source, (price) => price === 200n * WAD)
    await set(uptime, 1n, now + 600, now + 600)
    await rejectedNow(source, 'sequencer_down')
  })

  it('an address without such a contract is named', async () => {
    const source = read('chainlink', market('0x00000000000000000000000000000000000000aa'))
    await rejectedNow(source, 'reverted')
  })
})

interface Artifact {
  abi: Abi
  bytecode: Hex
}
const require = createRequire(import.meta.url)
const uniswap = (name: string): Artifact => require(`@uniswap/${name}.json`)
const factoryArtifact = uniswap('v3-core/artifacts/contracts/UniswapV3Factory.sol/UniswapV3Factory')
const poolArtifact = uniswap('v3-core/artifacts/contracts/UniswapV3Pool.sol/UniswapV3Pool')
const positionsArtifact = uniswap(
  'v3-periphery/artifacts/contracts/NonfungiblePositionManager.sol/NonfungiblePositionManager',
)
const routerArtifact = uniswap('v3-periphery/artifacts/contracts/SwapRouter.sol/SwapRouter')

describe('Uniswap v3', () => {
  const WINDOW = 600
  const NOBODY = '0x00000000000000000000000000000000000000ff'
  let usdc: Address
  let weth: Address
  let pool: Address
  let factory: Address
  let positions: Address
  let router: Address

  const call = ({ abi }: { abi: Abi }, to: Address, functionName: string, args: unknown[], at?: number) =>
    send(encodeFunctionData({ abi, functionName, args }), to, at)
  const ask = ({ abi }: { abi: Abi }, address: Address, functionName: string, args: unknown[] = []) =>
    chain.client.readContract({ address, abi, functionName, args })
  const addresses = (...tokens: Address[]) =>
    tokens.sort((x, y) => (x.toLowerCase() < y.toLowerCase() ? -1 : 1)) as [Address, Address]

  async function token(symbol: string, decimals: number) {
    const address = await deploy(testTokenAbi as Abi, testTokenBytecode, [symbol, symbol, decimals])
    await call({ abi: testTokenAbi as Abi }, address, 'mint', [account!.address, 10n ** 30n])
    for (const spender of [positions, router])
      await call({ abi: testTokenAbi as Abi }, address, 'approve', [spender, 2n ** 256n - 1n])
    return address
  }

  /** A pool with one position over all prices, of two amounts by token, that can remember a hundred observations. */
  async function createPool(amounts: Record<Address, bigint>): Promise<Address> {
    const [token0, token1] = addresses(...(Object.keys(amounts) as Address[]))
    const [amount0, amount1] = [amounts[token0]!, amounts[token1]!]
    const start = BigInt(Math.round(Math.sqrt(Number(amount1) / Number(amount0)) * 2 ** 48)) << 48n
    await call(positionsArtifact, positions, 'createAndInitializePoolIfNecessary', [
      ...[token0, token1, 3_000, start],
    ])
    const address = (await ask(factoryArtifact, factory, 'getPool', [token0, token1, 3_000])) as Address
    await call(positionsArtifact, positions, 'mint', [
      {
        ...{ token0, token1, fee: 3_000, tickLower: -887_220, tickUpper: 887_220 },
        ...{ amount0Desired: amount0, amount1Desired: amount1, amount0Min: 0n, amount1Min: 0n },
        ...{ recipient: account!.address, deadline: 2n ** 40n },
      },
    ])
    await call(poolArtifact, address, 'increaseObservationCardinalityNext', [100])
    return address
  }

  beforeAll(async () => {
    factory = await deploy(factoryArtifact.abi, factoryArtifact.bytecode, [])
    positions = await deploy(positionsArtifact.abi, positionsArtifact.bytecode, [factory, NOBODY, NOBODY])
    router = await deploy(routerArtifact.abi, routerArtifact.bytecode, [factory, NOBODY])
    ;[usdc, weth] = [await token('USDC', 6), await token('WETH', 18)]
    pool = await createPool({ [usdc]: parseUnits('2000000', 6), [weth]: parseEther('10000') })
  })

  const swap = (tokenIn: Address, tokenOut: Address, amountIn: bigint, at: number) =>
    call(
      routerArtifact,
      router,
      'exactInputSingle',
      [
        {
          ...{ tokenIn, tokenOut, fee: 3_000, recipient: account!.address, deadline: 2n ** 40n },
          ...{ amountIn, amountOutMinimum: 0n, sqrtPriceLimitX96: 0n },
        },
      ],
      at,
    )
  const market = (change: object = {}) => ({
    symbol: pool,
    base: 'ETH',
    quote: 'USDC',
    twap: {
      ...{
        baseToken: weth,
        windowSeconds: WINDOW,
        minCardinality: 50,
        minLiquidity: '1000000000',
        bandBps: 100,
      },
      ...change,
    },
  })
  const near = (expected: number) => (price: bigint) => Math.abs(Number(price) / 1e18 / expected - 1) < 5e-4

  it('averages the pool over the window: a price moved within one block does nothing, one that stays counts by its time', async () => {
    const source = read('uniswap-v3', market())
    await rejectedNow(source, 'thin_history')
    // The first swap that moves the tick makes the pool keep more than one observation.
    await swap(usdc, weth, parseUnits('200', 6), chain.lastTimestamp() + 12)
    await chain.mine(chain.lastTimestamp() + 2 * WINDOW)
    const now = chain.lastTimestamp()
    const calm = await quoted(source, near(200))
    expect(calm).toMatchObject({ kind: 'bound', eventTime: now * 1000, expiresAt: (now + WINDOW) * 1000 })
    expect(calm.confidence).toBe(calm.price / 100n)
    const inverse = read('uniswap-v3', market({ baseToken: usdc }))
    await quoted(inverse, near(1 / 200))

    // 10% up, in one block: x·y = k, so √1.1 of the USDC must go in.
    const into = (2_000_000 * (Math.sqrt(1.1) - 1)) / 0.997
    await swap(usdc, weth, parseUnits(into.toFixed(6), 6), now + 12)
    const spot = (await ask(poolArtifact, pool, 'slot0')) as readonly [bigint, number]
    expect(Math.abs(spot[1] - Math.log(200 / 1e12) / Math.log(1.0001))).toBeGreaterThan(900)
    await vi.waitFor(async () => {
      const [quote] = source.quotes()
      expect(quote?.eventTime).toBe((now + 12) * 1000)
      expect(near(200)(quote!.price)).toBe(true)
    })

    // Half of the window later the average is the geometric mean.
    await chain.mine(now + 12 + WINDOW / 2)
    await quoted(source, near(200 * Math.sqrt(1.1)))
    await quoted(inverse, near(1 / (200 * Math.sqrt(1.1))))
    await chain.mine(now + 12 + WINDOW)
    await quoted(source, near(220))
  })

  it('says when the pool remembers too little, is too thin, or is not of that token', async () => {
    const cases = [
      [{ windowSeconds: 86_400 }, 'thin_history'],
      [{ minCardinality: 101 }, 'thin_history'],
      [{ minLiquidity: '1000000000000000000000000' }, 'thin_liquidity'],
      [{ baseToken: NOBODY }, 'unexpected_shape'],
    ] as const
    for (const [change, reason] of cases) await rejectedNow(read('uniswap-v3', market(change)), reason)
  })

  /** A calm pool of two new tokens of 18 decimals, the first worth `price` of the second. */
  async function calmPool(price: string) {
    const [token0, token1] = addresses(await token('A', 18), await token('B', 18))
    const address = await createPool({
      [token0]: parseEther('10000'),
      [token1]: parseEther(price) * 10_000n,
    })
    await swap(token0, token1, parseEther('100'), chain.lastTimestamp() + 12)
    await chain.mine(chain.lastTimestamp() + 2 * WINDOW)
    const reading = (minLiquidity: string) =>
      read('uniswap-v3', {
        ...{ symbol: address, base: 'A', quote: 'B' },
        twap: {
          ...{ baseToken: token0, windowSeconds: WINDOW, minCardinality: 50, minLiquidity, bandBps: 100 },
        },
      })
    return { token0, token1, address, reading }
  }

  it('floors a mean tick below zero toward minus infinity', async () => {
    const { token0, token1, address, reading } = await calmPool('0.2')
    const sum = async () => {
      const [[from, to]] = (await ask(poolArtifact, address, 'observe', [[WINDOW, 0]])) as [bigint[]]
      return to! - from!
    }
    await swap(token0, token1, parseEther('100'), chain.lastTimestamp() + 12)
    await chain.mine(chain.lastTimestamp() + 77)
    while ((await sum()) % BigInt(WINDOW) === 0n) await chain.mine(chain.lastTimestamp() + 1)
    const mean = Number(await sum()) / WINDOW
    expect(mean).toBeLessThan(-16_000)
    const exactly = (tick: number) => (price: bigint) =>
      Math.abs(Number(price) / 1e18 / 1.0001 ** tick - 1) < 1e-8
    const { price } = await quoted(reading('1'), () => true)
    expect(exactly(Math.floor(mean))(price)).toBe(true)
    expect(exactly(Math.trunc(mean))(price)).toBe(false)
  })

  it('refuses a pool that was thin for a tenth of the window, until the window has passed', async () => {
    const { address, reading } = await calmPool('1')
    const liquidity = (await ask(poolArtifact, address, 'liquidity')) as bigint
    const share = (permille: bigint) => String((liquidity * permille) / 1_000n)
    const [demanding, modest] = [reading(share(900n)), reading(share(90n))]
    for (const source of [demanding, modest]) await quoted(source, near(1 / 1.02))

    // All but a hundredth is taken out for 60 of the 600 s: the harmonic mean falls to 600 / (540 + 60 × 100) = 9.2 %.
    const count = (await ask(positionsArtifact, positions, 'totalSupply')) as bigint
    const deadline = 2n ** 40n
    const now = chain.lastTimestamp()
    const burnt = { tokenId: count, liquidity: (liquidity * 99n) / 100n, amount0Min: 0n, amount1Min: 0n }
    await call(positionsArtifact, positions, 'decreaseLiquidity', [{ ...burnt, deadline }], now + 12)
    expect(await ask(poolArtifact, address, 'liquidity')).toBe(liquidity - burnt.liquidity)
    await chain.mine(now + 72)
    await rejectedNow(demanding, 'thin_liquidity')
    await vi.waitFor(() => expect(modest.quotes()[0]?.eventTime).toBe((now + 72) * 1000))
    await chain.mine(now + 74)
    await rejectedNow(modest, 'thin_liquidity')

    // What is put back counts by its time too: the seconds without it stay in the window.
    const given = parseEther('10000')
    const back = {
      tokenId: count,
      amount0Desired: given,
      amount1Desired: given,
      amount0Min: 0n,
      amount1Min: 0n,
    }
    await call(positionsArtifact, positions, 'increaseLiquidity', [{ ...back, deadline }], now + 75)
    await rejectedNow(demanding, 'thin_liquidity')
    await chain.mine(now + 75 + WINDOW)
    await quoted(demanding, near(1 / 1.02))
  })

  it('a pool that is none is named', async () => {
    await rejectedNow(read('uniswap-v3', { ...market(), symbol: usdc }), 'reverted')
  })
})
