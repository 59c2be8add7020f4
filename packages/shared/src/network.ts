import { z } from 'zod'

/** A 20-byte address as 0x-prefixed hex. */
export const addressSchema = z.custom<`0x${string}`>(
  (value) => typeof value === 'string' && /^0x[0-9a-fA-F]{40}$/.test(value),
  'must be an address: 0x and 40 hex digits',
)

/** A 32-byte word as 0x-prefixed hex. */
export const wordSchema = z.custom<`0x${string}`>(
  (value) => typeof value === 'string' && /^0x[0-9a-fA-F]{64}$/.test(value),
  'must be a 32-byte word: 0x and 64 hex digits',
)

export const clockSchema = z.object({
  startMs: z.number(),
  realStartMs: z.number(),
  speed: z.number().positive(),
})

export const feedSchema = z.object({
  /** `BASE/QUOTE`, such as `ETH/USD`; its index in the array is its index on chain. */
  name: z.string().regex(/^[A-Z0-9.]+\/[A-Z0-9.]+$/),
  /** One unit of the signed 64-bit price on chain is 10^exponent of the quote. */
  exponent: z.number().int().min(-18).max(0),
  /** May be zero or negative, such as a rate; its basis points are of one, not of the value. */
  signed: z.boolean().optional(),
})

/** What the oracle network is: the same on every chain. */
export const oracleSchema = z.object({
  epoch: z.number().int().positive(),
  /** Length of a slot in ms of network time, whole seconds. `seq = floor(time / slotMs)`, `observedAt = seq * slotMs`. */
  slotMs: z.number().int().positive().multipleOf(1000),
  feeds: z.array(feedSchema).min(1).max(48),
  /** Hash of the rules by which every node makes prices of quotes (`clearspan oracle rules`); a node of other rules refuses to start. */
  rulesHash: wordSchema.optional(),
  /** n = 3f + 1 nodes, in signer-bitmap order. */
  nodes: z
    .array(
      z.object({
        url: z.url(),
        signer: addressSchema,
        /** Key that authenticates what it sends to its peers; `signer` without it. */
        peer: addressSchema.optional(),
      }),
    )
    .min(4),
})

export const tokenSchema = z.object({
  symbol: z.string(),
  address: addressSchema,
  decimals: z.number().int().min(0).max(18),
  /** Id of the (chain, token) pair in the hub's RiskConfig. */
  assetId: z.number().int().positive(),
  /** Feed that values it; the settlement token's feed is only used as its depeg guard. */
  feed: z.string(),
  settlement: z.boolean(),
})

export const chainSchema = z.object({
  name: z.string(),
  chainId: z.number().int().positive(),
  /** LayerZero endpoint id. */
  eid: z.number().int().positive(),
  rpcUrls: z.array(z.url()).min(1),
  /** Source blocks on top of (and including) a message's own before it is attested. */
  confirmations: z.number().int().positive(),
  layerzero: z.object({
    endpoint: addressSchema,
    sendUln: addressSchema,
    receiveUln: addressSchema,
    receiveUlnView: addressSchema,
    /** LayerZero's stock DVN contract, with a multisig of our own. */
    dvn: addressSchema,
    /** Our own DVN contract; absent where the stock one verifies alone. */
    attestor: addressSchema.optional(),
    executor: addressSchema,
    /** Lets one transaction verify, commit and execute (EssenceDVNWrapper). */
    workerMulticall: addressSchema,
  }),
  contracts: z.object({
    priceOracle: addressSchema,
    vault: addressSchema,
    spokeGateway: addressSchema,
    liquidationExecutor: addressSchema,
    /** Brings the hub's word that an epoch of oracle signers is revoked, and nothing else. */
    epochRevoker: addressSchema,
    /** Names the venues of this chain that collateral may be allocated to, and their gateways. */
    venueRegistry: addressSchema,
    /** The worked venue, where there is one. */
    lendingVenue: addressSchema.optional(),
    /** Owns every contract that has an owner: who may do what, and after which delay. */
    governance: addressSchema,
  }),
  tokens: z.array(tokenSchema),
})

export const hubSchema = z.object({
  chainId: z.number().int().positive(),
  contracts: z.object({
    clearinghouse: addressSchema,
    hubGateway: addressSchema,
    riskConfig: addressSchema,
    marginEngine: addressSchema,
    perp: addressSchema,
    future: addressSchema,
    option: addressSchema,
    rateSwap: addressSchema,
    venue: addressSchema,
    /** Trades at the oracle's price of a slot to come, where there is one. */
    oracleVenue: addressSchema.optional(),
    liquidationAuction: addressSchema,
    backstop: addressSchema,
    insuranceFund: addressSchema,
  }),
  instruments: z.array(z.object({ id: z.number().int().positive(), symbol: z.string(), feed: z.string() })),
})

/** Everything public about one deployment: what a node operator is handed, with no key in it. */
export const networkSchema = z.object({
  networkId: wordSchema,
  clock: clockSchema.nullable(),
  chains: z.array(chainSchema).min(1),
  hub: hubSchema,
  oracle: oracleSchema,
})

export type Feed = z.infer<typeof feedSchema>
export type OracleNetwork = z.infer<typeof oracleSchema>
export type Token = z.infer<typeof tokenSchema>
export type Chain = z.infer<typeof chainSchema>
export type Hub = z.infer<typeof hubSchema>
export type Network = z.infer<typeof networkSchema>
