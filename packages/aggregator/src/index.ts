export type { HoldReason } from './aggregation/aggregate.js'
export type { FeedListing } from './aggregation/plan.js'
export {
  type OracleNodeConfig,
  type OracleNodeConfigInput,
  oracleNodeConfigSchema,
  parseOracleNodeConfig,
  type SourceConfig,
  sourceSchema,
} from './config.js'
export { createOracleNode, type OracleNode, type OracleNodeParameters } from './node.js'
export type { FinishedReport } from './report/board.js'
