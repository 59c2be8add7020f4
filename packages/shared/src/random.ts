import { randomBytes } from 'node:crypto'

/** A source of randomness; tests and simulators supply a seeded one. */
export interface Random {
  /** Uniform in [0, 1). */
  next(): number
}

/** The machine's own randomness: no two runs are alike. */
export const systemRandom: Random = {
  next: () => Number(randomBytes(8).readBigUInt64BE() >> 11n) / 2 ** 53,
}

/** Deterministic generator (mulberry32: 32-bit state, period 2^32; good enough for noise, never for keys). */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  return {
    next() {
      state = (state + 0x6d2b79f5) >>> 0
      let t = state
      t = Math.imul(t ^ (t >>> 15), t | 1)
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296
    },
  }
}
