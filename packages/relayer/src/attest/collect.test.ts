import { systemClock } from '@clearspan/shared'
import { type Address, keccak256, numberToHex, pad } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { describe, expect, it } from 'vitest'
import { type AskedOperator, collect } from './collect.js'
import type { AttestAnswer, AttestRequest } from './wire.js'

const keys = [1, 2, 3, 4].map((n) => privateKeyToAccount(pad(numberToHex(n))))
const request: AttestRequest = {
  dstEid: 2,
  expiry: 9n,
  operatorSet: 1,
  packets: [0, 1, 2].map((n) => ({
    encoded: numberToHex(n, { size: 1 }),
    blockNumber: 1n,
    blockHash: pad('0x1'),
    confirmations: 1n,
  })),
}
/** Of secp256k1. */
const CURVE_ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n
/** What is signed of a set of packets. */
const digestOf = (places: readonly number[]) =>
  keccak256(numberToHex(Number(places.join('') || 9), { size: 4 }))
const placesOf = ({ packets }: AttestRequest) => packets.map(({ encoded }) => Number(encoded))

/** One that signs all but some packets. */
function operator(n: number, refuses: readonly number[] = [], signer = n): AskedOperator {
  return {
    address: keys[n]!.address,
    async ask(asked): Promise<AttestAnswer> {
      const refused = placesOf(asked).flatMap((place, index) =>
        refuses.includes(place) ? [{ index, reason: 'unconfirmed' as const }] : [],
      )
      if (refused.length > 0) return { refused }
      return { signatures: [await keys[signer]!.sign({ hash: digestOf(placesOf(asked)) })] }
    },
  }
}
const down = (n: number): AskedOperator => ({
  address: keys[n]!.address,
  ask: () => Promise.reject(new Error('connection refused')),
})
const silent = (n: number): AskedOperator => ({
  address: keys[n]!.address,
  ask: (_, signal) =>
    new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true })),
})

async function collected(operators: readonly AskedOperator[], threshold: number, timeoutMs = 60_000) {
  const failures: Address[] = []
  const found = await collect({
    operators,
    threshold,
    request,
    digests: (places) => [digestOf(places)],
    timeoutMs,
    clock: systemClock,
    onFailure: (who) => failures.push(who),
  })
  return { places: found?.places, signers: found && [...found.signatures.keys()].sort(), failures }
}
const addresses = (...numbers: number[]) => numbers.map((n) => keys[n]!.address).sort()

describe('collecting', () => {
  it('waits for no more than it needs', async () => {
    expect(await collected([operator(0), silent(1), operator(2)], 2)).toMatchObject({
      places: [0, 1, 2],
      signers: addresses(0, 2),
    })
  })

  it('takes nobody for two, nobody for another, and a failure for a failure', async () => {
    const { places, failures } = await collected([operator(0), operator(1, [], 0), down(2)], 2)
    expect(places).toBeUndefined()
    expect(failures.sort()).toEqual(addresses(1, 2))
  })

  it.each([
    [
      'the other half of the curve',
      (r: string, s: bigint, v: number) => [r, CURVE_ORDER - s, 55 - v] as const,
    ],
    ['a parity for a recovery id', (r: string, s: bigint, v: number) => [r, s, v - 27] as const],
  ])('takes no signature that contracts refuse: %s', async (_, twist) => {
    const twisted: AskedOperator = {
      ...operator(0),
      async ask(asked) {
        const signature = await keys[0]!.sign({ hash: digestOf(placesOf(asked)) })
        const [r, s, v] = twist(
          signature.slice(2, 66),
          BigInt(`0x${signature.slice(66, 130)}`),
          Number(`0x${signature.slice(130)}`),
        )
        return {
          signatures: [
            `0x${r}${numberToHex(s, { size: 32 }).slice(2)}${numberToHex(v, { size: 1 }).slice(2)}`,
          ],
        }
      },
    }
    expect(await collected([twisted, operator(1), operator(2)], 3)).toMatchObject({
      places: undefined,
      failures: addresses(0),
    })
  })

  it('leaves out what too few sign, and asks for the rest', async () => {
    expect(await collected([operator(0, [1]), operator(1), down(2)], 2)).toMatchObject({
      places: [0, 2],
      signers: addresses(0, 1),
    })
  })

  it('is not held up by one that refuses everything', async () => {
    expect(await collected([operator(0, [0, 1, 2]), operator(1, [2]), operator(2)], 2)).toMatchObject({
      places: [0, 1],
      signers: addresses(1, 2),
    })
  })

  it('answers nothing when no packet has enough signers, or too few answer in time', async () => {
    expect(await collected([operator(0, [0, 1, 2]), operator(1)], 2)).toMatchObject({ places: undefined })
    expect(await collected([operator(0), silent(1)], 2, 20)).toMatchObject({ places: undefined })
  })
})
