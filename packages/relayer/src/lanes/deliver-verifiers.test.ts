import { RetryableError, UserError } from '@clearspan/shared'
import { type Address, numberToHex, pad } from 'viem'
import { expect, it } from 'vitest'
import type { ChainContext } from '../chains/context.js'
import { checkVerifiers } from './deliver-verifiers.js'

const PATH = `101:${pad('0x5')}:102:${pad('0x6')}`
const verifier = pad('0x7', { size: 20 })
const verifiers = (count: number, from: number) =>
  Array.from({ length: count }, (_, i) => pad(numberToHex(from + i), { size: 20 }))

const [DVN, ATTESTOR] = verifiers(2, 1) as [Address, Address]

interface World {
  required: number
  threshold?: number
  clock?: null | { startMs: number; realStartMs: number; speed: number }
  optionalFrom?: number
  /** Signers that the stock DVN, and operators that the Attestor, need; by node. */
  quorums?: readonly bigint[]
  operators?: readonly number[]
}

const check = ({
  required,
  threshold = 0,
  clock = null,
  optionalFrom = 100,
  quorums = [2n],
  operators = [2],
}: World) => {
  const config = {
    requiredDVNs: verifiers(required, 1),
    optionalDVNs: verifiers(2, optionalFrom),
    optionalDVNThreshold: threshold,
  }
  const witnesses = quorums.map((quorum, i) => {
    const answers: Record<string, unknown> = {
      getUlnConfig: config,
      quorum,
      threshold: operators[i] ?? operators[0],
    }
    return {
      multicall: async ({ contracts }: { contracts: { functionName: string }[] }) =>
        contracts.map(({ functionName }) => answers[functionName]),
    }
  })
  const layerzero = { receiveUln: verifier, dvn: DVN, attestor: ATTESTOR }
  const destination = { chain: { name: 'hub', layerzero }, witnesses } as unknown as ChainContext
  return checkVerifiers({ clock }, destination, [PATH])
}
const LOCAL = { startMs: 0, realStartMs: 0, speed: 1 }

it("refuses one verifier's word outside local networks, naming the direction", async () => {
  await expect(check({ required: 1 })).rejects.toThrow(UserError)
  await expect(check({ required: 0, threshold: 1 })).rejects.toThrow(/hub, messages from endpoint 101/)
  await check({ required: 2 })
  await check({ required: 1, threshold: 1 })
  await check({ required: 1, clock: LOCAL })
})

it('one that is required does not count once more among the optional ones', async () => {
  await expect(check({ required: 1, threshold: 1, optionalFrom: 1 })).rejects.toThrow(
    /the word of 1 verifier/,
  )
  await check({ required: 1, threshold: 2, optionalFrom: 1 })
})

it("refuses a verifier of ours that takes one signer's word, naming it", async () => {
  await expect(check({ required: 2, quorums: [1n] })).rejects.toThrow(
    new RegExp(`hub, LayerZero's DVN ${DVN}: verifies by 1 signature`),
  )
  await expect(check({ required: 2, operators: [1] })).rejects.toThrow(
    new RegExp(`hub, the Attestor ${ATTESTOR}: takes the word of 1 operator`),
  )
  await check({ required: 2, quorums: [1n], operators: [1], clock: LOCAL })
  // Of a verifier that no path counts on nothing is asked.
  await check({ required: 0, threshold: 2, quorums: [1n], operators: [1] })
})

it('one node can neither hide such a signer nor make one up, and without a majority nobody knows', async () => {
  await expect(check({ required: 2, quorums: [2n, 1n, 1n] })).rejects.toThrow(UserError)
  await check({ required: 2, quorums: [1n, 2n, 2n] })
  await expect(check({ required: 2, quorums: [2n, 2n], operators: [2, 1] })).rejects.toThrow(RetryableError)
})
