import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { UserError } from '@clearspan/shared'
import { type Hex, keccak256, toHex } from 'viem'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Journal, openJournal } from './journal.js'

const networkId = keccak256(toHex('network'))
const signer: Hex = '0x00000000000000000000000000000000000000aa'
const digest = (name: string) => keccak256(toHex(name))

let dataDir: string
const opened: Journal[] = []
const open = async (change: object = {}) => {
  const journal = await openJournal({ dataDir, networkId, signer, ...change })
  opened.push(journal)
  return journal
}

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'clearspan-journal-'))
})
afterEach(async () => {
  await Promise.allSettled(opened.splice(0).map((journal) => journal.close()))
  await rm(dataDir, { recursive: true, force: true })
})

describe('an epoch that a node has signed for', () => {
  const two = { epoch: 2, firstSeq: 100n, digest: digest('two') }

  it('stays the only one with its number, through restarts and compactions', async () => {
    const journal = await open()
    expect(await journal.commitSuccessor(two)).toBe(true)
    expect(await journal.commitSuccessor({ ...two, digest: digest('another') })).toBe(false)
    // Far beyond what is remembered of slots.
    for (const seq of [5n, 5_000n]) expect(await journal.commit('report', seq, digest('a'))).toBe(true)
    await journal.close()
    for (let start = 0; start < 2; start++) {
      const restarted = await open()
      expect(restarted.successors()).toEqual([two])
      expect(await restarted.commitSuccessor({ ...two, digest: digest('another') })).toBe(false)
      expect(await restarted.commitSuccessor(two)).toBe(true)
      await restarted.close()
    }
    const last = await open()
    expect(await last.commitSuccessor({ ...two, epoch: 3, firstSeq: 6_000n })).toBe(true)
    expect(last.successors()).toHaveLength(2)
  })

  it('takes no slot whose report is signed, or so old that it may have been', async () => {
    const journal = await open()
    await journal.commit('report', 100n, digest('a'))
    await journal.commit('observation', 101n, digest('a'))
    expect(await journal.commitSuccessor(two)).toBe(false)
    expect(journal.successors()).toEqual([])
    expect(await journal.commitSuccessor({ ...two, firstSeq: 101n })).toBe(true)
    await journal.commit('observation', 5_000n, digest('a'))
    await journal.close()
    const restarted = await open()
    expect(await restarted.commitSuccessor({ ...two, epoch: 3, firstSeq: 4_700n })).toBe(false)
    expect(await restarted.commitSuccessor({ ...two, epoch: 3, firstSeq: 4_800n })).toBe(true)
  })
})

describe('what a node has signed', () => {
  it('binds it to one digest a slot and kind, also when asked twice at once', async () => {
    const journal = await open()
    const [first, second] = await Promise.all([
      journal.commit('report', 5n, digest('a')),
      journal.commit('report', 5n, digest('b')),
    ])
    expect([first, second]).toEqual([true, false])
    expect(await journal.commit('report', 5n, digest('a'))).toBe(true)
    expect(await journal.commit('observation', 5n, digest('b'))).toBe(true)
    expect(await journal.commit('report', 6n, digest('b'))).toBe(true)
  })

  it('still binds it after a crash, even one in the middle of a write', async () => {
    const journal = await open()
    await journal.commit('report', 5n, digest('a'))
    // No close: the process was killed, while it wrote the next line.
    await appendFile(join(dataDir, 'signed.jsonl'), '{"kind":"report","seq":"6","dig')
    const restarted = await open()
    expect(await restarted.commit('report', 5n, digest('b'))).toBe(false)
    expect(await restarted.commit('report', 5n, digest('a'))).toBe(true)
    expect(await restarted.commit('report', 6n, digest('b'))).toBe(true)
    expect(await (await open()).commit('report', 6n, digest('a'))).toBe(false)
  })

  it('stays short, and refuses slots that it forgot', async () => {
    const journal = await open()
    await journal.commit('report', 1n, digest('a'))
    await journal.commit('report', 1_000n, digest('a'))
    const restarted = await open()
    expect(await readFile(join(dataDir, 'signed.jsonl'), 'utf8')).not.toContain('"seq":"1"')
    expect(await restarted.commit('report', 1n, digest('b'))).toBe(false)
    expect(await restarted.commit('report', 743n, digest('b'))).toBe(false)
    expect(await restarted.commit('report', 744n, digest('b'))).toBe(true)
    expect(await (await open()).commit('report', 743n, digest('b'))).toBe(false)
  })

  it('grows neither on disk nor in what it must read back, however long it runs', async () => {
    const journal = await open()
    const path = join(dataDir, 'signed.jsonl')
    const slots = 3_000
    for (let from = 0; from < slots; from += 500) {
      const seqs = Array.from({ length: 500 }, (_, at) => BigInt(from + at))
      const taken = await Promise.all(seqs.map((seq) => journal.commit('report', seq, digest('a'))))
      expect(taken).toEqual(seqs.map(() => true))
    }
    expect((await readFile(path, 'utf8')).split('\n').length).toBeLessThan(2_500)
    expect(await journal.commit('report', 1n, digest('b'))).toBe(false)
    expect(await journal.commit('report', BigInt(slots - 1), digest('b'))).toBe(false)
    const restarted = await open()
    expect(await restarted.commit('report', BigInt(slots - 1), digest('b'))).toBe(false)
    expect(await restarted.commit('report', BigInt(slots - 1), digest('a'))).toBe(true)
  })

  it('refuses the directory of another network or key, and a damaged file', async () => {
    await (await open()).commit('report', 1n, digest('a'))
    await expect(open({ networkId: digest('other') })).rejects.toThrow(
      expect.objectContaining({ field: 'dataDir' }),
    )
    await expect(open({ signer: '0x00000000000000000000000000000000000000bb' })).rejects.toThrow(UserError)
    const path = join(dataDir, 'signed.jsonl')
    const [header = ''] = (await readFile(path, 'utf8')).split('\n')
    await writeFile(path, `${header}\nnonsense\n`)
    await expect(open()).rejects.toThrow(expect.objectContaining({ field: `${path}:2` }))
  })
})
