import { expect, test } from 'vitest'
import { planMarkets } from '../network/markets.js'
import { CREDIT_BPS, jumpGuard } from '../network/parameters.js'
import { planTiming } from '../network/timing.js'
import { planTraders } from './plan.js'

/** Every perpetual of a plan, and what initial margin of a price that is as old as a report may be leaves of the deposits. bps of them. */
function freeMargins(bases: readonly string[], speed: number) {
  const markets = planMarkets(
    bases,
    [...bases, 'USDC'].map((base) => `${base}/USD`),
  )
  const timing = planTiming({ windowMs: 1, speed })
  const widening = (jumpGuard(timing).ageing * timing.acceptAge) / 3_600
  return planTraders(markets, bases[0]!).flatMap(({ name, deposits, trades }) => {
    const worth = deposits.reduce((total, { usd }) => total + usd, 0)
    const shockOf = (base: string) => markets.shocks[base]!.shockIm + widening
    const collateral = deposits.map(({ token, usd }) => {
      const { base, settlement } = markets.tokens[token]!
      const credit = settlement
        ? 10_000 - widening
        : (CREDIT_BPS.creditIm * (10_000 - shockOf(base))) / 10_000
      return (usd / worth) * credit
    })
    const losses = trades.map(({ instrumentId, leverage }) => {
      const { base } = markets.instruments.find(({ id }) => id === instrumentId)!
      return Math.abs(leverage) * shockOf(base)
    })
    if (trades.length === 0) return []
    const left = [...collateral, ...losses.map((loss) => -loss)].reduce((total, part) => total + part, 0)
    return [{ name, left }]
  })
}

test.each([
  [['ETH', 'BTC'], 480],
  [['ETH', 'BTC'], 960],
  [['LINK', 'ETH', 'BTC'], 3_600],
  [['USDE'], 960],
])('of %j at speed %d everybody may trade at a price that has only just landed', (bases, speed) => {
  for (const { name, left } of freeMargins(bases, speed)) expect(left, name).toBeGreaterThan(0)
})
