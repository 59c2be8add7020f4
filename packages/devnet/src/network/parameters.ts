import { parseUnits } from 'viem'
import type { InstrumentKind, Shocks } from './markets.js'
import type { Timing } from './timing.js'

/** The one epoch of every counter and of the oracle's signers on a fresh network. */
export const EPOCH = 1

/** Whole settlement tokens that the lending venue may have of all accounts together. */
export const VENUE_CAP = 1_000_000n

/** Between what the council schedules and when it may happen: the least that the contract takes. Seconds of network time. */
export const COUNCIL_DELAY = 86_400

/** What a token that isn't the settlement token counts for, bps of its value, before the shocks of the grid. */
export const CREDIT_BPS = { creditIm: 9_500, creditMm: 9_700 }

/** Lots open 2% above the oracle and end 10% below. bps. */
export const LOT_TERMS = { startPremium: 200, maxDiscount: 1_000 }

/** What may leave a vault, of each token: whole tokens at once, and a second. Small payouts (up to a tenth of their bucket) have a bucket apart. */
export const PAYOUT_LIMITS = {
  large: { cap: 50_000_000n, rate: 10_000n },
  small: { cap: 1_000_000n, rate: 100n },
}

/** A price's interval widens by so much with age: bps an hour; and bps at most until it has landed, since nobody could trade at it otherwise. */
const AGEING = { anHour: 100, untilLanded: 50 }

/** Jump guard of the oracle: bps at once, bps a minute since the last value, and at most. */
export function jumpGuard(timing: Timing) {
  return {
    acceptAge: timing.acceptAge,
    jumpBase: 1_000,
    jumpPerMinute: 50,
    jumpMax: 9_000,
    jumpSpan: timing.jumpConfirm,
    ageing: Math.min(AGEING.anHour, Math.floor((AGEING.untilLanded * 3_600) / timing.acceptAge)),
  }
}

export function globalRisk(timing: Timing) {
  return {
    rhoIm: 6_000,
    rhoMm: 4_000,
    profitCapIm: parseUnits('100000', 18),
    bufferBps: 1_500,
    maxRows: 16,
    regressionDelay: timing.regressionDelay,
  }
}

/** What may be borrowed, of all backing, and what it costs a year: at no utilisation, at the kink, at all. bps. */
export const LENDING = { share: 2_000, kink: 8_000, baseRate: 0, kinkRate: 1_000, fullRate: 5_000 }

/** When a chain counts as silent: what the relayer sends anyway must have had time to come twice. */
export function silenceTerms({ heartbeat }: Timing) {
  return {
    grace: 2 * heartbeat,
    mmGrace: Math.max(21_600, 3 * heartbeat),
    mmRamp: Math.max(43_200, 6 * heartbeat),
  }
}

/**
 * How far margin follows a market: shocks of three times 100 % a year are the calm ones, as markets of a local network are sped up and made to crash;
 * 25 % more at most, for MM 10 %. Open interest counts from 10^9 quote units on. Of what the books have on one side half counts as there for the
 * network, and so much is assumed before their depth is known. bps but the last two.
 */
export const DYNAMIC_RISK = {
  stressedRhoIm: 8_000,
  stressedRhoMm: 6_000,
  volatility: 30_000,
  maxFactorIm: 12_500,
  maxFactorMm: 11_000,
  depthShare: 5_000,
  depth: 20_000_000n,
  openInterest: 1_000_000_000n,
}

/** What options are shocked by beside the spot, and what the Portfolio set grants. bps. */
export function grid() {
  return {
    volatilityUp: 4_500,
    volatilityDown: 3_000,
    nakedShort: 100,
    portfolioShock: 8_000,
    portfolioRhoIm: 10_000,
    portfolioRhoMm: 10_000,
  }
}

/** @param shocks Of its underlying: the contract wants a trade's band below what maintenance margin covers in either set. */
export function instrumentRisk(kind: InstrumentKind, { shockMm }: Pick<Shocks, 'shockMm'>) {
  const widest = Math.ceil((shockMm * grid().portfolioShock) / 10_000) - 1
  return {
    maxOpenInterest: parseUnits('1000000000000', 18),
    backstopCap: parseUnits('1000000000000', 18),
    // An option's value moves by a multiple of its underlying's move.
    priceBand: Math.min(widest, kind === 'call' || kind === 'put' ? 400 : 200),
  }
}

/**
 * Share auction: 98% of equity falling to 80%, then slowly to 30%, a hundredth of it the fund's; insolvent accounts come with up to 1% of
 * notional on top. Nobody is paid for starting one where the chain's native token has no price.
 */
export function auctionTerms(timing: Timing, nativeFeed: number | undefined) {
  return {
    curve: {
      startShare: parseUnits('0.98', 18),
      fastFloor: parseUnits('0.8', 18),
      slowFloor: parseUnits('0.3', 18),
      fastSeconds: timing.auctionFast,
      slowSeconds: timing.auctionSlow,
    },
    bonusShare: parseUnits('0.01', 18),
    feeShare: parseUnits('0.01', 18),
    riseSeconds: timing.auctionFast,
    reopenSeconds: 3_600,
    dust: parseUnits('100', 18),
    // Its call costs some 200,000, and the tip may be as much as the base fee.
    reward:
      nativeFeed === undefined
        ? { gasUnits: 0, nativeFeed: 0, share: 0n }
        : { gasUnits: 400_000, nativeFeed, share: parseUnits('0.02', 18) },
  }
}
