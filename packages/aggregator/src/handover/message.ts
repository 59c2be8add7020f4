import type { Hex } from 'viem'
import { z } from 'zod'

export const HANDOVER_PATH = '/handovers'

/** What a node says of the epoch that its operator has configured to follow: its digest, and its signature once it has given one. */
export const handoverMessageSchema = z.strictObject({
  /** Of the next epoch. */
  epoch: z.number().int().positive(),
  digest: z.custom<Hex>((value) => typeof value === 'string' && /^0x[0-9a-f]{64}$/.test(value)),
  signature: z
    .custom<Hex>((value) => typeof value === 'string' && /^0x[0-9a-f]{128}$/.test(value))
    .nullable(),
})

export type HandoverMessage = z.output<typeof handoverMessageSchema>
