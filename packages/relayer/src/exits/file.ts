import { addressSchema, type Exit, exitTree, type LastWord, wordSchema } from '@clearspan/shared'
import type { Hex } from 'viem'
import { z } from 'zod'
import type { PickedBlock } from './chains.js'

const amountSchema = z
  .string()
  .regex(/^\d{1,39}$/, 'must be a whole number of token units')
  .transform(BigInt)
const numberSchema = z.string().regex(/^\d+$/, 'must be a block number').transform(BigInt)

/** A hub's last word as operators hand it round: amounts and block numbers as decimal strings. */
export const lastWordFileSchema = z
  .strictObject({
    networkId: wordSchema,
    hubEpoch: z.number().int().positive(),
    version: z.number().int().positive(),
    hubTime: numberSchema,
    root: wordSchema,
    /** From which it was made, one of each chain. */
    blocks: z.array(z.strictObject({ eid: z.number().int(), number: numberSchema, hash: wordSchema })).min(1),
    exits: z
      .array(
        z.strictObject({
          eid: z.number().int(),
          vaultEpoch: z.number().int().positive(),
          account: wordSchema,
          token: addressSchema,
          recipient: addressSchema,
          released: amountSchema,
        }),
      )
      .min(1),
  })
  .refine(({ root, exits }) => exitTree(exits).root === root, 'its root must be that of its payouts')

export interface LastWordFile extends LastWord {
  networkId: Hex
  blocks: PickedBlock[]
  exits: Exit[]
}

/** What `lastWordFileSchema` reads again. */
export function lastWordText(file: LastWordFile): string {
  const text = JSON.stringify(
    file,
    (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value),
    2,
  )
  return `${text}\n`
}

/** One node's signature, beside the number it has among the manifest's nodes. */
export const signedWordSchema = z.strictObject({
  version: z.number().int().positive(),
  root: wordSchema,
  signer: z.number().int().min(0),
  signature: z.custom<Hex>(
    (value) => typeof value === 'string' && /^0x[0-9a-fA-F]{128}$/.test(value),
    'must be a compact signature: 0x and 128 hex digits',
  ),
})
export type SignedWord = z.infer<typeof signedWordSchema>
