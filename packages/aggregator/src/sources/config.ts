import { addressSchema } from '@clearspan/shared'
import { z } from 'zod'
import { adapterNames } from './index.js'

const PYTH_ID = /^(0x)?[0-9a-fA-F]{64}$/

const bps = z.number().int().min(0).max(10_000)
const seconds = z.number().int().positive().max(100_000_000)

const chainlinkSchema = z.strictObject({ heartbeatSeconds: seconds, deviationBps: bps })

const twapSchema = z.strictObject({
  baseToken: addressSchema,
  windowSeconds: seconds.max(86_400),
  /** Uniswap's own limit is 65,535. */
  minCardinality: z.number().int().positive().max(65_535),
  /** A whole number, as text since it may be large. */
  minLiquidity: z.string().regex(/^\d{1,39}$/, 'must be a whole number in quotes'),
  bandBps: bps,
})

const chainSchema = z.strictObject({
  chainId: z.number().int().positive(),
  /** Real ms. */
  pollMs: z.number().int().min(100).max(3_600_000).default(15_000),
  sequencer: z
    .strictObject({ feed: addressSchema, graceSeconds: z.number().int().min(0).default(3_600) })
    .optional(),
})

const marketSchema = z.strictObject({
  /**
   * The venue's own spelling: `ETHUSDT` (binance, bybit), `ETH-USD` (coinbase, replay), `ETH-USDT` (okx), `ETH/USD` (kraken); any name
   * for Pyth; the contract's address for chainlink and uniswap-v3.
   */
  symbol: z.string().min(1),
  base: z.string().regex(/^[A-Z0-9.]+$/, 'must be a currency such as ETH'),
  quote: z.string().regex(/^[A-Z0-9.]+$/, 'must be a currency such as USD'),
  /** Price feed id, for the adapters hermes and price-service; not needed where the symbol is the id. */
  pythId: z.string().regex(PYTH_ID, 'must be a Pyth price feed id: 64 hex digits').optional(),
  /** Required by the adapter chainlink. */
  chainlink: chainlinkSchema.optional(),
  /** Required by the adapter uniswap-v3. */
  twap: twapSchema.optional(),
})

/** Whose signatures on Pyth's prices count. Two sets while the network moves from one to the next. */
const guardianSetSchema = z
  .strictObject({
    index: z.number().int().min(0).max(0xffff_ffff),
    addresses: z.array(addressSchema).min(1).max(255),
    /** ⌊2n/3⌋ + 1 when absent. */
    quorum: z.number().int().positive().optional(),
  })
  .superRefine(({ addresses, quorum }, context) => {
    const fail = (path: string, message: string) =>
      context.addIssue({ code: 'custom', path: [path], message })
    if (new Set(addresses.map((one) => one.toLowerCase())).size < addresses.length) {
      fail('addresses', 'names a guardian twice')
    }
    if (quorum !== undefined && (quorum * 2 <= addresses.length || quorum > addresses.length)) {
      fail('quorum', 'must be more than half of the guardians, and at most all')
    }
  })

export const sourceSchema = z
  .strictObject({
    id: z.string().regex(/^[\w.-]+$/, 'must be a name of letters, digits, dot, dash and underscore'),
    adapter: z.enum(adapterNames),
    /** `ws(s)://` for exchanges and replay, `http(s)://` for the two Pyth services and for a chain's RPC. */
    url: z.url(),
    /** What it fails together with (venue, vendor): sources that share a tag share one vote. */
    tags: z.array(z.string().min(1)).min(1),
    markets: z.array(marketSchema).min(1),
    /** Required by the adapters hermes and price-service. */
    guardianSets: z.array(guardianSetSchema).min(1).optional(),
    /** Required by the adapters chainlink and uniswap-v3. */
    chain: chainSchema.optional(),
  })
  .superRefine(({ adapter, url, markets, guardianSets, chain }, context) => {
    const fail = (path: (string | number)[], message: string) =>
      context.addIssue({ code: 'custom', path, message })
    const belongs = (path: (string | number)[], value: unknown, wanted: boolean) => {
      if (wanted && value === undefined) fail(path, `is required by the adapter ${adapter}`)
      if (!wanted && value !== undefined) fail(path, `is not used by the adapter ${adapter}: remove it`)
    }
    const pyth = adapter === 'hermes' || adapter === 'price-service'
    const onChain = adapter === 'chainlink' || adapter === 'uniswap-v3'
    const schemes = pyth || onChain ? ['http:', 'https:'] : ['ws:', 'wss:']
    if (URL.canParse(url) && !schemes.includes(new URL(url).protocol)) {
      fail(['url'], `must begin with ${schemes.join('// or ')}// for the adapter ${adapter}`)
    }
    belongs(['guardianSets'], guardianSets, pyth)
    belongs(['chain'], chain, onChain)
    const indexes = (guardianSets ?? []).map(({ index }) => index)
    if (new Set(indexes).size < indexes.length) fail(['guardianSets'], 'has two sets of one index')
    for (const [index, market] of markets.entries()) {
      if (pyth && !PYTH_ID.test(market.pythId ?? market.symbol)) {
        fail(['markets', index, 'pythId'], `is required by the adapter ${adapter}: 64 hex digits`)
      }
      belongs(['markets', index, 'chainlink'], market.chainlink, adapter === 'chainlink')
      belongs(['markets', index, 'twap'], market.twap, adapter === 'uniswap-v3')
      if (onChain && !addressSchema.safeParse(market.symbol).success) {
        fail(['markets', index, 'symbol'], `must be a contract's address for the adapter ${adapter}`)
      }
      const first = markets.findIndex(({ symbol }) => symbol === market.symbol)
      if (first < index) fail(['markets', index, 'symbol'], `is the same as that of markets[${first}]`)
    }
  })

export type SourceConfig = z.input<typeof sourceSchema>
