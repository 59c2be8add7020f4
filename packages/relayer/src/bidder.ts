import { liquidationAuctionAbi, liquidationExecutorAbi, priceOracleAbi } from '@clearspan/contracts'
import type { ChainClient, Sender, Token } from '@clearspan/shared'
import { erc20Abi, type Hex, maxUint256, parseEther, parseEventLogs, parseUnits } from 'viem'
import type { BidderChain, BidderOptions } from './bidder-options.js'
import { bidOnAuctions } from './bidding.js'
import { createChainFeed } from './chains/feed.js'
import { readAll } from './chains/read.js'
import { requestOf } from './chains/request.js'
import { trySequence } from './chains/simulate.js'

const WAD = parseEther('1')
const BPS = 10_000n
/** Accounts quoted in one round. */
const AUCTIONS = 20
const LOG_RANGE = 2_000n

/** A bot with an account of its own that takes shares of auctioned accounts and buys what executors sell. */
export interface Bidder {
  /** Looks at everything at each block of the hub until the signal aborts, then resolves. */
  run(signal: AbortSignal): Promise<void>
}

/** Creates the bidder; it sends nothing that a simulation on the last block refuses. @throws RangeError without the hub among its chains. */
export function createBidder(options: BidderOptions): Bidder {
  const { network, chains, clock, logger } = options
  const hub = chains.find(({ chain }) => chain.chainId === network.hub.chainId)
  if (hub === undefined) throw new RangeError('a bidder needs a client and a sender of the hub')
  const { liquidationAuction } = network.hub.contracts
  const auctions = new Set<Hex>()
  /** The next accounts in turn: many that can't be had keep no other from its turn. */
  const nextAuctions = () => {
    const turn = [...auctions].slice(0, AUCTIONS)
    for (const account of turn) {
      auctions.delete(account)
      auctions.add(account)
    }
    return turn
  }
  const feed = createChainFeed({
    client: hub.client,
    witnesses: [hub.client],
    rereadBlocks: LOG_RANGE,
    startBlock: options.startBlock,
    logRange: LOG_RANGE,
    clock,
    logger,
  })
  feed.listen({
    addresses: [liquidationAuction],
    abi: liquidationAuctionAbi,
    onLogs(logs) {
      for (const { eventName, args } of parseEventLogs({ abi: liquidationAuctionAbi, logs, strict: true })) {
        if (eventName === 'AuctionStarted') auctions.add(args.account)
        if (eventName === 'AuctionEnded') auctions.delete(args.account)
      }
    },
  })
  let round: Promise<void> | undefined
  const attempt = (what: string, work: Promise<void>) =>
    work.catch((err: unknown) => logger.info({ err, what }, 'not bought this time'))
  feed.onHead(() => {
    // One round at a time: the block after it finds what this one leaves.
    round ??= Promise.all([
      attempt('auctions', bidOnAuctions(options, hub, nextAuctions())),
      ...chains.map((on) => attempt(`lots on ${on.chain.name}`, buyLots(options, on))),
    ]).then(() => {
      round = undefined
    })
  })
  return {
    async run(signal) {
      await feed.run(signal)
      await round
    },
  }
}

/** One chain the bidder acts on. */
/** Buys what it can pay of each lot whose price is below the oracle's less the margin. */
async function buyLots(
  { network, lotMarginBps, logger }: BidderOptions,
  { chain, client, sender }: BidderChain,
): Promise<void> {
  const settlement = chain.tokens.find((token) => token.settlement)
  if (settlement === undefined) return
  const { liquidationExecutor, priceOracle } = chain.contracts
  const sale = { address: liquidationExecutor, abi: liquidationExecutorAbi } as const
  const tokens = chain.tokens.filter((token) => !token.settlement)
  if (tokens.length === 0) return
  const balanceOf = (token: Token, owner: `0x${string}`) =>
    ({ address: token.address, abi: erc20Abi, functionName: 'balanceOf', args: [owner] }) as const
  const [funds = 0n, ...held] = await readAll(client, [
    balanceOf(settlement, sender.address),
    ...tokens.map((token) => balanceOf(token, liquidationExecutor)),
  ])
  for (const [i, token] of tokens.entries()) {
    const amount = held[i] ?? 0n
    if (amount === 0n || funds === 0n) continue
    const feed = BigInt(network.oracle.feeds.findIndex(({ name }) => name === token.feed))
    const [cost, price] = await trySequence(client, [
      { ...sale, functionName: 'quote', args: [token.address, amount] },
      { address: priceOracle, abi: priceOracleAbi, functionName: 'price', args: [feed] },
    ] as const)
    const oracle = price as { price: bigint; fresh: boolean } | undefined
    if (typeof cost !== 'bigint' || oracle?.fresh !== true) continue
    const limitOf = (units: bigint) =>
      lotLimit(units, token.decimals, oracle.price, settlement.decimals, lotMarginBps)
    const limit = limitOf(amount)
    if (cost > limit) continue
    // What it is willing to pay, not the quote: the price of the next block is a little different.
    const whole = limit <= funds
    const affordable = whole ? amount : (amount * funds) / limit
    if (affordable === 0n) continue
    const args = [token.address, affordable, limitOf(affordable)] as const
    try {
      await approve(client, sender, settlement, liquidationExecutor, limit)
      const { hash } = await sender.send(requestOf({ ...sale, functionName: 'buy', args }, 'buy lot'))
      logger.info({ token: token.symbol, amount: String(affordable), hash }, 'lot bought')
      return
    } catch (err) {
      logger.info({ err, token: token.symbol }, 'lot not bought')
    }
  }
}

/** Most settlement token units to pay for `amount` of a token: the oracle's WAD price less the margin. */
export function lotLimit(
  amount: bigint,
  decimals: number,
  price: bigint,
  settlementDecimals: number,
  marginBps: bigint,
): bigint {
  const value = (amount * price * parseUnits('1', settlementDecimals)) / (WAD * parseUnits('1', decimals))
  return (value * (BPS - marginBps)) / BPS
}

async function approve(
  client: ChainClient,
  sender: Sender,
  token: Token,
  spender: `0x${string}`,
  amount: bigint,
): Promise<void> {
  const erc20 = { address: token.address, abi: erc20Abi } as const
  const args = [sender.address, spender] as const
  const allowed = await client.readContract({ ...erc20, functionName: 'allowance', args })
  if (allowed >= amount) return
  await sender.send(requestOf({ ...erc20, functionName: 'approve', args: [spender, maxUint256] }, 'approve'))
}
