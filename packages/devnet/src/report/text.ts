import { formatUnits } from 'viem'

/** WAD as settlement units with two decimals. */
export function money(wad: bigint): string {
  return Number(formatUnits(wad, 18)).toFixed(2)
}

/** Unix ms as ISO 8601. */
export function iso(ms: number): string {
  return new Date(ms).toISOString()
}
