import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type Address,
  type Hex,
  keccak256,
  numberToHex,
  type PrivateKeyAccount,
  pad,
  parseEther,
  parseGwei,
  RpcRequestError,
  recoverTransactionAddress,
} from 'viem'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { systemClock } from '../clock.js'
import { AlreadyDoneError, RetryableError, UserError } from '../errors.js'
import { createLogger } from '../logger.js'
import { createMetrics } from '../metrics.js'
import { seededRandom } from '../random.js'
import { startAnvil, type TestAnvil } from './anvil.test-util.js'
import { type ChainClient, createChainClient } from './client.js'
import { createSenderPool } from './pool.js'
import { createSender, type Sender } from './sender.js'

// Several signers of one chain as one, against a real node, and in front of it one that loses what a signer sends.
const CHAIN = 31337
const work = { to: pad('0xc0de', { size: 20 }), data: '0x', gas: 60_000n, label: 'work' } as const
const logger = createLogger({ name: 'test', level: 'silent' })

let anvil: TestAnvil
let client: ChainClient
/** Whose transactions the node takes and never has again. */
const swallowed = new Set<Address>()
/** What else befalls a transaction on its way. */
let faults: () => 'swallow' | 'lose the answer' | 'refuse' | undefined = () => undefined
let senders: Sender[] = []

beforeAll(async () => {
  anvil = await startAnvil('--no-mining')
  const direct = createChainClient({ chainId: CHAIN, rpcUrls: [anvil.url], blockMs: 40 })
  client = anvil.through(direct, async (method, forward, params) => {
    if (method !== 'eth_sendRawTransaction') return forward()
    const [raw] = params as [`0x02${string}`]
    const from = await recoverTransactionAddress({ serializedTransaction: raw })
    const fault = swallowed.has(from) ? 'swallow' : faults()
    if (fault === 'swallow') return keccak256(raw)
    if (fault === 'refuse')
      throw new RpcRequestError({ body: {}, url: '', error: { code: -32_000, message: 'no' } })
    const hash = await forward()
    if (fault === 'lose the answer') throw new Error('connection reset')
    return hash
  })
  await anvil.control.mine({ blocks: 1 })
})
afterEach(async () => {
  swallowed.clear()
  faults = () => undefined
  for (const sender of senders) await sender.close()
  senders = []
  await anvil.dropAll()
})
afterAll(() => anvil.stop())

async function open(account: PrivateKeyAccount, ledger?: { directory: string; networkId: Hex }) {
  await anvil.control.setBalance({ address: account.address, value: parseEther('10') })
  const sender = createSender({
    client,
    account,
    chainId: CHAIN,
    clock: systemClock,
    logger,
    metrics: createMetrics(),
    stuckAfterMs: 60,
    caps: { maxFeePerGas: parseGwei('500'), maxPriorityFeePerGas: parseGwei('5') },
    pollMs: 10,
    handsOver: true,
    ledger,
  })
  senders.push(sender)
  return sender
}
const newAccount = () => privateKeyToAccount(generatePrivateKey())
async function pool(size: number) {
  const members = await Promise.all(Array.from({ length: size }, () => open(newAccount())))
  return { members, pooled: createSenderPool(members, systemClock) }
}
const mine = () => anvil.control.mine({ blocks: 1 })
/** Blocks until the work is done. */
async function mining<T>(work: Promise<T>): Promise<T> {
  const timer = setInterval(() => void mine(), 20)
  return work.finally(() => clearInterval(timer))
}
const failure = (sending: Promise<unknown>) => sending.catch((error: unknown) => error)

test('what is sent at once is spread, and each signer counts its own nonces', async () => {
  const { members, pooled } = await pool(3)
  const sending = Promise.all(Array.from({ length: 6 }, () => pooled.send(work)))
  await expect.poll(() => pooled.inFlight()).toBe(6)
  expect(members.map((member) => member.inFlight())).toEqual([2, 2, 2])
  const sent = await mining(sending)
  expect(sent.map(({ nonce }) => nonce).sort()).toEqual([0, 0, 0, 1, 1, 1])
})

test('a batch stays with one signer, in its order', async () => {
  const { members, pooled } = await pool(2)
  const sending = pooled.sendMany([work, work, work])
  await expect.poll(() => pooled.inFlight()).toBe(3)
  expect(members.map((member) => member.inFlight()).sort()).toEqual([0, 3])
  const results = await mining(sending)
  expect(results.map((one) => one.status === 'fulfilled' && one.value.nonce)).toEqual([0, 1, 2])
})

