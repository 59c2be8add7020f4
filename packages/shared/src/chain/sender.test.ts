import {
  type Abi,
  encodeErrorResult,
  encodeFunctionData,
  type Hex,
  parseAbi,
  parseEther,
  parseGwei,
} from 'viem'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { systemClock } from '../clock.js'
import { AlreadyDoneError, PermanentError, RetryableError } from '../errors.js'
import { createLogger } from '../logger.js'
import { createMetrics } from '../metrics.js'
import { type Intercept, startAnvil, type TestAnvil } from './anvil.test-util.js'
import { type ChainClient, createChainClient } from './client.js'
import { createSender, type Sender } from './sender.js'

const CHAIN = 31337
const STUCK_MS = 150
const caps = { maxFeePerGas: parseGwei('500'), maxPriorityFeePerGas: parseGwei('5') }
const logger = createLogger({ name: 'test', level: 'silent' })
const abi = parseAbi(['function poke(uint256 fail)', 'error NotReady(uint256 at)', 'error Done()'])
const poke = (fail: bigint) => encodeFunctionData({ abi, functionName: 'poke', args: [fail] })
const selector = (data: Hex) => data.slice(2, 10)

/** Reverts with NotReady(its argument) unless that is 0. */
const PICKY =
  `0x60043580600857005b63${selector(encodeErrorResult({ abi, errorName: 'NotReady', args: [0n] }))}60e01b60005260045260246000fd` as const
/** Works once, then reverts with Done(). */
const ONCE =
  `0x600054600c576001600055005b63${selector(encodeErrorResult({ abi, errorName: 'Done' }))}60e01b60005260046000fd` as const
const picky = '0x00000000000000000000000000000000000c0de1' as const
const once = '0x00000000000000000000000000000000000c0de2' as const

let anvil: TestAnvil
let client: ChainClient
let senders: Sender[] = []
beforeAll(async () => {
  anvil = await startAnvil('--no-mining')
  client = createChainClient({ chainId: CHAIN, rpcUrls: [anvil.url], blockMs: 40 })
  await anvil.control.setCode({ address: picky, bytecode: PICKY })
  await anvil.control.setCode({ address: once, bytecode: ONCE })
  await anvil.control.mine({ blocks: 1 })
})
afterEach(async () => {
  for (const sender of senders) await sender.close()
  senders = []
  await anvil.dropAll()
})
afterAll(() => anvil.stop())

async function open(through: ChainClient = client, stuckAfterMs = STUCK_MS, limits = caps) {
  const account = privateKeyToAccount(generatePrivateKey())
  await anvil.control.setBalance({ address: account.address, value: parseEther('10') })
  const metrics = createMetrics()
  const sender = createSender({
    client: through,
    account,
    chainId: CHAIN,
    clock: systemClock,
    logger,
    metrics,
    stuckAfterMs,
    caps: limits,
    pollMs: 10,
  })
  senders.push(sender)
  return { sender, account, metrics }
}
const mine = () => anvil.control.mine({ blocks: 1 })
const pooled = (pending: number, queued = 0) =>
  expect.poll(() => anvil.control.getTxpoolStatus()).toEqual({ pending, queued })
const work = { to: picky, data: poke(0n), gas: 60_000n, label: 'work' } as const

const unreliable = (intercept: Intercept) => anvil.through(client, intercept)

test('a send is estimated, mined in the first possible block, and timed', async () => {
  const { sender, metrics } = await open()
  const head = await client.getBlockNumber()
  const sending = sender.send({ to: picky, data: poke(0n), label: 'work' })
  await pooled(1)
  await mine()
  const sent = await sending
  expect(sent).toMatchObject({ nonce: 0, firstPossibleBlock: head + 1n, missedFirstBlock: false })
  expect(sent.receipt.status).toBe('success')
  expect(sent.readyAt <= sent.broadcastAt && sent.broadcastAt <= sent.minedAt).toBe(true)
  expect(sender.inFlight()).toBe(0)
  expect(await metrics.text()).toMatch(/transactions_total\{.*outcome="mined".*\} 1/)
})

test('concurrent sends take consecutive nonces and share a block', async () => {
  const { sender } = await open()
  const sending = Promise.all([
    sender.send(work),
    sender.send(work),
    sender.send({ ...work, simulate: true }),
  ])
  await pooled(3)
  await mine()
  const sent = await sending
  expect(sent.map(({ nonce }) => nonce).sort()).toEqual([0, 1, 2])
  expect(new Set(sent.map(({ receipt }) => receipt.blockNumber)).size).toBe(1)
})

