import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLogger, type Succession, verifyHandover } from '@clearspan/shared'
import { keccak256, toHex } from 'viem'
import { privateKeyToAddress } from 'viem/accounts'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Journal, openJournal } from '../observation/journal.js'
import { createSigner, type Signer } from '../observation/signer.js'
import { type HandoverArchive, openHandovers } from './archive.js'
import { createHandoverCollector, type HandoverCollector } from './collector.js'
import type { HandoverMessage } from './message.js'

const networkId = keccak256(toHex('handover test'))
const keys = [0, 1, 2, 3, 4].map((n) => keccak256(toHex(`handover ${n}`)))
const SLOT_MS = 1_000
const feeds = [{ name: 'ETH/USD', exponent: -8 }]
const nodesOf = (places: readonly number[]) =>
  places.map((place) => ({ url: `http://node-${place}`, signer: privateKeyToAddress(keys[place]!) }))
const outgoing = { networkId, oracle: { epoch: 1, slotMs: SLOT_MS, feeds, nodes: nodesOf([0, 1, 2, 3]) } }
const succession: Succession = {
  oracle: { epoch: 2, slotMs: SLOT_MS, feeds, nodes: nodesOf([4, 1, 2, 3]) },
  firstSeq: 100,
  lastSeq: 1_000,
  useAges: [120],
}
const other: Succession = { ...succession, firstSeq: 101 }
const logger = createLogger({ name: 'test', level: 'silent' })

interface Peer {
  collector: HandoverCollector
  journal: Journal
  archive: HandoverArchive
  /** Signatures that left it. */
  signed: Set<string>
}

let dir: string
let peers: Map<number, Peer>
let isRevoked: boolean
/** Messages under way. */
let posts: Promise<unknown>[]
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'clearspan-handover-'))
  peers = new Map()
  isRevoked = false
  posts = []
})
afterEach(async () => {
  for (const { journal } of peers.values()) await journal.close()
  await rm(dir, { recursive: true, force: true })
})

async function enter(index: number, configured = succession, change: Partial<Signer> = {}): Promise<Peer> {
  await peers.get(index)?.journal.close()
  const signer = { ...createSigner(keys[index]!), ...change }
  const dataDir = join(dir, String(index))
  const journal = await openJournal({ dataDir, networkId, signer: signer.address })
  const archive = await openHandovers(dataDir)
  const signed = new Set<string>()
  const tell = async (message: HandoverMessage) => {
    if (message.signature) signed.add(message.digest)
    for (const [at, { collector }] of peers)
      if (at !== index) posts.push(collector.receive(index, JSON.parse(JSON.stringify(message))))
  }
  const collector = createHandoverCollector({
    outgoing,
    index,
    succession: configured,
    signer,
    journal,
    archive,
    isRevoked: () => isRevoked,
    tell,
    fetchFinished: async (peer) => peers.get(peer)?.archive.get(2),
    logger,
  })
  const peer = { collector, journal, archive, signed }
  peers.set(index, peer)
  return peer
}

/** One slot of everybody, until nothing is under way. */
async function step(...only: number[]) {
  for (const [index, { collector }] of peers)
    if (only.length === 0 || only.includes(index)) await collector.step()
  for (let post = posts.shift(); post; post = posts.shift()) await post
}
const states = () => [...peers.values()].map(({ collector }) => collector.status().state)
const finishedOf = (peer: Peer) => peer.archive.get(2)