test('what waits for a signer whose transactions are never mined is left to the others, and it gets nothing more', async () => {
  const { members, pooled } = await pool(2)
  const [stuck, healthy] = members as [Sender, Sender]
  swallowed.add(stuck.address)
  const waiting = [failure(stuck.send(work)), failure(stuck.send(work))]
  const told = await mining(Promise.all(waiting))
  expect(told.every((error) => error instanceof RetryableError)).toBe(true)
  expect([stuck.isStuck(), healthy.isStuck(), pooled.isStuck()]).toEqual([true, false, false])
  expect(pooled.address).toBe(healthy.address)
  await mining(Promise.all([pooled.send(work), pooled.send(work), pooled.send(work)]))
  expect(await client.getTransactionCount({ address: healthy.address })).toBe(3)
  // Its nonces are used up by transfers of nothing, and it works again.
  swallowed.clear()
  await mining(expect.poll(() => stuck.isStuck()).toBe(false))
  await mining(expect.poll(() => stuck.inFlight()).toBe(0))
  expect((await mining(stuck.send(work))).receipt.status).toBe('success')
})

test('a chain without new blocks hands nothing over', async () => {
  const { members, pooled } = await pool(2)
  const sending = pooled.send(work)
  await expect.poll(() => pooled.inFlight()).toBe(1)
  const started = systemClock.now()
  await expect.poll(() => systemClock.now() - started).toBeGreaterThan(400)
  expect(members.some((member) => member.isStuck())).toBe(false)
  await mining(sending)
})

test('what only one may do waits for its own signer, and is told once its nonce is used up', async () => {
  const { members } = await pool(2)
  const [stuck] = members as [Sender]
  swallowed.add(stuck.address)
  let ended = false
  const exclusive = failure(stuck.send({ ...work, exclusive: true })).finally(() => {
    ended = true
  })
  await mining(expect.poll(() => stuck.isStuck()).toBe(true))
  expect(ended).toBe(false)
  swallowed.clear()
  await mining(exclusive)
  expect(stuck.inFlight()).toBe(0)
})

test('with every signer stuck nothing is sent: the same work is in flight once a signer at most', async () => {
  const { members, pooled } = await pool(2)
  for (const { address } of members) swallowed.add(address)
  await mining(failure(pooled.send(work)))
  await mining(failure(pooled.send(work)))
  expect(pooled.isStuck()).toBe(true)
  await expect(pooled.send(work)).rejects.toThrow(RetryableError)
  expect(pooled.inFlight()).toBe(2)
})

test('a signer that a node refuses rests, the others work', async () => {
  const { members, pooled } = await pool(2)
  const [poor, rich] = members as [Sender, Sender]
  await anvil.control.setBalance({ address: poor.address, value: 1n })
  expect(pooled.address).toBe(poor.address)
  await expect(mining(pooled.send(work))).rejects.toThrow(RetryableError)
  for (const _ of [1, 2, 3]) await mining(pooled.send(work))
  expect(await client.getTransactionCount({ address: rich.address })).toBe(3)
})

/** Marks its first argument as done; reverts when it is. */
const ONCE_EACH = '0x6000358054600d5760019055005b60006000fd'

test.each([1, 2, 3])(
  'with a node that fails at random, several signers do each work once and lose none (seed %i)',
  async (seed) => {
    const random = seededRandom(seed)
    const to = pad(numberToHex(0xace0 + seed), { size: 20 })
    await anvil.control.setCode({ address: to, bytecode: ONCE_EACH })
    faults = () =>
      (['swallow', 'lose the answer', 'refuse', undefined, undefined] as const)[Math.floor(random.next() * 5)]
    const { pooled } = await pool(3)
    const from = await client.getBlockNumber()
    const doOnce = async (item: number) => {
      for (;;) {
        try {
          const data = pad(numberToHex(item))
          return await pooled.send({ to, data, gas: 60_000n, label: 'item', classify: () => 'already-done' })
        } catch (error) {
          if (error instanceof AlreadyDoneError) return
          if (!(error instanceof RetryableError)) throw error
          await systemClock.sleep(5)
        }
      }
    }
    await mining(Promise.all(Array.from({ length: 12 }, (_, item) => doOnce(item + 1))))
    faults = () => undefined
    await mining(expect.poll(() => pooled.inFlight()).toBe(0))
    // Successful calls of it, counted from the chain.
    let done = 0
    const last = await client.getBlockNumber()
    for (let at = from + 1n; at <= last; at++) {
      const { transactions } = await client.getBlock({ blockNumber: at })
      const receipts = await Promise.all(transactions.map((hash) => client.getTransactionReceipt({ hash })))
      done += receipts.filter((one) => one.to === to && one.status === 'success').length
    }
    expect(done).toBe(12)
    for (let item = 1; item <= 12; item++)
      expect(BigInt((await client.getStorageAt({ address: to, slot: pad(numberToHex(item)) })) ?? 0)).toBe(1n)
  },
)

test('a signer whose ledger another process holds is refused', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'clearspan-pool-'))
  const ledger = { directory, networkId: pad('0x1') } as const
  const shared = newAccount()
  const first = createSenderPool([await open(shared, ledger), await open(newAccount(), ledger)], systemClock)
  await first.start()
  const second = createSenderPool([await open(newAccount(), ledger), await open(shared, ledger)], systemClock)
  await expect(second.start()).rejects.toThrow(UserError)
  await first.close()
  await second.close()
  await rm(directory, { recursive: true })
})
