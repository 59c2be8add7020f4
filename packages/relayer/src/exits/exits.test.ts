import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { spokeGatewayAbi } from '@clearspan/contracts'
import {
  accountId,
  type ChainClient,
  encodeQuorum,
  exitTree,
  type Network,
  UserError,
} from '@clearspan/shared'
import { decodeFunctionData, type Hex, type Log, numberToHex, pad, RpcRequestError, zeroHash } from 'viem'
import { privateKeyToAddress } from 'viem/accounts'
import { expect, test } from 'vitest'
import { claimsOf } from './books.js'
import { exitCalls, openingCalls } from './calls.js'
import { type LastWordFile, lastWordFileSchema, lastWordText } from './file.js'
import { signLastWord } from './last-word.js'
import { accountsIn, logsUpTo } from './logs.js'
import { noteSigned } from './record.js'

const address = (n: number) => numberToHex(n, { size: 20 })
const account = (n: number) => accountId(numberToHex((0xa0n << 152n) + BigInt(n), { size: 20 }))
const keys = [1, 2, 3, 4, 5].map((n) => numberToHex(n, { size: 32 }))
const network = {
  networkId: zeroHash,
  oracle: { nodes: keys.slice(0, 4).map((key) => ({ url: '', signer: privateKeyToAddress(key) })) },
  chains: [7, 8].map((eid) => ({
    eid,
    name: `chain-${eid}`,
    contracts: { spokeGateway: address(eid), governance: address(100 + eid) },
    tokens: [{ symbol: 'USDC', address: address(1) }],
  })),
} as unknown as Network

function lastWord(): LastWordFile {
  const exits = [1, 2, 3].map((n) => ({
    eid: n === 3 ? 8 : 7,
    vaultEpoch: 1,
    account: account(n % 2),
    token: address(1),
    recipient: address(n),
    released: BigInt(n) * 2n ** 100n,
  }))
  const blocks = [7, 8].map((eid) => ({ eid, number: 5n, hash: zeroHash }))
  const root = exitTree(exits).root as Hex
  return { networkId: zeroHash, hubEpoch: 1, version: 2, hubTime: 1_700_000_000n, root, blocks, exits }
}

test('a row and a counter tell what is an account’s own, and what of its cash was never there', () => {
  const usdc = { settlement: true, decimals: 6 }
  const weth = { settlement: false, decimals: 18 }
  const none = { credited: 0n, immature: 0n, claim: 0n, kept: 0n, lien: 0n }
  expect(claimsOf(usdc, 50n, none), 'never heard of').toEqual({ own: 50n, missing: 0n })
  expect(claimsOf(usdc, 50n, { ...none, credited: 50n }), 'cash').toEqual({ own: 0n, missing: 0n })
  expect(claimsOf(usdc, 50n, { ...none, credited: 50n, immature: 20n, kept: 3n })).toEqual({
    own: 23n,
    missing: 0n,
  })
  expect(claimsOf(usdc, 30n, { ...none, credited: 50n, immature: 15n }), 'reorged away').toEqual({
    own: 0n,
    missing: 5n * 10n ** 12n,
  })
  expect(claimsOf(weth, 50n, { ...none, credited: 40n, claim: 25n, immature: 5n })).toEqual({
    own: 40n,
    missing: 0n,
  })
  expect(claimsOf(weth, 30n, { ...none, credited: 40n, claim: 25n }), 'of a claim').toEqual({
    own: 15n,
    missing: 0n,
  })
  expect(claimsOf(weth, 0n, { ...none, credited: 40n, claim: 25n }), 'no more than there was').toEqual({
    own: 0n,
    missing: 0n,
  })
  expect(claimsOf(usdc, 50n, { ...none, credited: 30n, lien: 15n }), 'others paid for it').toEqual({
    own: 5n,
    missing: 0n,
  })
})

test('accounts are found among what logs are indexed by', () => {
  const topics = [zeroHash, account(2), pad(address(5)), numberToHex(3, { size: 32 })]
  const logs = [{ topics }, { topics: [account(9), account(1), account(2)] }] as unknown as Log[]
  expect(accountsIn(logs)).toEqual([account(1), account(2)])
})

