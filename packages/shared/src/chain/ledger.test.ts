import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Address, pad } from 'viem'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { UserError } from '../errors.js'
import { type Ledger, type LedgerRecord, openLedger } from './ledger.js'

const signer: Address = pad('0xa1', { size: 20 })
const networkId = pad('0x1')
let directory: string
const opened: Ledger[] = []
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'clearspan-ledger-'))
})
afterEach(async () => {
  for (const ledger of opened.splice(0)) await ledger.close()
  await rm(directory, { recursive: true })
})

async function open(id = networkId): Promise<Ledger> {
  const ledger = await openLedger({ directory, networkId: id, chainId: 7, signer })
  opened.push(ledger)
  return ledger
}
const path = () => join(directory, `7-${signer}`, 'nonces.jsonl')
const word = (n: number) => pad(`0x${n.toString(16)}`)
const reserved = (nonce: number): LedgerRecord => ({ nonce, state: 'reserved', label: 'work' })
const signed = (nonce: number, version = 0): LedgerRecord => ({
  nonce,
  state: 'signed',
  hash: word(nonce * 10 + version + 1),
  raw: '0x02',
  maxFeePerGas: '10',
  maxPriorityFeePerGas: '1',
  cancels: version > 0,
})

it('keeps every version of a nonce until it is final, and forgets it then', async () => {
  const first = await open()
  expect([first.left, first.next]).toEqual([[], undefined])
  await first.append([reserved(3), signed(3)])
  await Promise.all([first.append([signed(3, 1)]), first.append([reserved(4), signed(4)])])
  await first.append([{ nonce: 4, state: 'final' }])
  await first.close()

  const second = await open()
  expect(second.next).toBe(5)
  expect(second.left.map(({ nonce, label }) => [nonce, label])).toEqual([[3, 'work']])
  const fees = { maxFeePerGas: 10n, maxPriorityFeePerGas: 1n }
  expect(second.left[0]?.candidates).toEqual([
    { nonce: 3, hash: word(31), raw: '0x02', cancels: false, fees },
    { nonce: 3, hash: word(32), raw: '0x02', cancels: true, fees },
  ])
})

it('what was reserved and never signed is nothing; what was mined is remembered with its block', async () => {
  const first = await open()
  await first.append([reserved(1), reserved(2), signed(2)])
  await first.append([{ nonce: 2, state: 'mined', hash: word(21), block: '9', blockHash: word(9) }])
  await first.close()
  const { left } = await open()
  expect(left.map(({ nonce, mined }) => [nonce, mined])).toEqual([
    [2, { hash: word(21), block: 9n, blockHash: word(9) }],
  ])
})

it('a tail torn by a crash is ignored; damage before it is refused by line', async () => {
  const first = await open()
  await first.append([reserved(1), signed(1)])
  await first.close()
  await appendFile(path(), '{"nonce":2,"state":"sig')
  const second = await open()
  expect(second.left.map(({ nonce }) => nonce)).toEqual([1])
  await second.close()
  const lines = (await readFile(path(), 'utf8')).split('\n')
  await writeFile(path(), [lines[0], 'garbage', ...lines.slice(1)].join('\n'))
  await expect(open()).rejects.toThrow(/nonces\.jsonl:2/)
})

it('belongs to one process and one network at a time', async () => {
  const first = await open()
  await expect(open()).rejects.toThrow(UserError)
  await first.append([reserved(1), signed(1)])
  await first.close()
  await expect(open(pad('0x2'))).rejects.toThrow(/another network/)
  // The refused one left no lock behind.
  expect((await open()).left).toHaveLength(1)
})

it('is replaced by what is open before it grows without bound', async () => {
  const first = await open()
  await first.append([reserved(0), signed(0)])
  for (let at = 1; at < 1_600; at += 100)
    await first.append(
      Array.from({ length: 100 }, (_, i) => [
        reserved(at + i),
        signed(at + i),
        { nonce: at + i, state: 'final' } as const,
      ]).flat(),
    )
  expect((await readFile(path(), 'utf8')).split('\n').length).toBeLessThan(4_200)
  await first.close()
  const second = await open()
  expect(second.left.map(({ nonce }) => nonce)).toEqual([0])
  expect(second.next).toBe(1_601)
  expect((await readFile(path(), 'utf8')).split('\n')).toHaveLength(4)
})

it('after a failed write nothing is taken any more', async () => {
  const ledger = await open()
  const circular = { ...reserved(1) } as LedgerRecord & { self?: unknown }
  circular.self = circular
  await expect(ledger.append([circular])).rejects.toThrow(TypeError)
  await expect(ledger.append([reserved(2)])).rejects.toThrow(TypeError)
})
