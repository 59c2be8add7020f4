import { type EncodeDeployDataParameters, encodeDeployData, zeroAddress, zeroHash } from 'viem'
import { expect, test } from 'vitest'
import type { Batch } from '../chains/index.js'
import { createHub } from './deployHub.js'
import type { DeployOptions } from './deployOptions.js'
import { planMarkets, withDated } from './markets.js'
import { grid, instrumentRisk, jumpGuard } from './parameters.js'
import { localRoles } from './roles.js'
import { planTiming } from './timing.js'

/** Creations of a hub with these markets, by label: what would be sent. */
function creations(bases: readonly string[]): Map<string, string> {
  const feeds = [...bases, 'USDT', 'USDC'].map((base) => `${base}/USD`)
  const made = new Map<string, string>()
  const create: Batch['create'] = (label, parameters) => {
    made.set(label, encodeDeployData(parameters as EncodeDeployDataParameters))
    return zeroAddress
  }
  const options = {
    chains: [{ eid: 1 }],
    layerzero: { endpoint: zeroAddress },
    roles: localRoles(),
    markets: withDated(planMarkets(bases, feeds)),
    timing: planTiming({ windowMs: 3_600_000 }),
    networkId: zeroHash,
  }
  createHub({ create } as Batch, () => zeroAddress, options as unknown as DeployOptions)
  return made
}

test('a network without a market of ETH can be deployed, and pays nobody for starting an auction', () => {
  const [without, beside] = [creations(['USDE']), creations(['ETH'])]
  expect([...without.keys()]).toEqual([...beside.keys()])
  expect(without.get('LiquidationAuction')).not.toBe(beside.get('LiquidationAuction'))
})

test.each([['USDE'], ['ETH'], ['DOGE', 'BTC']])(
  "a trade's band lies below what maintenance margin of both sets covers: %s",
  (...bases) => {
    const { instruments, shocks } = withDated(
      planMarkets(
        bases,
        [...bases, 'USDC'].map((base) => `${base}/USD`),
      ),
    )
    expect(instruments.length).toBeGreaterThan(bases.length)
    for (const { kind, base } of instruments) {
      const { shockMm } = shocks[base]!
      const { priceBand } = instrumentRisk(kind, { shockMm })
      expect(priceBand).toBeGreaterThan(0)
      expect(priceBand).toBeLessThan((shockMm * grid().portfolioShock) / 10_000)
    }
  },
)

test.each([1, 60, 480, 960, 3_600])(
  'at speed %d a price that lands as late as it may is wider by half a percent at most',
  (speed) => {
    const timing = planTiming({ windowMs: 1, speed })
    const { ageing } = jumpGuard(timing)
    expect(ageing).toBeGreaterThan(0)
    expect(ageing).toBeLessThanOrEqual(100)
    expect((ageing * timing.acceptAge) / 3_600).toBeLessThanOrEqual(50)
  },
)