test('sendMany keeps the order, and one bad item fails alone', async () => {
  const { sender } = await open()
  const sending = sender.sendMany([
    work,
    { to: picky, data: poke(7n), label: 'bad', abi },
    // More gas than a block holds: the node refuses it after it had a nonce.
    { ...work, gas: 10n ** 10n },
    work,
  ])
  await pooled(3)
  await mine()
  const [first, bad, refused, last] = await sending
  expect(first).toMatchObject({ status: 'fulfilled', value: { nonce: 0 } })
  expect(bad).toMatchObject({ status: 'rejected', reason: { cause: { name: 'NotReady', args: [7n] } } })
  expect(refused).toMatchObject({ status: 'rejected' })
  expect(refused?.status === 'rejected' && refused.reason).toBeInstanceOf(PermanentError)
  expect(last).toMatchObject({ status: 'fulfilled', value: { nonce: 2 } })
  const next = sender.send(work)
  await pooled(1)
  await mine()
  expect((await next).nonce).toBe(3)
})

test.each([
  ['estimated', { gas: undefined, simulate: false }],
  ['simulated', { gas: 60_000n, simulate: true }],
  ['mined', { gas: 60_000n, simulate: false }],
])('a revert that is %s is decoded and judged by the caller', async (_, { gas, simulate }) => {
  const { sender } = await open()
  const seen: unknown[] = []
  const request = {
    to: picky,
    data: poke(5n),
    simulate,
    label: 'poke',
    abi: abi as Abi,
    classify: (revert: { name: string | undefined; args: readonly unknown[] }) => {
      seen.push([revert.name, revert.args])
      return 'permanent' as const
    },
    ...(gas === undefined ? {} : { gas }),
  }
  const failing = sender.send(request).catch((error: unknown) => error)
  if (gas !== undefined && !simulate) {
    await pooled(1)
    await mine()
  }
  const error = await failing
  expect(error).toBeInstanceOf(PermanentError)
  expect(error).toMatchObject({ message: 'poke reverted with NotReady(5)' })
  expect(seen).toEqual([['NotReady', [5n]]])
})

test('losing a race in the same block is already done', async () => {
  const { sender } = await open()
  const request = {
    ...work,
    to: once,
    abi,
    classify: ({ name }: { name: string | undefined }) =>
      name === 'Done' ? ('already-done' as const) : ('retryable' as const),
  }
  const sending = sender.sendMany([request, request])
  await pooled(2)
  await mine()
  const [winner, loser] = await sending
  expect(winner?.status).toBe('fulfilled')
  expect(loser?.status === 'rejected' && loser.reason).toBeInstanceOf(AlreadyDoneError)
})

test('a transaction stuck below the base fee is replaced and mined', async () => {
  const { sender, metrics } = await open()
  const sending = sender.send(work)
  await pooled(1)
  await anvil.control.setNextBlockBaseFeePerGas({ baseFeePerGas: parseGwei('50') })
  await mine()
  expect(sender.inFlight()).toBe(1)
  await expect.poll(() => metrics.text()).toMatch(/replacements_total\{.*\} 1/)
  await anvil.control.setNextBlockBaseFeePerGas({ baseFeePerGas: parseGwei('50') })
  await mine()
  const { receipt, missedFirstBlock } = await sending
  expect(receipt.status).toBe('success')
  expect(missedFirstBlock).toBe(true)
})

test('a transaction that the pool takes but no block can hold is cancelled, and frees those behind it', async () => {
  const { sender, metrics } = await open()
  // Below what its calldata costs; anvil finds that out only when it builds a block.
  const [stuck, behind] = [sender.send({ ...work, gas: 21_000n }), sender.send(work)]
  const failed = stuck.catch((error: unknown) => error)
  await pooled(2)
  const mining = setInterval(() => void mine(), 20)
  try {
    expect(await failed).toBeInstanceOf(RetryableError)
    expect((await behind).receipt.status).toBe('success')
  } finally {
    clearInterval(mining)
  }
  expect(await metrics.text()).toMatch(/outcome="cancelled".*\} 1/)
})

