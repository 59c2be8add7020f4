export { aggregate, type HoldReason } from './aggregation/aggregate.js'
export {
  type FeedListing,
  type Plan,
  type PlanParameters,
  type PlanSource,
  planFeeds,
} from './aggregation/plan.js'
export {
  defaultAggregation,
  nextConfig,
  type OracleNodeConfig,
  type OracleNodeConfigInput,
  oracleNodeConfigSchema,
  parseOracleNodeConfig,
} from './config.js'
export { isPolled } from './derived/config.js'
export { createPolledSources } from './derived/polled.js'
export { createOracleNode, type OracleNode, type OracleNodeParameters } from './node.js'
export { verifyEvidence } from './observation/evidence.js'
export { createRemoteSigner, createSigner, remoteSignerSchema, type Signer } from './observation/signer.js'
export { configuredRules } from './observer.js'
export type { FinishedReport } from './report/board.js'
export { type ReplaySummary, replayFiles } from './report/replay.js'
export { rulesHash } from './rules.js'
export { createQuoteBook } from './sources/book.js'
export { type SourceConfig, sourceSchema } from './sources/config.js'
export {
  createSource,
  type GuardianSet,
  type Source,
  type SourceParameters,
  type SourceStatus,
} from './sources/index.js'
export { decodeOkx } from './sources/okx.js'
export { decodeReplay } from './sources/replay.js'
export type { Quote, QuoteKind } from './sources/types.js'
