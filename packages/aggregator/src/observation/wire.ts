import { UNUSABLE_CONFIDENCE } from '@clearspan/shared'
import type { Hex } from 'viem'
import { z } from 'zod'
import type { Observation, Proposal, SignedReport } from './message.js'

const MAX_UINT64 = 2n ** 64n - 1n
const MAX_INT64 = 2n ** 63n - 1n

const seqSchema = z
  .string()
  .regex(/^\d{1,20}$/)
  .transform(BigInt)
  .refine((seq) => seq <= MAX_UINT64)

const signatureSchema = z.custom<Hex>(
  (value) => typeof value === 'string' && /^0x[0-9a-f]{128}$/.test(value),
  'must be a 64-byte signature in lower-case hex',
)

const priceSchema = z
  .tuple([
    z
      .string()
      .regex(/^\d{1,19}$/)
      .transform(BigInt),
    z.number().int().min(0).max(UNUSABLE_CONFIDENCE),
  ])
  .transform(([price, confidence]) => ({ price, confidence }))
  .refine(
    ({ price, confidence }) =>
      price <= MAX_INT64 && (confidence === UNUSABLE_CONFIDENCE ? price === 0n : price > 0n),
    'must be a positive 64-bit price, or 0 with the unusable confidence',
  )

/** What peers may send, as JSON: integers beyond 2^53 as decimal text, prices as `[price, confidence]` in feed order. */
export function wireSchemas(feeds: number, nodes: number) {
  const signed = z.strictObject({
    epoch: z.number().int().positive(),
    seq: seqSchema,
    prices: z.array(priceSchema).length(feeds),
    signature: signatureSchema,
  })
  return {
    observation: signed,
    signature: signed,
    proposal: z.strictObject({
      epoch: z.number().int().positive(),
      seq: seqSchema,
      observations: z.array(signed).min(1).max(nodes),
      signature: signatureSchema,
    }),
  }
}

function signedToWire({ epoch, seq, prices, signature }: Observation | SignedReport) {
  return {
    epoch,
    seq: seq.toString(),
    prices: prices.map(({ price, confidence }) => [price.toString(), confidence] as const),
    signature,
  }
}

/** JSON value of an observation, a proposal or a signed report. */
export function toWire(message: Observation | SignedReport | Proposal) {
  if (!('observations' in message)) return signedToWire(message)
  const { epoch, seq, observations, signature } = message
  return { epoch, seq: seq.toString(), observations: observations.map(signedToWire), signature }
}
