import type { MarginGrid } from './index.js'

/** Of a market without curved instruments and without a Portfolio set. */
export const NO_GRID: MarginGrid = {
  volatilityUp: 0n,
  volatilityDown: 0n,
  nakedShort: 0n,
  portfolioShock: 0n,
  portfolioRhoIm: 0n,
  portfolioRhoMm: 0n,
}
