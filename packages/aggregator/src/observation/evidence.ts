import { mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  oracleConfigHash,
  oracleSchema,
  parseConfig,
  replaceFile,
  UserError,
  wordSchema,
} from '@clearspan/shared'
import type { Hex } from 'viem'
import { z } from 'zod'
import type { MessageKind, Observation, Proposal, Protocol, SignedReport } from './message.js'
import { authenticate, type Unverified } from './verify.js'
import { toWire, wireSchemas } from './wire.js'

type SlotMessage = Observation | Proposal | SignedReport

/** Two different messages that one node signed for one slot. */
export interface Equivocation {
  from: number
  kind: MessageKind
  seq: bigint
  messages: [SlotMessage, SlotMessage]
}

/** What a proof shows: that `signer` signed two different things. */
export interface Culprit {
  networkId: Hex
  epoch: number
  /** Of the description in which `node` has this signer. */
  configHash: Hex
  seq: string
  kind: MessageKind
  node: number
  signer: Hex
}

/** Proofs of faulty nodes, a file each, for anyone to fetch and to check. */
export interface EvidenceStore {
  /** Keeps a proof, durably. False when enough are kept against that node: one proof is proof, and a faulty node must not fill the disk. */
  save(evidence: Equivocation, protocol: Protocol): Promise<boolean>
  names(): string[]
  /** Text of a kept proof, or null. */
  read(name: string): Promise<string | null>
}

/** Proofs kept of one node and kind of message. */
const KEPT_PER_NODE = 4
const NAME = /^node-(\d+)-(observation|proposal|signature)-epoch-\d+-slot-\d+\.json$/

/** Proofs in `evidence/` of the data directory. */
export async function openEvidence(dataDir: string): Promise<EvidenceStore> {
  const directory = join(dataDir, 'evidence')
  await mkdir(directory, { recursive: true })
  const kept = new Set((await readdir(directory)).filter((name) => NAME.test(name)))
  /** Kept or being written. */
  const taken = new Set(kept)
  return {
    async save({ from, kind, seq, messages }, protocol) {
      const against = `node-${from}-${kind}-`
      const name = `${against}epoch-${protocol.oracle.epoch}-slot-${seq}.json`
      if (!taken.has(name)) {
        if ([...taken].filter((one) => one.startsWith(against)).length >= KEPT_PER_NODE) return false
        taken.add(name)
      }
      const proof: z.input<typeof evidenceSchema> = {
        networkId: protocol.networkId,
        oracle: protocol.oracle,
        node: from,
        kind,
        messages: messages.map(toWire),
      }
      const file = await replaceFile(join(directory, name), `${JSON.stringify(proof, null, 2)}\n`)
      await file.close()
      kept.add(name)
      return true
    },
    names: () => [...kept].sort(),
    read: async (name) => (kept.has(name) ? readFile(join(directory, name), 'utf8') : null),
  }
}

const evidenceSchema = z.strictObject({
  networkId: wordSchema,
  /** The epoch's whole description. */
  oracle: oracleSchema,
  node: z.number().int().nonnegative(),
  kind: z.enum(['observation', 'proposal', 'signature']),
  messages: z.array(z.unknown()).length(2),
})

/**
 * Checks a proof from its own content alone: both messages are of one kind, epoch and slot, differ in what they say, and carry a
 * signature of the same node. That it was a node of the network is what the chain says: `PriceOracle.configHash(epoch)` is `configHash`.
 * Throws UserError naming the field that proves nothing.
 */
export async function verifyEvidence(value: unknown, where: string): Promise<Culprit> {
  const proof = parseConfig(evidenceSchema, value, where)
  const { networkId, oracle, node, kind } = proof
  const { epoch, feeds, nodes } = oracle
  const schema: z.ZodType = wireSchemas(feeds.length, nodes.length)[kind]
  const read = (at: number) => {
    const field = `${where} messages[${at}]`
    const message = parseConfig(schema, proof.messages[at], field)
    const authenticated = authenticate({ kind, message } as Unverified, { networkId, oracle })
    const signer = nodes[node]?.signer
    if (!authenticated || !signer || authenticated.from !== node)
      throw new UserError(field, `is not signed by node ${node}`)
    return {
      digest: authenticated.digest,
      seq: authenticated.message.seq,
      epoch: authenticated.message.epoch,
      signer,
    }
  }
  const [first, second] = [read(0), read(1)]
  if (first.seq !== second.seq || first.epoch !== second.epoch || first.epoch !== epoch) {
    throw new UserError(`${where} messages`, 'are of different slots or epochs: a node may sign both')
  }
  if (first.digest === second.digest)
    throw new UserError(`${where} messages`, 'say the same: that is no fault')
  const configHash = oracleConfigHash(oracle)
  return { networkId, epoch, configHash, seq: `${first.seq}`, kind, node, signer: first.signer }
}
