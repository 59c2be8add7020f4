export { black76 } from './black76.js'
export { standardHealth } from './standard.js'
export type {
  CreditedAsset,
  Health,
  MarginMarket,
  MarginPortfolio,
  MarginPrice,
  Shocks,
} from './types.js'
