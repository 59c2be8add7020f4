import { type Address, parseAbi } from 'viem'
import { rejected, scaleToWad } from './decimal.js'
import { type ChainClient, type ChainReader, isRevert, MAX_DECIMALS, type ReadAt } from './onchain.js'
import type { ChainSource, RejectReason } from './types.js'

const abi = parseAbi([
  'function decimals() view returns (uint8)',
  'function latestRoundData() view returns (uint80, int256, uint256, uint256, uint80)',
  'function aggregator() view returns (address)',
  'function minAnswer() view returns (int192)',
  'function maxAnswer() view returns (int192)',
])

/**
 * Reads a Chainlink feed (AggregatorV3Interface). Live is an answer above zero, strictly between the least and the largest that the
 * aggregator can give, updated within the feed's heartbeat; on a rollup, only while its sequencer has been up for the grace time. The
 * event time is `updatedAt`, when the answer reached the chain; `answeredInRound` says nothing any more and is not read.
 */
export const readChainlink: ChainReader = async (client, market, at, chain) => {
  const { symbol, chainlink } = market
  if (!chainlink) throw new TypeError(`market ${symbol} needs \`chainlink\``)
  const down = await sequencerFault(client, chain, at)
  if (down) return rejected(down, symbol)
  const address = symbol as Address
  const { blockNumber } = at
  const [[round, answer, , updatedAt], decimals, limits] = await Promise.all([
    client.readContract({ address, abi, functionName: 'latestRoundData', blockNumber }),
    client.readContract({ address, abi, functionName: 'decimals', blockNumber }),
    readLimits(client, address, at),
  ])
  if (answer <= 0n) return rejected('bad_price', symbol)
  if (updatedAt === 0n || updatedAt > at.timestamp) return rejected('bad_time', symbol)
  const expiresAt = updatedAt + BigInt(chainlink.heartbeatSeconds)
  if (expiresAt <= at.timestamp) return rejected('stale', symbol)
  if (limits && (answer <= limits.least || answer >= limits.largest)) return rejected('pinned_answer', symbol)
  const price = decimals <= MAX_DECIMALS ? scaleToWad(answer, -decimals) : 0n
  if (price === 0n) return rejected('bad_price', symbol)
  const tick = {
    symbol,
    price,
    confidence: (price * BigInt(chainlink.deviationBps)) / 10_000n,
    eventTime: Number(updatedAt) * 1000,
    sequence: round,
    expiresAt: Number(expiresAt) * 1000,
  }
  return { kind: 'ticks', ticks: [tick] }
}

/** A rollup's uptime feed answers 0 while the sequencer is up, since `startedAt`; a `startedAt` of zero is a feed without a round. */
async function sequencerFault(
  client: ChainClient,
  { sequencer }: ChainSource,
  { blockNumber, timestamp }: ReadAt,
): Promise<RejectReason | null> {
  if (!sequencer) return null
  const address = sequencer.feed as Address
  const [, answer, startedAt] = await client.readContract({
    address,
    abi,
    functionName: 'latestRoundData',
    blockNumber,
  })
  if (answer !== 0n || startedAt === 0n) return 'sequencer_down'
  return timestamp - startedAt < BigInt(sequencer.graceSeconds) ? 'sequencer_grace' : null
}

/** Read from the aggregator behind the proxy each time, since the proxy may move to another; null where there is none with limits. */
async function readLimits(
  client: ChainClient,
  proxy: Address,
  { blockNumber }: ReadAt,
): Promise<{ least: bigint; largest: bigint } | null> {
  try {
    const address = await client.readContract({
      address: proxy,
      abi,
      functionName: 'aggregator',
      blockNumber,
    })
    const [least, largest] = await Promise.all([
      client.readContract({ address, abi, functionName: 'minAnswer', blockNumber }),
      client.readContract({ address, abi, functionName: 'maxAnswer', blockNumber }),
    ])
    return { least, largest }
  } catch (error) {
    if (isRevert(error)) return null
    throw error
  }
}
