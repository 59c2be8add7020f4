import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { oracleConfigHash } from '@clearspan/shared'
import { keccak256, toHex } from 'viem'
import { privateKeyToAddress } from 'viem/accounts'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openEvidence, verifyEvidence } from './evidence.js'
import { observationPreimage, preimageOf, proposalPreimage } from './message.js'
import { createSigner } from './signer.js'

const keys = [1, 2, 3, 4].map((n) => keccak256(toHex(`evidence ${n}`)))
const protocol = {
  networkId: keccak256(toHex('evidence')),
  oracle: {
    epoch: 1,
    slotMs: 1_000,
    feeds: [{ name: 'ETH/USD', exponent: -8 }],
    nodes: keys.map((key) => ({ url: 'http://127.0.0.1:1', signer: privateKeyToAddress(key) })),
  },
}
const signer = createSigner(keys[2] ?? '0x')

async function signed(kind: 'observation' | 'signature', seq: bigint, price: bigint, epoch = 1) {
  const report = { epoch, seq, prices: [{ price, confidence: 1 }] }
  const make = kind === 'observation' ? observationPreimage : preimageOf
  return { ...report, signature: await signer.sign(make(report, protocol)) }
}

let dataDir: string
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'clearspan-evidence-'))
})
afterEach(() => rm(dataDir, { recursive: true, force: true }))

const from = 2
const stored = async () => {
  const [name = ''] = await readdir(join(dataDir, 'evidence'))
  return JSON.parse(await readFile(join(dataDir, 'evidence', name), 'utf8')) as {
    messages: [object, object]
  }
}

describe('proof that a node is faulty', () => {
  it.each(['observation', 'signature'] as const)('convinces a third party: two of kind %s', async (kind) => {
    const store = await openEvidence(dataDir)
    const messages = [await signed(kind, 7n, 10n), await signed(kind, 7n, 11n)] as const
    expect(await store.save({ from, kind, seq: 7n, messages: [...messages] }, protocol)).toBe(true)
    const configHash = oracleConfigHash(protocol.oracle)
    const culprit = { node: 2, signer: signer.address, kind, seq: '7', epoch: 1, configHash }
    expect(await verifyEvidence(await stored(), 'file')).toMatchObject(culprit)
  })

  it('convinces of two proposals, which name their observations', async () => {
    const store = await openEvidence(dataDir)
    const propose = async (price: bigint) => {
      const draft = { epoch: 1, seq: 2n, observations: [await signed('observation', 2n, price)] }
      return { ...draft, signature: await signer.sign(proposalPreimage(draft, protocol)) }
    }
    const messages = [await propose(1n), await propose(2n)] as const
    await store.save({ from, kind: 'proposal', seq: 2n, messages: [...messages] }, protocol)
    expect(await verifyEvidence(await stored(), 'file')).toMatchObject({ node: 2, kind: 'proposal' })
  })

  it('convinces nobody when it says the same twice, is of two slots or epochs, of another node or changed', async () => {
    const store = await openEvidence(dataDir)
    const pairs = [
      [await signed('signature', 1n, 10n), await signed('signature', 1n, 10n)],
      [await signed('signature', 1n, 10n), await signed('signature', 2n, 11n)],
      [await signed('signature', 1n, 10n), await signed('signature', 1n, 11n, 2)],
    ] as const
    for (const messages of pairs) {
      await store.save({ from, kind: 'signature', seq: 1n, messages: [...messages] }, protocol)
      await expect(verifyEvidence(await stored(), 'file')).rejects.toMatchObject({ field: 'file messages' })
    }
    const messages = [await signed('signature', 1n, 10n), await signed('signature', 1n, 11n)] as const
    await store.save({ from, kind: 'signature', seq: 1n, messages: [...messages] }, protocol)
    const proof = await stored()
    await expect(verifyEvidence({ ...proof, node: 1 }, 'file')).rejects.toMatchObject({
      field: 'file messages[0]',
    })
    const changed = { ...proof.messages[1], prices: [['12', 1]] }
    await expect(
      verifyEvidence({ ...proof, messages: [proof.messages[0], changed] }, 'file'),
    ).rejects.toMatchObject({
      field: 'file messages[1]',
    })
    // Another description than the one on chain has another hash.
    const oracle = { ...protocol.oracle, rulesHash: keccak256('0x') }
    const other = await verifyEvidence({ ...proof, oracle }, 'file')
    expect(other.configHash).not.toBe(oracleConfigHash(protocol.oracle))
    await expect(verifyEvidence('nonsense', 'file')).rejects.toMatchObject({ field: 'file' })
  })

  it('fills no disk, after a restart neither', async () => {
    const accuse = async (seq: bigint) => {
      const messages = [await signed('signature', seq, 10n), await signed('signature', seq, 11n)] as const
      return { from, kind: 'signature' as const, seq, messages: [...messages] as [never, never] }
    }
    const store = await openEvidence(dataDir)
    for (let seq = 0n; seq < 3n; seq++) expect(await store.save(await accuse(seq), protocol)).toBe(true)
    const restarted = await openEvidence(dataDir)
    expect(restarted.names()).toEqual(store.names())
    expect(await restarted.save(await accuse(3n), protocol)).toBe(true)
    expect(await restarted.save(await accuse(4n), protocol)).toBe(false)
    expect(await readdir(join(dataDir, 'evidence'))).toHaveLength(4)
    expect(await restarted.read('../signed.jsonl')).toBeNull()
  })
})
