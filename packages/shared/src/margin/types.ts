/** A price as `IPriceOracle.prices` gives it, WAD. */
export interface MarginPrice {
  price: bigint
  /** Half width of the interval as a WAD fraction of the price. */
  confidence: bigint
  /** A newer value beyond the jump guard, or 0. */
  parked: bigint
  fresh: boolean
  /** Its moving average (`IMarginEngine.averageOf`); 0 or absent: never observed. */
  average?: bigint
}

/** What margin takes of an underlying now: shocks in bps. `IRiskConfig.CurrentUnderlying`. */
export interface Shocks {
  shockIm: bigint
  shockMm: bigint
  tailShock: bigint
  tailDamping: bigint
  /** Of the scenarios of a grid; `shockIm` unless it is on its way. */
  gridShock?: bigint
  /** 0 unless it is another. */
  riskClass?: number
  /** 2^37 ÷ depth, the depth in whole quote units; 0: boundless. */
  thinnessIm?: bigint
  thinnessMm?: bigint
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

/** ρ in bps. */
export interface Correlation {
  rhoIm: bigint
  rhoMm: bigint
}

/** `IRiskConfig.Grid`, bps; correlations in bps of the Standard set's. */
export interface MarginGrid {
  volatilityUp: bigint
  volatilityDown: bigint
  nakedShort: bigint
  portfolioShock: bigint
  portfolioRhoIm: bigint
  portfolioRhoMm: bigint
}

/** All that margin reads beside the account: `RiskConfig` and `PriceOracle` at one block. */
export interface MarginMarket extends Correlation {
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
  /** Correlation of risk classes other than 0; none: 0. */
  classes?: ReadonlyMap<number, Correlation>
  /** WAD. */
  profitCapIm: bigint
}

/** `IClearinghouse.Portfolio`, all WAD. */
export interface MarginPortfolio {
  cash: bigint
  /** Part of the cash that IM leaves out. */
  impairedCash: bigint
  /** Settled profit that isn't cash yet; none if absent. */
  warming?: bigint
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
