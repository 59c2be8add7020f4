export { type OracleManifest, UnknownEpochError } from './epochs.js'
export { followReports, latestReport, type ReportOptions } from './reports.js'
export { type ContractCall, updateCall } from './update.js'
