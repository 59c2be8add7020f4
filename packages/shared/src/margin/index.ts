export { black76 } from './black76.js'
export { marginHealth, perpetual } from './health.js'
export type {
  CreditedAsset,
  Health,
  MarginGrid,
  MarginInstrument,
  MarginMarket,
  MarginPortfolio,
  MarginPrice,
  Shocks,
} from './types.js'
