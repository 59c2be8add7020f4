import { UserError } from '@clearspan/shared'
import { numberToHex, pad } from 'viem'
import { expect, it } from 'vitest'
import type { ChainContext } from '../chains/context.js'
import { checkVerifiers } from './deliver-verifiers.js'

const PATH = `101:${pad('0x5')}:102:${pad('0x6')}`
const verifier = pad('0x7', { size: 20 })
const verifiers = (count: number, from: number) =>
  Array.from({ length: count }, (_, i) => pad(numberToHex(from + i), { size: 20 }))

const check = (
  required: number,
  threshold: number,
  clock: null | { startMs: number; realStartMs: number; speed: number } = null,
  optionalFrom = 100,
) => {
  const config = {
    requiredDVNs: verifiers(required, 1),
    optionalDVNs: verifiers(2, optionalFrom),
    optionalDVNThreshold: threshold,
  }
  const destination = {
    chain: { name: 'hub', layerzero: { receiveUln: verifier } },
    client: { multicall: async () => [config] },
  } as unknown as ChainContext
  return checkVerifiers({ clock }, destination, [PATH])
}

it("refuses one verifier's word outside local networks, naming the direction", async () => {
  await expect(check(1, 0)).rejects.toThrow(UserError)
  await expect(check(0, 1)).rejects.toThrow(/hub, messages from endpoint 101/)
  await check(2, 0)
  await check(1, 1)
  await check(1, 0, { startMs: 0, realStartMs: 0, speed: 1 })
})

it('one that is required does not count once more among the optional ones', async () => {
  await expect(check(1, 1, null, 1)).rejects.toThrow(/the word of 1 verifier/)
  await check(1, 2, null, 1)
})
