export { black76 } from './black76.js'
export { createFuture } from './future.js'
export { marginHealth, perpetual } from './health.js'
export {
  createOption,
  type OptionMarket,
  type OptionTerms,
  optionDeviation,
  optionValue,
  skewAt,
} from './option.js'
export { createRateSwap, paidCoupons, type Swap, swapDv01, swapValue } from './rate-swap.js'
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
