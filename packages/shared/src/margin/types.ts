/** A price as `IPriceOracle.prices` gives it, WAD. */
export interface MarginPrice {
  price: bigint
  /** Half width of the interval as a WAD fraction of the price. */
  confidence: bigint
  /** A newer value beyond the jump guard, or 0. */
  parked: bigint
  fresh: boolean
}

/** Shocks of a feed, bps. */
export interface Shocks {
  shockIm: bigint
  shockMm: bigint
  tailShock: bigint
  tailDamping: bigint
}

/** Credits in bps. */
export interface CreditedAsset {
  feed: number
  creditIm: bigint
  creditMm: bigint
}

/** An instrument as a pricing module answers for it. */
export interface MarginInstrument {
  feed: number
  /** Its value isn't a straight line in the spot, or depends on volatility. */
  curved: boolean
  /** What it needs beside the spot, such as a volatility, is. */
  fresh: boolean
  /** Value of a size (WAD, signed) at a spot (WAD) with implied volatility times a factor (WAD), quote and costs aside; rounded down. */
  value(size: bigint, spot: bigint, volatility: bigint): bigint
}

/** `IRiskConfig.Grid`, bps. */
export interface MarginGrid {
  volatilityUp: bigint
  volatilityDown: bigint
  nakedShort: bigint
  portfolioShock: bigint
  portfolioRhoIm: bigint
  portfolioRhoMm: bigint
}

/** All that margin reads beside the account: `RiskConfig` and `PriceOracle` at one block. */
export interface MarginMarket {
  settlementFeed: number
  /** By feed. */
  prices: ReadonlyMap<number, MarginPrice>
  /** By feed; one without shocks has none. */
  shocks: ReadonlyMap<number, Shocks>
  /** By asset id. */
  assets: ReadonlyMap<number, CreditedAsset>
  /** By id. */
  instruments: ReadonlyMap<number, MarginInstrument>
  grid: MarginGrid
  /** ρ in bps. */
  rhoIm: bigint
  rhoMm: bigint
  /** WAD. */
  profitCapIm: bigint
}

/** `IClearinghouse.Portfolio`, all WAD. */
export interface MarginPortfolio {
  cash: bigint
  /** Part of the cash that IM leaves out. */
  impairedCash: bigint
  /** Whole-token units, and the part that IM leaves out. */
  claims: readonly { assetId: number; amount: bigint; impaired: bigint }[]
  /** Quotes with all costs up to now. */
  positions: readonly { instrumentId: number; size: bigint; quote: bigint }[]
  /** By the Portfolio set of parameters. */
  portfolioSet?: boolean
}

/** `IMarginEngine.Health`, WAD. */
export interface Health {
  equity: bigint
  im: bigint
  mm: bigint
  pnl: bigint
  notional: bigint
  fresh: boolean
  /** What instruments need beside the spots is. */
  inputsFresh: boolean
}
