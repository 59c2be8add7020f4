import {
  addressSchema,
  clockSchema,
  type OracleNetwork,
  oracleSchema,
  parseConfig,
  seqSchema,
  successionSchema,
  UserError,
  wordSchema,
} from '@clearspan/shared'
import { z } from 'zod'
import { checkDerived, derivedFeedSchema } from './derived/config.js'
import { sourceSchema } from './sources/config.js'

const positiveMs = z.number().int().positive()
const bps = z.number().int().min(0).max(10_000)

/** What decides a price beside the sources. */
export const aggregationSchema = z.strictObject({
  /** How far a source's or a peer's clock may be ahead. */
  maxClockSkewMs: positiveMs.default(2_000),
  /** A price whose event time is older is stale. */
  maxEventAgeMs: positiveMs.default(60_000),
  /** A price that arrived longer ago is stale. */
  maxReceiveAgeMs: positiveMs.default(60_000),
  maxDispersionBps: bps.default(1_000),
  minConfidenceBps: bps.default(1),
  maxConfidenceBps: bps.default(3_333),
  /** Share of a feed's listed groups that must be live. */
  minLiveGroupsBps: bps.default(5_000),
  /** How far from a slow source's interval a price may lie. */
  maxBoundDistanceBps: bps.default(2_000),
})

/** As a node has them that is told nothing else. */
export const defaultAggregation = aggregationSchema.parse({})

/** A node's configuration, without its key. All times are ms of network time unless said otherwise. */
export const oracleNodeConfigSchema = z.strictObject({
  networkId: wordSchema,
  /** The network's accelerated clock; null is real time. */
  clock: clockSchema.nullable(),
  /** This node's place in `oracle.nodes`. */
  index: z.number().int().nonnegative(),
  oracle: oracleSchema,
  /** A chain's PriceOracle, asked at start-up whether it expects this epoch's description (`configHash`). */
  anchor: z
    .strictObject({
      url: z.url({ protocol: /^https?$/, error: 'must begin with http:// or https://' }),
      priceOracle: addressSchema,
    })
    .optional(),
  /** First slot of the epoch, for a node that is started ahead of it; and its last. */
  firstSeq: seqSchema.optional(),
  lastSeq: seqSchema.optional(),
  /** The epoch that follows, in this same process; this node's place in it is where its key is, if anywhere. */
  next: successionSchema
    .extend({
      /** `handover`: this epoch's quorum signs it. `timelock`: governance opens it on every chain, in place of a lost quorum. */
      by: z.enum(['handover', 'timelock']).default('handover'),
      /** In place of this epoch's. */
      sources: z.array(sourceSchema).min(1).optional(),
      capped: z.array(z.string()).optional(),
      derived: z.array(derivedFeedSchema).optional(),
    })
    .optional(),
  sources: z.array(sourceSchema).min(1),
  /** f_s: how many tags may lie at once without moving a price. */
  faultySources: z.number().int().nonnegative().default(1),
  /** Feeds that are listed although they tolerate fewer. */
  capped: z.array(z.string()).default([]),
  /** Feeds that aren't the price of a market, and how they are made. */
  derived: z.array(derivedFeedSchema).default([]),
  listen: z.strictObject({
    host: z.string().min(1),
    port: z.number().int().min(0).max(65_535),
    /** A listening socket that the process inherited at this file descriptor, used instead of opening the port. */
    fd: z.number().int().min(3).optional(),
    /** Connections at once. Each takes a file descriptor, of which a process has a limit. */
    maxConnections: z.number().int().min(64).default(1_024),
  }),
  dataDir: z.string().min(1),
  ...aggregationSchema.shape,
  proposeFraction: z.number().gt(0).lt(1).default(0.25),
  deadlineFraction: z.number().gt(0).lt(1).default(0.6),
  /** A source's connection without any frame for this long is made anew; real ms. */
  maxSilenceMs: positiveMs.default(30_000),
  /** Segments of raw ticks and decisions, from which every report can be computed again. */
  recording: z
    .strictObject({
      maxSegmentBytes: z
        .number()
        .int()
        .min(65_536)
        .default(64 << 20),
      maxSegments: z.number().int().min(1).default(16),
    })
    .prefault({}),
})

export type OracleNodeConfig = z.output<typeof oracleNodeConfigSchema>
export type OracleNodeConfigInput = z.input<typeof oracleNodeConfigSchema>

