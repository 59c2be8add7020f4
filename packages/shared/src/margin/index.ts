export { standardHealth } from './standard.js'
export type {
  CreditedAsset,
  Health,
  MarginMarket,
  MarginPortfolio,
  MarginPrice,
  Shocks,
} from './types.js'
