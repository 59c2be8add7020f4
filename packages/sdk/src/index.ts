export { followReports, latestReport, type OracleManifest, type ReportOptions } from './reports.js'
export { type ContractCall, updateCall } from './update.js'