describe('handover', () => {
  it('is signed by a quorum that its operators have configured, and every node has it', async () => {
    for (const index of [0, 1, 2]) await enter(index)
    await step()
    await step()
    expect(states()).toEqual(['finished', 'finished', 'finished'])
    for (const peer of peers.values()) {
      const handover = finishedOf(peer)!
      await verifyHandover(handover, outgoing.oracle, networkId)
      expect(handover).toMatchObject(succession)
      expect(peer.journal.successors()).toMatchObject([{ epoch: 2, firstSeq: 100n }])
    }
    // The last one is configured after all have finished: it takes what they serve.
    const late = await enter(3)
    for (let slot = 0; slot < 4; slot++) await step(3)
    expect(finishedOf(late)).toEqual(finishedOf(peers.get(0)!))
  })

  it('is signed by nobody whose epoch is revoked, and binds nobody then', async () => {
    isRevoked = true
    for (const index of [0, 1, 2]) await enter(index)
    for (let slot = 0; slot < 3; slot++) await step()
    expect(states()).toEqual(['announced', 'announced', 'announced'])
    for (const { signed, journal } of peers.values()) expect([...signed, ...journal.successors()]).toEqual([])
  })

  it('binds nobody before a quorum is configured alike: operators who disagree can still mend it', async () => {
    for (const index of [0, 1]) await enter(index)
    for (const index of [2, 3]) await enter(index, other)
    await step()
    await step()
    expect(states()).toEqual(Array(4).fill('announced'))
    expect(
      [...peers.values()].flatMap(({ signed, journal }) => [...signed, ...journal.successors()]),
    ).toEqual([])
    expect(peers.get(0)!.collector.status()).toMatchObject({ agreeing: [0, 1], differing: [2, 3] })
    await enter(2)
    await step()
    await step()
    expect([0, 1, 2, 3].map((index) => peers.get(index)!.collector.status().state)).toEqual([
      'finished',
      'finished',
      'finished',
      'announced',
    ])
    expect(peers.get(3)!.signed.size).toBe(0)
  })

  it('is never signed for another one after a restart, and for the same one at any time', async () => {
    for (const index of [0, 1, 2]) await enter(index)
    // Signatures are out, and what they made together is lost.
    await Promise.all([0, 1, 2].map((index) => peers.get(index)!.collector.step()))
    await Promise.all(posts.splice(0))
    expect(peers.get(0)!.journal.successors()).toHaveLength(1)
    await rm(join(dir, '0', 'handovers'), { recursive: true })
    for (const index of [1, 2]) {
      await peers.get(index)!.journal.close()
      peers.delete(index)
    }
    const changed = await enter(0, other)
    await enter(1, other)
    await enter(2, other)
    await step()
    await step()
    expect(changed.signed.size).toBe(0)
    expect(changed.journal.successors()).toMatchObject([{ firstSeq: 100n }])
    // What was signed before is signed again.
    const back = await enter(0)
    await step(0)
    await step(0)
    expect(back.signed.size).toBe(1)
  })

  it('is not signed by a node that has signed a report of its slots, which takes what the others finish', async () => {
    for (const index of [0, 1, 2, 3]) await enter(index)
    const { journal, signed, collector } = peers.get(0)!
    await journal.commit('report', 100n, keccak256('0x'))
    await peers.get(1)!.journal.commit('observation', 100n, keccak256('0x'))
    for (const peer of [1, 2, 3]) {
      const { digest } = collector.status()
      await collector.receive(peer, { epoch: 2, digest, signature: null })
    }
    expect(collector.status().state).toBe('refused')
    await step()
    await step()
    expect(signed.size).toBe(0)
    expect(states()).toEqual(Array(4).fill('finished'))
  })

  it('does without a faulty node, whatever that one says', async () => {
    for (const index of [0, 1, 2]) await enter(index)
    const { collector } = peers.get(0)!
    const { digest } = collector.status()
    const lies = [
      null,
      { epoch: 2, digest, signature: '0x' },
      { epoch: 2, digest, signature: `0x${'11'.repeat(64)}` },
      { epoch: 3, digest, signature: null },
      { epoch: 2, digest: keccak256('0x'), signature: null },
    ]
    const said = []
    for (const lie of lies) said.push(await collector.receive(3, lie))
    expect(said.map(({ status }) => status)).toEqual([
      'rejected',
      'rejected',
      'rejected',
      'ignored',
      'ignored',
    ])
    await step()
    await step()
    expect(states()).toEqual(Array(3).fill('finished'))
  })

  it('what is served as finished counts only with a quorum of signatures on what is configured', async () => {
    for (const index of [0, 1, 2]) await enter(index)
    await step()
    await step()
    const real = finishedOf(peers.get(0)!)!
    const forged = { ...real, signatures: `0x${real.signatures.slice(2, -2)}00` as const }
    const late = await enter(3)
    for (const serves of [undefined, { ...real, firstSeq: 90 }, forged]) {
      for (const index of [0, 1, 2]) peers.get(index)!.archive.get = () => serves
      for (let slot = 0; slot < 4; slot++) await step(3)
      expect(finishedOf(late)).toBeUndefined()
    }
  })
})
