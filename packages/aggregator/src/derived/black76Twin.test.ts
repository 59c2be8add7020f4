// Black-76 of the contracts, in its exact twin, against the 50 decimals that implied volatilities come from.
import { black76, PermanentError, seededRandom } from '@clearspan/shared'
import { expect, test } from 'vitest'
import { black76 as reference } from './black76.js'
import { ONE } from './fixedPoint.js'

const WAD = 10n ** 18n
const SCALE = ONE / WAD
const RANDOM_OPTIONS = 1_500
const STORED = 150

interface Vector {
  forward: bigint
  strike: bigint
  deviation: bigint
}

/** Forward over twelve orders of magnitude, strikes mostly near it, deviations from 0.01 % to 1,000 %. */
function options(seed: number, count: number): Vector[] {
  const random = seededRandom(seed)
  const wad = (x: number) => BigInt(Math.round(x * 1e9)) * 10n ** 9n + 1n
  return Array.from({ length: count }, () => {
    const deviation = 10 ** (random.next() * 5 - 4)
    const forward = 10 ** (random.next() * 12 - 6)
    const away = (random.next() * 2 - 1) * (random.next() < 0.2 ? 12 : 4 * deviation)
    const strike = Math.min(Math.max(forward * Math.exp(away), 1e-9), 1e15)
    return {
      forward: wad(forward),
      strike: wad(strike),
      deviation: wad(Math.min(deviation, 9.99)) + 10n ** 14n,
    }
  })
}

const edges: Vector[] = [1n, WAD, 2_000n * WAD, (1n << 120n) - 1n].flatMap((forward) =>
  [1n, WAD, 2_000n * WAD, (1n << 120n) - 1n].flatMap((strike) =>
    [10n ** 14n, 10n ** 17n, WAD, 10n * WAD].map((deviation) => ({ forward, strike, deviation })),
  ),
)

test('the error is below 2 × 10^-16 of the larger of forward and strike, plus one wei', () => {
  for (const { forward, strike, deviation } of [...edges, ...options(1, RANDOM_OPTIONS)]) {
    const { call, put } = black76(forward, strike, deviation)
    const exact = reference(
      { type: 'call', forward: forward * SCALE, strike: strike * SCALE },
      deviation * SCALE,
    )
    const larger = forward > strike ? forward : strike
    const error = call * SCALE - exact
    const bound = (larger * SCALE) / (5n * 10n ** 15n) + SCALE
    expect(error < 0n ? -error : error, `${forward} ${strike} ${deviation}`).toBeLessThanOrEqual(bound)
    expect(call - put).toBe(forward - strike)
    expect(call >= 0n && put >= 0n && call <= forward && put <= strike).toBe(true)
  }
})

test('a number out of bounds is refused', () => {
  const most = 1n << 120n
  for (const [forward, strike, deviation] of [
    [0n, WAD, WAD],
    [WAD, 0n, WAD],
    [most, WAD, WAD],
    [WAD, most, WAD],
    [WAD, WAD, 0n],
    [WAD, WAD, 10n ** 14n - 1n],
    [WAD, WAD, 10n * WAD + 1n],
  ] as const)
    expect(() => black76(forward, strike, deviation)).toThrow(PermanentError)
})

test('the vectors that the contract is tested with are those of the twin', async () => {
  const vectors = [...edges, ...options(2, STORED)]
  const column = (of: (vector: Vector) => bigint) => vectors.map((vector) => of(vector).toString())
  const written = {
    forward: column(({ forward }) => forward),
    strike: column(({ strike }) => strike),
    deviation: column(({ deviation }) => deviation),
    call: column(({ forward, strike, deviation }) => black76(forward, strike, deviation).call),
    put: column(({ forward, strike, deviation }) => black76(forward, strike, deviation).put),
  }
  await expect(`${JSON.stringify(written, null, 2)}\n`).toMatchFileSnapshot(
    '../../../contracts/test/fixtures/black76.json',
  )
})
