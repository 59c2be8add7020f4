import { wordSchema } from '@clearspan/shared'
import type { Hex } from 'viem'
import { z } from 'zod'

/** Packets that one request may ask for, and bytes of one: LayerZero's own limit is 10,000 bytes a message. */
export const MAX_PACKETS = 100
const MAX_PACKET_BYTES = 16_384
/** A request of full packets. */
export const MAX_REQUEST_BYTES = MAX_PACKETS * (2 * MAX_PACKET_BYTES + 512)

/** What is asked for: a signature on the root for the Attestor, or one for each packet for LayerZero's stock DVN. */
export const attestPaths = { attestor: '/attest/root', dvn: '/attest/dvn' } as const
export type AttestKind = keyof typeof attestPaths

const uint64 = z
  .string()
  .regex(/^\d{1,20}$/)
  .transform(BigInt)
  .refine((value) => value < 1n << 64n)
const bytes = z.custom<Hex>(
  (value) =>
    typeof value === 'string' &&
    value.length <= 2 + 2 * MAX_PACKET_BYTES &&
    value.length % 2 === 0 &&
    /^0x[0-9a-f]*$/.test(value),
)

/** A request: packets of any sources for one destination, in the order of their leaves. */
export const attestRequestSchema = z.strictObject({
  dstEid: z.number().int().positive(),
  /** Seconds of the destination's time. */
  expiry: uint64,
  /** The Attestor's set that is asked; 0 for the stock DVN. */
  operatorSet: z.number().int().min(0).max(0xffff_ffff),
  packets: z
    .array(
      z.strictObject({
        /** As PacketSent carried it. */
        encoded: bytes,
        blockNumber: uint64,
        blockHash: wordSchema,
        confirmations: uint64,
      }),
    )
    .min(1)
    .max(MAX_PACKETS),
})
export type AttestRequest = z.output<typeof attestRequestSchema>

/** Why an operator doesn't sign for a packet. */
export const refusals = [
  /** It can't be decoded, or is not for this destination. */
  'malformed',
  /** From a chain that the network doesn't have, or the destination itself. */
  'foreign',
  /** Fewer confirmations are claimed than sender or receiver ask for, or what they ask for can't be read. */
  'too-few-confirmations',
  /** The operator's own nodes don't show it under so many blocks: it may be soon, or it never was sent. */
  'unconfirmed',
] as const
export type RefusalReason = (typeof refusals)[number]

/** An operator's answer: it signs all, or names what it doesn't sign for. */
export const attestAnswerSchema = z.union([
  z.strictObject({ signatures: z.array(z.custom<Hex>(isSignature)).min(1).max(MAX_PACKETS) }),
  z.strictObject({
    refused: z
      .array(
        z.strictObject({
          index: z
            .number()
            .int()
            .min(0)
            .max(MAX_PACKETS - 1),
          reason: z.enum(refusals),
        }),
      )
      .min(1)
      .max(MAX_PACKETS),
  }),
])
export type AttestAnswer = z.output<typeof attestAnswerSchema>

function isSignature(value: unknown): boolean {
  return typeof value === 'string' && /^0x[0-9a-f]{130}$/.test(value)
}

/** JSON text of a request. */
export function encodeRequest({ expiry, packets, ...request }: AttestRequest): string {
  return JSON.stringify({
    ...request,
    expiry: String(expiry),
    packets: packets.map(({ blockNumber, confirmations, ...packet }) => ({
      ...packet,
      blockNumber: String(blockNumber),
      confirmations: String(confirmations),
    })),
  })
}
