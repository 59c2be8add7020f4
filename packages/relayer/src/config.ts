import { addressSchema } from '@clearspan/shared'
import { z } from 'zod'
import { depthsSchema } from './layerzero/depth.js'
import { triggersSchema } from './prices/triggers.js'

const chainIdKey = z.string().regex(/^[1-9]\d*$/, 'must be a chain id')
const real = z.number().int().positive()

const operatorSchema = z.strictObject({ url: z.url(), address: addressSchema })

/** How one relayer process works; the network's manifest says what it works on. */
export const relayerConfigSchema = z.strictObject({
  /**
   * `prices` brings reports to every chain; `messages` carries counters, releases and packets; `relayer` is both; `keeper` liquidates. Prices
   * and the keeper in one process, messages in another: then no backlog of packets delays a price or a liquidation.
   */
  roles: z
    .array(z.enum(['prices', 'messages', 'relayer', 'keeper']))
    .min(1)
    .default(['relayer', 'keeper']),
  /** RPC URLs by chain id, instead of the manifest's. More than half of a chain's must agree before a packet is attested. */
  rpcUrls: z.record(chainIdKey, z.array(z.url()).min(1)).default({}),
  /** How deep packets must lie by their value before they are attested, by chain id of their source. */
  depths: depthsSchema.default({}),
  /** First block to read by chain id: the network's first on that chain. 0 by default. */
  startBlocks: z.record(chainIdKey, z.number().int().min(0)).default({}),
  /** Blocks per log request. */
  logRange: real.default(2_000),
  /** Real ms between blocks; polling follows it. */
  blockMs: real.default(2_000),
  /** Everything is derived again from the chains so often, in real ms. */
  sweepMs: real.default(60_000),
  /** Blocks below a chain's head whose logs are read again at each sweep, from another RPC each time: a node may have kept some back. */
  rereadBlocks: real.default(256),
  /** A counter that has not arrived is sent again after so long, in real ms. */
  resendMs: real.default(120_000),
  /** A path that has been silent for so long, in seconds of the chains' time, gets a message without counters. 0: never. */
  heartbeatSeconds: z.number().int().min(0).default(3_600),
  /** Most items in one message (a gateway takes 48 rows) or transaction. */
  batch: z
    .strictObject({
      counters: real.max(48).default(20),
      releases: real.max(48).default(20),
      packets: real.default(40),
      accounts: real.max(20).default(20),
    })
    .prefault({}),
  /** Gas that one delivering transaction may ask for; chains cap a transaction at 16.7 million (EIP-7825). */
  maxDeliveryGas: real.min(2_000_000).max(16_000_000).default(15_000_000),
  /** A packet whose execution fails so often is a dead letter, tried again only on request. */
  maxExecutions: real.default(10),
  /** Operators of the Attestor, asked at once; as many as its threshold must sign. */
  operators: z.array(operatorSchema).max(32).default([]),
  /** Signers of the stock DVN that run elsewhere; our own `dvnSigners` count towards its quorum too. */
  dvnOperators: z.array(operatorSchema).max(32).default([]),
  /** Longest that operators are waited for, real ms. */
  operatorTimeoutMs: real.default(5_000),
  /** How long what is signed holds, seconds of the destination's time. */
  attestationSeconds: real.max(86_400).default(3_600),
  /** Native value that one delivering transaction may lay out for packets whose senders paid our executor for it, in gwei. */
  maxDeliveryValueGwei: z.number().min(0).default(10_000_000),
  /** Packets of others that pay our workers and may wait at once, by destination. 0: only this network's own gateways are served. */
  maxForeignPackets: z.number().int().min(0).default(1_000),
  /** When a chain's oracle gets a new report, by chain id. Absent: it gets every one. */
  priceTriggers: z.record(chainIdKey, triggersSchema).default({}),
  /** Longest that a report waits for the keeper to look at it before it goes to the hub without a liquidation, in real ms. */
  keeperPatienceMs: real.default(2_000),
  /** An oracle node's stream without a byte for so long, in real ms, is opened anew. */
  streamIdleMs: real.default(15_000),
  /** The most ever paid, in gwei per gas. */
  maxFeeGwei: z.number().positive().default(500),
  maxPriorityFeeGwei: z.number().positive().default(10),
  /** A transaction unmined for so long, in real ms, is replaced at higher fees. */
  stuckAfterMs: real.default(30_000),
  /** /health answers 503 when a chain had no new head for `headMs` (real ms), or the newest report is more than `reportSlots` slots old. */
  health: z.strictObject({ headMs: real.default(60_000), reportSlots: real.default(10) }).prefault({}),
  /** Answers /health, /metrics and /status there; absent: no server. Port 0: any free one. */
  http: z.strictObject({ host: z.string().min(1), port: z.number().int().min(0).max(65_535) }).optional(),
})

/** What one process does. */
export type Role = 'prices' | 'messages' | 'keeper'

/** The roles that are configured, `relayer` taken apart. */
export const rolesOf = ({ roles }: Pick<RelayerConfig, 'roles'>): ReadonlySet<Role> =>
  new Set(roles.flatMap((role): Role[] => (role === 'relayer' ? ['prices', 'messages'] : [role])))

export type RelayerConfig = z.output<typeof relayerConfigSchema>
export type RelayerConfigInput = z.input<typeof relayerConfigSchema>
