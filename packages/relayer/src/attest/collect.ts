import type { Clock } from '@clearspan/shared'
import { type Address, type Hex, isAddressEqual, recoverAddress, sliceHex } from 'viem'
import type { AttestAnswer, AttestRequest } from './wire.js'

/** An operator, wherever it runs. */
export interface AskedOperator {
  address: Address
  /** Rejects when it doesn't answer, or with nonsense. */
  ask(request: AttestRequest, signal: AbortSignal): Promise<AttestAnswer>
}

export interface CollectOptions {
  operators: readonly AskedOperator[]
  /** Signatures that are needed. */
  threshold: number
  request: AttestRequest
  /** What a signature must be over, for the packets at these places of the request. */
  digests(places: readonly number[]): readonly Hex[]
  /** Longest that all are waited for, real ms. */
  timeoutMs: number
  clock: Clock
  /** Told of each operator that failed, with what. */
  onFailure(operator: Address, error: unknown): void
}

/** What enough operators have signed: packets by their places in the request, and each signer's signatures, as many as it was asked for. */
export interface Collected {
  places: number[]
  signatures: Map<Address, Hex[]>
}

/**
 * Signatures of `threshold` operators on as many packets as so many agree on. They are asked at once and the slow are not waited for. What some
 * refuse is left out and the rest asked for once more, so that one packet, or a minority of operators, holds up nobody else's.
 */
export async function collect(options: CollectOptions): Promise<Collected | undefined> {
  const all = options.request.packets.map((_, place) => place)
  const first = await ask(options, all)
  if (first.signatures.size >= options.threshold) return { places: all, signatures: first.signatures }
  const agreed = agreedPlaces(all, first, options.threshold)
  if (agreed.length === 0 || agreed.length === all.length) return undefined
  const { signatures } = await ask(options, agreed)
  return signatures.size >= options.threshold ? { places: agreed, signatures } : undefined
}

interface Answers {
  /** Of operators that signed everything. */
  signatures: Map<Address, Hex[]>
  /** Places that operators refused. */
  refused: Map<Address, Set<number>>
}

/** What the `threshold` operators that refuse least all sign. */
function agreedPlaces(places: readonly number[], { signatures, refused }: Answers, threshold: number) {
  const sets = [...[...signatures.keys()].map(() => new Set<number>()), ...refused.values()]
  if (sets.length < threshold) return []
  const best = sets.sort((a, b) => a.size - b.size).slice(0, threshold)
  return places.filter((place) => !best.some((set) => set.has(place)))
}

async function ask(
  { operators, threshold, request, digests, timeoutMs, clock, onFailure }: CollectOptions,
  places: readonly number[],
): Promise<Answers> {
  const packets = request.packets.filter((_, place) => places.includes(place))
  const expected = digests(places)
  const answers: Answers = { signatures: new Map(), refused: new Map() }
  const ended = new AbortController()
  void clock.sleep(timeoutMs, ended.signal).then(
    () => ended.abort(),
    () => {},
  )
  try {
    await Promise.race([
      new Promise<void>((enough) => ended.signal.addEventListener('abort', () => enough(), { once: true })),
      Promise.all(
        operators.map(async (operator) => {
          try {
            const answer = await operator.ask({ ...request, packets }, ended.signal)
            if ('refused' in answer)
              answers.refused.set(
                operator.address,
                new Set(answer.refused.flatMap(({ index }) => places[index] ?? [])),
              )
            else if (await areOf(operator.address, expected, answer.signatures))
              answers.signatures.set(operator.address, answer.signatures)
            else throw new TypeError('a signature is not over what was asked, or not its own')
          } catch (error) {
            if (!ended.signal.aborted) onFailure(operator.address, error)
          }
          if (answers.signatures.size >= threshold) ended.abort()
        }),
      ),
    ])
  } finally {
    ended.abort()
  }
  return answers
}

async function areOf(signer: Address, digests: readonly Hex[], signatures: readonly Hex[]): Promise<boolean> {
  if (digests.length !== signatures.length || !signatures.every(isCanonical)) return false
  const signers = await Promise.all(
    digests.map((hash, i) => recoverAddress({ hash, signature: signatures[i] ?? '0x' })),
  )
  return signers.every((found) => isAddressEqual(found, signer))
}

/** Half of secp256k1's order: above it lies the other signature of the same words. */
const MAX_S = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0n

/** Whether contracts take it (OpenZeppelin's ECDSA): one that recovers here and reverts there would stop everybody's packets. */
function isCanonical(signature: Hex): boolean {
  const recoveryId = Number(sliceHex(signature, 64, 65))
  return BigInt(sliceHex(signature, 32, 64)) <= MAX_S && (recoveryId === 27 || recoveryId === 28)
}
