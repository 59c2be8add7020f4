import { divide, multiply, naturalLogarithm, normalDistribution, ONE } from './fixedPoint.js'

/** All numbers ×10^50: forward and strike in one currency, deviation = σ√T. */
export interface Option {
  type: 'call' | 'put'
  forward: bigint
  strike: bigint
}

/** Deviations σ√T that can be told from a price: 0.01 % to 1,000 %. */
const MIN_DEVIATION = ONE / 10_000n
const MAX_DEVIATION = 10n * ONE
/** Halves the interval to below 10^-12. */
const BISECTIONS = 43

/**
 * Undiscounted value of a European option on a forward, F Φ(d₁) − K Φ(d₂) for a call, with d₁ = ln(F/K)/s + s/2, d₂ = d₁ − s, s = σ√T
 * (F. Black, The pricing of commodity contracts, 1976). A put by parity: call − F + K. Strictly rising in s.
 */
export function black76(option: Option, deviation: bigint): bigint {
  return valueAt(option, logarithmOf(option), deviation)
}

/** ln(F/K): it takes as long as the rest, and no deviation changes it. */
function logarithmOf({ forward, strike }: Option): bigint {
  return naturalLogarithm(divide(forward, strike))
}

function valueAt({ type, forward, strike }: Option, logarithm: bigint, deviation: bigint): bigint {
  const d1 = divide(logarithm, deviation) + deviation / 2n
  const call =
    multiply(forward, normalDistribution(d1)) - multiply(strike, normalDistribution(d1 - deviation))
  return type === 'call' ? call : call - forward + strike
}

/**
 * The deviation σ√T at which the option is worth `price`, by bisection, so that every machine takes the same steps; to 10^-12. Null
 * where no deviation between 0.01 % and 1,000 % gives the price: below its intrinsic value, or above all that an option can be worth.
 */
export function impliedDeviation(option: Option, price: bigint): bigint | null {
  let low = MIN_DEVIATION
  let high = MAX_DEVIATION
  const logarithm = logarithmOf(option)
  const value = (deviation: bigint) => valueAt(option, logarithm, deviation)
  if (price < value(low) || price > value(high)) return null
  for (let step = 0; step < BISECTIONS; step++) {
    const middle = (low + high) / 2n
    if (value(middle) < price) low = middle
    else high = middle
  }
  return (low + high) / 2n
}