test('a chain without new blocks costs no replacement', async () => {
  const { sender, metrics } = await open(client, 20)
  const sending = sender.send(work)
  await pooled(1)
  const nonce = { address: sender.address, blockTag: 'latest' as const }
  const started = systemClock.now()
  await expect.poll(() => systemClock.now() - started, { interval: 20 }).toBeGreaterThan(100)
  expect(await client.getTransactionCount(nonce)).toBe(0)
  expect(await metrics.text()).not.toMatch(/replacements_total\{/)
  await mine()
  await sending
})

test('transactions that the node dropped are offered again', async () => {
  const { sender } = await open()
  const sending = sender.sendMany([work, work, work])
  await pooled(3)
  await anvil.dropAll()
  await pooled(0)
  await pooled(3)
  await mine()
  expect((await sending).map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'fulfilled'])
})

test('a nonce gap below the ledger is filled, and the transaction behind it mined', async () => {
  const { sender } = await open()
  const before = await anvil.control.snapshot()
  const first = sender.send(work)
  await pooled(1)
  await mine()
  await first
  // A deep reorg: the first is gone from the chain and from every pool.
  await anvil.control.revert({ id: before })
  await anvil.dropAll()
  const second = sender.send(work)
  await pooled(2)
  await mine()
  expect((await second).nonce).toBe(1)
  await expect.poll(() => sender.inFlight()).toBe(0)
})

test('a nonce that another took is read again; one taken while in flight is retryable', async () => {
  const { sender, account } = await open()
  const rival = async (nonce: number) => {
    const fees = { maxFeePerGas: parseGwei('100'), maxPriorityFeePerGas: parseGwei('20') }
    const serializedTransaction = await account.signTransaction({
      type: 'eip1559',
      chainId: CHAIN,
      nonce,
      to: account.address,
      gas: 21_000n,
      ...fees,
    })
    await client.sendRawTransaction({ serializedTransaction })
  }
  const first = sender.send(work)
  await pooled(1)
  await mine()
  await first
  await rival(1)
  await mine()
  const second = sender.send(work)
  await pooled(1)
  await mine()
  expect((await second).nonce).toBe(2)

  const third = sender.send(work).catch((error: unknown) => error)
  await pooled(1)
  await rival(3)
  await mine()
  expect(await third).toBeInstanceOf(RetryableError)
  expect(sender.inFlight()).toBe(0)
})

test('a lost answer is no lost transaction, and no second one', async () => {
  let lose = true
  const node = unreliable(async (method, forward) => {
    const result = await forward()
    if (method === 'eth_sendRawTransaction' && lose) {
      lose = false
      throw new Error('connection reset')
    }
    return result
  })
  const { sender } = await open(node)
  const sending = sender.send(work)
  await pooled(1)
  await mine()
  expect((await sending).nonce).toBe(0)
  expect(await client.getTransactionCount({ address: sender.address })).toBe(1)
})

test('a retry that the node calls a duplicate is no second transaction', async () => {
  const node = unreliable(async (method, forward) => {
    if (method === 'eth_sendRawTransaction') await forward()
    return forward()
  })
  const { sender } = await open(node)
  const sending = sender.send(work)
  await pooled(1)
  await mine()
  expect((await sending).nonce).toBe(0)
  expect(await client.getTransactionCount({ address: sender.address })).toBe(1)
})

test('a transaction that never arrived is offered again with its nonce', async () => {
  let down = true
  const node = unreliable((method, forward) =>
    method === 'eth_sendRawTransaction' && down ? Promise.reject(new Error('unreachable')) : forward(),
  )
  const { sender } = await open(node)
  const sending = sender.send(work)
  await expect.poll(() => sender.inFlight()).toBe(1)
  down = false
  await pooled(1)
  await mine()
  expect((await sending).nonce).toBe(0)
})

test('a base fee above the cap, and a node that is down, are retryable and take no nonce', async () => {
  const { sender } = await open(client, STUCK_MS, { maxFeePerGas: 1n, maxPriorityFeePerGas: 1n })
  await expect(sender.send(work)).rejects.toThrow(RetryableError)
  const down = createChainClient({ chainId: CHAIN, rpcUrls: ['http://127.0.0.1:1'], blockMs: 40 })
  const { sender: other } = await open(down)
  await expect(other.send(work)).rejects.toThrow(RetryableError)
  expect(sender.inFlight() + other.inFlight()).toBe(0)
})

test('close rejects what is in flight, and what comes later', async () => {
  const { sender } = await open()
  const sending = sender.send(work).catch((error: unknown) => error)
  await pooled(1)
  await sender.close()
  expect(await sending).toBeInstanceOf(RetryableError)
  await expect(sender.send(work)).rejects.toThrow(RetryableError)
})