/** Checks a configuration as a whole. Throws UserError naming the field. */
export function parseOracleNodeConfig(value: unknown, where = 'oracle'): OracleNodeConfig {
  const config = parseConfig(oracleNodeConfigSchema, value, where)
  const nodes = config.oracle.nodes.length
  const fail = (field: string, fix: string): never => {
    throw new UserError(`${where} ${field}`, fix)
  }
  checkUnsigned(config.oracle.feeds, 'oracle.feeds', fail)
  if (nodes % 3 !== 1 || nodes > 31) fail('oracle.nodes', 'must be 3f + 1 nodes: 4, 7, 10 … 31')
  if (config.index >= nodes) fail('index', `must be below the number of nodes, ${nodes}`)
  if (config.proposeFraction >= config.deadlineFraction) {
    fail('proposeFraction', 'must be smaller than deadlineFraction')
  }
  const repeated = config.sources.findIndex(({ id }, at) => config.sources.findIndex((s) => s.id === id) < at)
  if (repeated >= 0) fail(`sources[${repeated}].id`, 'is used twice')
  const signers = new Set(config.oracle.nodes.map(({ signer }) => signer.toLowerCase()))
  if (signers.size < nodes) fail('oracle.nodes', 'two nodes have the same signer')
  const peers = new Set(config.oracle.nodes.map(({ signer, peer }) => (peer ?? signer).toLowerCase()))
  if (peers.size < nodes) fail('oracle.nodes', 'two nodes have the same peer key')
  checkDerived(config.derived, { ...config.oracle, sources: config.sources }, `${where} derived`)
  if (config.next) checkNext(config.next, config, fail)
  return config
}

/** Observations carry positive prices only, and their basis points are of the price, where a chain reads a signed feed's as of one. */
function checkUnsigned(
  feeds: readonly Feed[],
  where: string,
  fail: (field: string, fix: string) => never,
): void {
  for (const [i, feed] of feeds.entries())
    if (feed.signed)
      fail(
        `${where}[${i}].signed`,
        'must be absent or false: nodes publish no signed feeds yet, only prices above zero',
      )
}

/** What every chain will demand of the next epoch: once signed, a handover that a chain refuses leaves it without signers. */
function checkNext(
  next: NonNullable<OracleNodeConfig['next']>,
  { oracle, firstSeq = 0, lastSeq }: OracleNodeConfig,
  fail: (field: string, fix: string) => never,
): void {
  const { epoch, slotMs, feeds } = next.oracle
  if (next.by === 'handover' ? epoch !== oracle.epoch + 1 : epoch <= oracle.epoch)
    fail('next.oracle.epoch', `must follow epoch ${oracle.epoch}`)
  checkUnsigned(feeds, 'next.oracle.feeds', fail)
  if (slotMs !== oracle.slotMs) fail('next.oracle.slotMs', `must be ${oracle.slotMs}, as on chain`)
  if (next.firstSeq <= firstSeq) fail('next.firstSeq', `must be after the present epoch's first, ${firstSeq}`)
  if (lastSeq !== undefined && next.firstSeq > lastSeq + 1 && next.by === 'handover')
    fail('next.firstSeq', `must be at most one after the present epoch's last, ${lastSeq}`)
  if (next.lastSeq < next.firstSeq) fail('next.lastSeq', 'must not be before firstSeq')
  for (const [i, feed] of oracle.feeds.entries())
    if (!isSameFeed(feed, feeds[i]))
      fail(`next.oracle.feeds[${i}]`, `must be ${feed.name} as now: a feed keeps its place and exponent`)
  if (next.useAges.length !== feeds.length)
    fail('next.useAges', `must have one number for each of the ${feeds.length} feeds`)
}

type Feed = OracleNetwork['feeds'][number]

function isSameFeed(one: Feed, other: Feed | undefined): boolean {
  const isSigned = (feed: Feed) => feed.signed ?? false
  return (
    other !== undefined &&
    one.name === other.name &&
    one.exponent === other.exponent &&
    isSigned(one) === isSigned(other)
  )
}

/** The configuration of the next epoch's node `index`; null without a next epoch. Throws UserError naming the field that is wrong in `next`. */
export function nextConfig(config: OracleNodeConfig, index: number): OracleNodeConfig | null {
  const { next, ...rest } = config
  if (!next) return null
  const { oracle, firstSeq, lastSeq, sources, capped, derived } = next
  return parseOracleNodeConfig(
    {
      ...rest,
      oracle,
      index,
      firstSeq,
      lastSeq,
      sources: sources ?? config.sources,
      capped: capped ?? config.capped,
      derived: derived ?? config.derived,
    },
    'oracle next',
  )
}
