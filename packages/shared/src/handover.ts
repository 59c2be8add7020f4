import { type Hex, keccak256, stringToHex } from 'viem'
import { z } from 'zod'
import { PermanentError } from './errors.js'
import { type Feed, type OracleNetwork, oracleSchema } from './network.js'
import { checkQuorum, decodeQuorum, MAX_QUORUM_CHARS } from './quorum.js'
import { signingPreimage } from './report.js'

/** Next epoch of signers, as the outgoing quorum signs it: valid on every chain of the network. `PriceOracle.handOver` takes it with `encodeQuorum` of the signatures. */
export interface Handover {
  epoch: number
  /** Slots: the first and last that its signers may sign. */
  firstSeq: bigint
  lastSeq: bigint
  /** Hash of the configuration that its nodes aggregate by. */
  configHash: Hex
  signers: readonly Hex[]
  /** All feeds in order. `useAge` in seconds, less than 2^23; it counts for a feed that is new. */
  feeds: readonly (Feed & { useAge: number })[]
}

const handoverTypes = {
  Handover: [
    { name: 'epoch', type: 'uint32' },
    { name: 'firstSeq', type: 'uint64' },
    { name: 'lastSeq', type: 'uint64' },
    { name: 'configHash', type: 'bytes32' },
    { name: 'signers', type: 'address[]' },
    { name: 'feeds', type: 'Feed[]' },
  ],
  Feed: [
    { name: 'name', type: 'bytes32' },
    { name: 'exponent', type: 'int8' },
    { name: 'isSigned', type: 'bool' },
    { name: 'useAge', type: 'uint24' },
  ],
} as const

/** A handover as `PriceOracle` takes it. */
export function handoverArgument({ feeds, ...rest }: Handover) {
  return {
    ...rest,
    feeds: feeds.map(({ name, exponent, signed, useAge }) => ({
      name: stringToHex(name, { size: 32 }),
      exponent,
      isSigned: signed ?? false,
      useAge,
    })),
  }
}

/** What the outgoing epoch's nodes sign; the digest is its hash. */
export function handoverPreimage(handover: Handover, networkId: Hex): Hex {
  return signingPreimage(networkId, handoverTypes, 'Handover', handoverArgument(handover))
}

/** The EIP-712 digest that the outgoing epoch's nodes sign. */
export function handoverDigest(handover: Handover, networkId: Hex): Hex {
  return keccak256(handoverPreimage(handover, networkId))
}

/**
 * `configHash` of an epoch: its whole description, the rules that its nodes aggregate by and their addresses included, so that whoever has the
 * description can check it.
 */
export function oracleConfigHash({ epoch, slotMs, feeds, rulesHash, nodes }: OracleNetwork): Hex {
  const description = {
    epoch,
    slotMs,
    rules: rulesHash?.toLowerCase() ?? null,
    feeds: feeds.map(({ name, exponent, signed }) => ({ name, exponent, signed: signed ?? false })),
    nodes: nodes.map(({ url, signer, peer }) => ({
      url,
      signer: signer.toLowerCase(),
      peer: (peer ?? signer).toLowerCase(),
    })),
  }
  return keccak256(stringToHex(JSON.stringify(description)))
}

/** The chain keeps slots in 48 bits. */
export const seqSchema = z
  .number()
  .int()
  .positive()
  .max(2 ** 48 - 1)

/** An epoch that follows another, with all that its nodes need to know of one another. */
export const successionSchema = z.strictObject({
  oracle: oracleSchema,
  /** First and last slot that its nodes sign. */
  firstSeq: seqSchema,
  lastSeq: seqSchema,
  /** Seconds for which each feed is fresh on chain, in feed order; counts for feeds that are new there. */
  useAges: z.array(
    z
      .number()
      .int()
      .min(0)
      .max(2 ** 23 - 1),
  ),
})

export type Succession = z.output<typeof successionSchema>

/** What is signed of a succession. */
export function handoverOf({ oracle, firstSeq, lastSeq, useAges }: Succession): Handover {
  return {
    epoch: oracle.epoch,
    firstSeq: BigInt(firstSeq),
    lastSeq: BigInt(lastSeq),
    configHash: oracleConfigHash(oracle),
    signers: oracle.nodes.map(({ signer }) => signer),
    feeds: oracle.feeds.map((feed, i) => ({ ...feed, useAge: useAges[i] ?? 0 })),
  }
}

/** A finished handover as nodes serve it: the succession, and what `PriceOracle.handOver` takes beside it. */
export const signedHandoverSchema = successionSchema.extend({
  signatures: z
    .string()
    .max(MAX_QUORUM_CHARS)
    .regex(/^0x[0-9a-f]*$/)
    .transform((text) => text as Hex),
})

export type SignedHandover = z.output<typeof signedHandoverSchema>

/** Checks that the outgoing epoch's quorum has signed this handover. @throws PermanentError saying what is wrong with it. */
export async function verifyHandover(
  signed: SignedHandover,
  outgoing: OracleNetwork,
  networkId: Hex,
): Promise<void> {
  if (signed.oracle.epoch !== outgoing.epoch + 1 || signed.oracle.slotMs !== outgoing.slotMs)
    throw new PermanentError(`not a handover from epoch ${outgoing.epoch}`)
  const signatures = decodeQuorum(signed.signatures, outgoing.nodes.length)
  const digest = handoverDigest(handoverOf(signed), networkId)
  await checkQuorum(
    digest,
    signatures,
    outgoing.nodes.map(({ signer }) => signer),
  )
}