test('a range that a node refuses is asked for in halves, all of it once', async () => {
  const given: bigint[] = []
  const client = {
    async getLogs({ fromBlock, toBlock }: { fromBlock: bigint; toBlock: bigint }) {
      if (toBlock - fromBlock > 2n)
        throw new RpcRequestError({ url: '', body: {}, error: { code: -32_005, message: 'too many' } })
      const blocks = Array.from({ length: Number(toBlock - fromBlock) + 1 }, (_, i) => fromBlock + BigInt(i))
      given.push(...blocks)
      return blocks.map((blockNumber) => ({ blockNumber }))
    },
  } as unknown as ChainClient
  const logs = await logsUpTo(client, address(1), 20n)
  expect(logs.map(({ blockNumber }) => blockNumber)).toEqual(Array.from({ length: 21 }, (_, i) => BigInt(i)))
  expect(given).toHaveLength(21)
})

test('a last word is read as it was written, and refused with another root', () => {
  const word = lastWord()
  expect(lastWordFileSchema.parse(JSON.parse(lastWordText(word)))).toEqual(word)
  const { exits } = word
  const more = { ...word, exits: [{ ...exits[0]!, released: 1n }, ...exits.slice(1)] }
  expect(lastWordFileSchema.safeParse(JSON.parse(lastWordText(more))).success).toBe(false)
})

test('2f + 1 different nodes open the exits, by what they have signed', () => {
  const word = lastWord()
  const signed = keys.slice(0, 4).map((key) => signLastWord(word, network, key))
  const calls = openingCalls(word, network, signed.slice(1))
  expect(calls.map(({ chain, to }) => [chain, to])).toEqual([
    ['chain-7', address(107)],
    ['chain-8', address(108)],
  ])
  const { data } = decodeExecute(calls[0]!.execute)
  expect(decodeFunctionData({ abi: spokeGatewayAbi, data })).toEqual({
    functionName: 'openExits',
    args: [2, word.hubTime, word.root, encodeQuorum(signed.slice(1))],
  })
  const [one, two] = signed
  expect(() => openingCalls(word, network, [one!, two!, one!])).toThrow(UserError)
  expect(() => openingCalls(word, network, [...signed.slice(0, 2), { ...signed[2]!, signer: 3 }])).toThrow(
    UserError,
  )
  expect(() => openingCalls({ ...word, version: 3 }, network, signed)).toThrow(UserError)
  expect(() => signLastWord(word, network, keys[4]!)).toThrow(UserError)
})

/** What `Governance.execute(target, data)` is to call. */
function decodeExecute(data: Hex): { data: Hex } {
  const length = Number(`0x${data.slice(2 + 8 + 128, 2 + 8 + 192)}`)
  return { data: `0x${data.slice(2 + 8 + 192, 2 + 8 + 192 + 2 * length)}` }
}

test('an account finds its payouts on every chain, with proofs', () => {
  const word = lastWord()
  const calls = exitCalls(word, network, account(1))
  expect(calls.map(({ chain, token, recipient, to }) => [chain, token, recipient, to])).toEqual([
    ['chain-7', 'USDC', address(1), address(7)],
    ['chain-8', 'USDC', address(3), address(8)],
  ])
  const { args } = decodeFunctionData({ abi: spokeGatewayAbi, data: calls[1]!.data })
  const { eid: _, ...payout } = word.exits[2]!
  expect(args).toEqual([payout, exitTree(word.exits).getProof(2)])
  expect(() => exitCalls(word, network, account(7))).toThrow(UserError)
})

test('of each version one root is noted, once, before it is signed', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'clearspan-exits-'))
  try {
    const path = join(dir, 'signed.jsonl')
    const word = lastWord()
    await noteSigned(path, word)
    await noteSigned(path, word)
    await expect(noteSigned(path, { ...word, root: zeroHash })).rejects.toThrow('signed with another root')
    await noteSigned(path, { ...word, version: 3, root: zeroHash })
    const lines = (await readFile(path, 'utf8')).trim().split('\n')
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      { hubEpoch: 1, version: 2, root: word.root },
      { hubEpoch: 1, version: 3, root: zeroHash },
    ])
    await writeFile(path, '{"hubEpoch":1,"vers')
    await expect(noteSigned(path, word)).rejects.toThrow(UserError)
    await expect(noteSigned(join(dir, 'none', 'file'), word)).rejects.toThrow(UserError)
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
})
