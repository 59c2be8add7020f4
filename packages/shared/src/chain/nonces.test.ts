import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type Hex,
  keccak256,
  type PrivateKeyAccount,
  pad,
  parseEther,
  parseGwei,
  parseTransaction,
  RpcRequestError,
} from 'viem'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { systemClock } from '../clock.js'
import { PermanentError, RetryableError } from '../errors.js'
import { createLogger } from '../logger.js'
import { createMetrics } from '../metrics.js'
import { type Intercept, startAnvil, type TestAnvil } from './anvil.test-util.js'
import { type ChainClient, createChainClient } from './client.js'
import { createSender, type Sender } from './sender.js'

// The nonce ledger against a real chain: restarts, reorgs, and what users of other relayers have reported.
const CHAIN = 31337
const networkId = pad('0x1')
const caps = { maxFeePerGas: parseGwei('500'), maxPriorityFeePerGas: parseGwei('5') }
const work = { to: pad('0xc0de', { size: 20 }), data: '0x', gas: 60_000n, label: 'work' } as const

let anvil: TestAnvil
let client: ChainClient
let directory: string
const senders: Sender[] = []
beforeAll(async () => {
  anvil = await startAnvil('--no-mining')
  client = createChainClient({ chainId: CHAIN, rpcUrls: [anvil.url], blockMs: 40 })
  await anvil.control.mine({ blocks: 20 })
  directory = await mkdtemp(join(tmpdir(), 'clearspan-nonces-'))
})
afterEach(async () => {
  for (const sender of senders.splice(0)) await sender.close()
  await anvil.dropAll()
})
afterAll(async () => {
  await anvil.stop()
  await rm(directory, { recursive: true })
})

async function fund(): Promise<PrivateKeyAccount> {
  const account = privateKeyToAccount(generatePrivateKey())
  await anvil.control.setBalance({ address: account.address, value: parseEther('10') })
  return account
}

interface Options {
  through?: ChainClient
  ledger?: boolean
  finalBlocks?: number
  stuckAfterMs?: number
}
function open(
  account: PrivateKeyAccount,
  { through = client, ledger = true, finalBlocks, stuckAfterMs = 200 }: Options = {},
) {
  const lines: { msg: string; nonce?: number; hash?: string }[] = []
  const destination = { write: (line: string) => void lines.push(JSON.parse(line)) }
  const metrics = createMetrics()
  const sender = createSender({
    client: through,
    account,
    chainId: CHAIN,
    clock: systemClock,
    logger: createLogger({ name: 'test', level: 'info', destination }),
    metrics,
    stuckAfterMs,
    caps,
    pollMs: 10,
    finalBlocks,
    ...(ledger && { ledger: { directory, networkId } }),
  })
  senders.push(sender)
  return { sender, lines, metrics }
}

const mine = (blocks = 1) => anvil.control.mine({ blocks })
const pooled = (pending: number, queued = 0) =>
  expect.poll(() => anvil.control.getTxpoolStatus()).toEqual({ pending, queued })
/** Sends once, and mines it. */
async function sendMined(sender: Sender) {
  const sending = sender.send(work)
  await pooled(1)
  await mine()
  return sending
}
const count = (address: `0x${string}`) => client.getTransactionCount({ address })
const failure = (sending: Promise<unknown>) => sending.catch((error: unknown) => error)

const through = (intercept: Intercept) => anvil.through(client, intercept)
const answers = (code: number, message: string) =>
  new RpcRequestError({ body: {}, url: '', error: { code, message } })

/** Ends a sender as a crash would: what is in flight stays where it is. */
async function crash(sender: Sender): Promise<void> {
  senders.splice(senders.indexOf(sender), 1)
  await sender.close()
}

async function foreignSend(account: PrivateKeyAccount, nonce: number) {
  const serializedTransaction = await account.signTransaction({
    type: 'eip1559',
    chainId: CHAIN,
    nonce,
    to: account.address,
    gas: 21_000n,
    maxFeePerGas: parseGwei('100'),
    maxPriorityFeePerGas: parseGwei('20'),
  })
  return client.sendRawTransaction({ serializedTransaction })
}

interface LedgerLine {
  nonce: number
  state: string
  hash?: Hex
  raw?: Hex
  maxFeePerGas?: string
  maxPriorityFeePerGas?: string
}
async function ledgerOf({ address }: PrivateKeyAccount): Promise<LedgerLine[]> {
  const text = await readFile(join(directory, `${CHAIN}-${address.toLowerCase()}`, 'nonces.jsonl'), 'utf8')
  return text
    .trim()
    .split('\n')
    .slice(1)
    .map((line) => JSON.parse(line))
}

test('a transaction is reserved and signed on disk before its bytes leave, then broadcast, mined, final', async () => {
  const account = await fund()
  const before: string[][] = []
  const node = through(async (method, forward) => {
    if (method === 'eth_sendRawTransaction') before.push((await ledgerOf(account)).map(({ state }) => state))
    return forward()
  })
  const { sender } = open(account, { through: node, finalBlocks: 3 })
  await sendMined(sender)
  expect(before).toEqual([['reserved', 'signed']])
  await expect.poll(async () => (await ledgerOf(account)).at(-1)?.state).toBe('mined')
  await mine(2)
  await expect.poll(async () => (await ledgerOf(account)).at(-1)?.state).toBe('final')
})

test('a restart finishes what the crash left: pooled, dropped by every node, and mined meanwhile', async () => {
  const account = await fund()
  const first = open(account)
  const left = [first.sender.send(work), first.sender.send(work), first.sender.send(work)].map(failure)
  await pooled(3)
  await crash(first.sender)
  await Promise.all(left)
  await anvil.dropAll()

  const second = open(account)
  await second.sender.start()
  await pooled(3)
  const next = second.sender.send(work)
  await pooled(4)
  await mine()
  expect((await next).nonce).toBe(3)
  expect(await count(account.address)).toBe(4)
  await expect.poll(() => second.sender.inFlight()).toBe(0)
})

test('what a crash left in flight is counted until it is mined, in a block that has been read', async () => {
  const account = await fund()
  const before = open(account)
  const waiting = failure(before.sender.send(work))
  await pooled(1)
  expect(before.sender.unclaimed(0n)).toBe(0)
  await crash(before.sender)
  await waiting
  const { sender } = open(account, { finalBlocks: 3 })
  await sender.start()
  expect(sender.unclaimed(0n)).toBe(1)
  await mine()
  await expect.poll(() => sender.inFlight()).toBe(0)
  const head = await client.getBlockNumber()
  expect([sender.unclaimed(head - 1n), sender.unclaimed(head)]).toEqual([1, 0])
})

test('with its ledger deleted a sender starts from the chain, and loses and jams nothing', async () => {
  const account = await fund()
  const first = open(account)
  const left = failure(first.sender.send(work))
  await pooled(1)
  await crash(first.sender)
  await left
  for (const name of await readdir(directory))
    if (name.endsWith(account.address.toLowerCase())) await rm(join(directory, name), { recursive: true })

  const { sender } = open(account)
  const sending = sender.send(work)
  await pooled(2)
  await mine()
  expect((await sending).nonce).toBe(1)
})

test('a nonce that another process used while this one was away is named', async () => {
  const account = await fund()
  const first = open(account)
  await sendMined(first.sender)
  await crash(first.sender)
  const hash = await foreignSend(account, 1)
  await mine()

  const { sender, lines, metrics } = open(account)
  await sender.start()
  expect(lines.find(({ nonce }) => nonce === 1)).toMatchObject({ hash })
  expect(await metrics.text()).toMatch(/transactions_foreign_total\{.*\} 1/)
  expect((await sendMined(sender)).nonce).toBe(2)
})

test('OZ #818: a nonce whose transaction is never broadcast does not put the counter above the chain', async () => {
  const account = await fund()
  let refuses = true
  const node = through((method, forward) =>
    method === 'eth_sendRawTransaction' && refuses
      ? Promise.reject(answers(-32_000, 'txpool is full'))
      : forward(),
  )
  const first = open(account, { through: node })
  for (let i = 0; i < 5; i++) expect(await failure(first.sender.send(work))).toBeInstanceOf(RetryableError)
  await crash(first.sender)
  refuses = false
  // Neither in this process nor after a restart is there a nonce that nobody uses: what was signed for the first may be mined, so it is offered.
  const { sender } = open(account, { through: node })
  const next = sender.send(work)
  await pooled(2)
  await mine()
  expect((await next).nonce).toBe(1)
  expect(await count(account.address)).toBe(2)
})

/** A node that passes transactions on, and says that it doesn't; what `swallows` it takes, and passes on nowhere. */
function liar(
  account: PrivateKeyAccount,
  counted: () => number,
  swallows: () => boolean = () => false,
): { client: ChainClient; passed: Set<Hex>; isHonest(): void } {
  const passed = new Set<Hex>()
  let lies = true
  const client = through(async (method, forward, params) => {
    const [raw] = (params ?? []) as [Hex]
    if (method === 'eth_sendRawTransaction') {
      if (swallows()) return keccak256(raw)
      await forward()
      passed.add(keccak256(raw))
      if (lies) throw answers(-32_000, 'no')
    }
    if (lies && method === 'eth_getTransactionByHash') return null
    if (lies && method === 'eth_getTransactionCount' && raw === account.address)
      return `0x${counted().toString(16)}`
    return forward()
  })
  return {
    client,
    passed,
    isHonest() {
      lies = false
    },
  }
}

test('what a node has refused by a lie, and that mines, is known for ours when its nonce has been given out again', async () => {
  const account = await fund()
  let swallows = false
  const node = liar(
    account,
    () => 0,
    () => swallows,
  )
  const { sender, lines, metrics } = open(account, { through: node.client })
  expect(await failure(sender.send(work))).toBeInstanceOf(RetryableError)
  await pooled(1)
  swallows = true
  const second = failure(sender.send({ ...work, label: 'other work' }))
  await expect.poll(async () => (await ledgerOf(account)).filter(({ raw }) => raw).length).toBe(2)
  node.isHonest()
  await mine()
  expect(String(await second)).toMatch(/nonce 0 was used up by .*what it was given for before/)
  expect(lines.filter(({ msg }) => msg.startsWith('another transaction used our nonce'))).toEqual([])
  expect(await metrics.text()).not.toMatch(/transactions_foreign_total\{/)
  swallows = false
  expect((await sendMined(sender)).nonce).toBe(1)
})

test('what a node has refused by a lie, and that mines before its nonce is given out again, is no alarm', async () => {
  const account = await fund()
  const node = liar(account, () => 0)
  const { sender, lines, metrics } = open(account, { through: node.client })
  expect(await failure(sender.send(work))).toBeInstanceOf(RetryableError)
  await mine()
  node.isHonest()
  expect((await sendMined(sender)).nonce).toBe(1)
  expect(lines.filter(({ msg }) => msg.startsWith('another transaction used our nonce'))).toEqual([])
  expect(await metrics.text()).not.toMatch(/transactions_foreign_total\{/)
})

test.each([
  ['refused', 0],
  // The count that the node tells says that another transaction has used the nonce.
  ['taken', 5],
])(
  'what must not be done twice is given no second nonce while its first, %s by a lie, may mine',
  async (_, counted) => {
    const account = await fund()
    const node = liar(account, () => (node.passed.size === 0 ? 0 : counted))
    const { sender } = open(account, { through: node.client })
    expect(await failure(sender.send({ ...work, exclusive: true }))).toBeInstanceOf(RetryableError)
    expect(sender.unclaimed(0n)).toBe(1)
    node.isHonest()
    await mine()
    await expect.poll(() => sender.unclaimed(0n)).toBe(0)
    expect([node.passed.size, await count(account.address)]).toEqual([1, 1])
  },
)

test('OZ #843: a region of signed nonces that no node ever had is used, on a chain that takes none out of turn', async () => {
  const account = await fund()
  let down = true
  const node = through(async (method, forward, params) => {
    if (method !== 'eth_sendRawTransaction') return forward()
    if (down) throw new Error('connection refused')
    const [raw] = params as [`0x02${string}`]
    const pending = await client.getTransactionCount({ address: account.address, blockTag: 'pending' })
    if ((parseTransaction(raw).nonce ?? 0) > pending) throw answers(-32_000, 'nonce too high')
    return forward()
  })
  // No stuck transaction is waited for: the test ends only if nobody has to be stuck.
  const { sender } = open(account, { through: node, stuckAfterMs: 600_000 })
  const sending = sender.sendMany(Array.from({ length: 30 }, () => work))
  await expect.poll(() => sender.inFlight()).toBe(30)
  const restarted = failure(sending)
  down = false
  await pooled(30)
  await mine()
  await restarted
  expect(await count(account.address)).toBe(30)
  expect((await sending).every(({ status }) => status === 'fulfilled')).toBe(true)
})

test.each([
  [-32_603, 'nonce too low'],
  [-32_603, 'something this version says differently'],
])(
  'OZ #681: a used nonce is not retried as it is, whatever the node calls it (%i %s)',
  async (code, message) => {
    const account = await fund()
    let offers = 0
    const node = through(async (method, forward) => {
      if (method !== 'eth_sendRawTransaction') return forward()
      offers++
      try {
        return await forward()
      } catch {
        throw answers(code, message)
      }
    })
    const { sender } = open(account, { through: node })
    await sendMined(sender)
    await foreignSend(account, 1)
    await mine()
    offers = 0
    expect((await sendMined(sender)).nonce).toBe(2)
    expect(offers).toBe(2)
  },
)

test.each(['nonce too low', 'intrinsic gas too low', 'exceeds block gas limit', 'no'])(
  'a refusal is judged by the chain and by the transaction, whatever the node calls it: %s',
  async (message) => {
    const account = await fund()
    let offers = 0
    const node = through((method, forward) => {
      if (method !== 'eth_sendRawTransaction') return forward()
      offers++
      return Promise.reject(answers(-32_000, message))
    })
    const { sender } = open(account, { through: node })
    const refusal = await failure(sender.send(work))
    expect(refusal).toBeInstanceOf(RetryableError)
    expect(String(refusal)).toMatch(/^RetryableError: node refused/)
    expect(offers).toBe(1)
    for (const change of [{ data: '0x01', gas: 21_000n }, { gas: 10n ** 10n }] as const)
      expect(await failure(sender.send({ ...work, ...change }))).toBeInstanceOf(PermanentError)
  },
)

test('HL #2924: a transaction that became underpriced is raised until it is mined, also after a restart', async () => {
  const account = await fund()
  const first = open(account)
  const left = failure(first.sender.send(work))
  await pooled(1)
  await crash(first.sender)
  await left
  const dear = () => anvil.control.setNextBlockBaseFeePerGas({ baseFeePerGas: parseGwei('50') })
  await dear()
  await mine()
  expect(await count(account.address)).toBe(0)

  const { sender } = open(account)
  const behind = sender.send(work)
  const mining = setInterval(() => void dear().then(() => mine()), 20)
  try {
    expect((await behind).nonce).toBe(1)
  } finally {
    clearInterval(mining)
  }
  const states = await ledgerOf(account)
  expect(states.filter(({ nonce, state }) => nonce === 0 && state === 'signed').length).toBeGreaterThan(1)
})

test.each([
  ['', false],
  [', also after a restart', true],
])('whichever version is mined counts, and none is above the caps%s', async (_, restarts) => {
  const account = await fund()
  const node = anvil.through(client, async (method, forward, params) =>
    method === 'eth_sendRawTransaction' ? keccak256((params as [Hex])[0]) : forward(),
  )
  const first = open(account, { through: node, finalBlocks: 100, stuckAfterMs: 30 })
  const sending = failure(first.sender.send(work))
  const signed = async () => (await ledgerOf(account)).filter(({ state }) => state === 'signed')
  const versions = async () => {
    await mine()
    return (await signed()).length
  }
  await expect.poll(versions).toBeGreaterThan(2)
  if (restarts) await crash(first.sender)
  await client.sendRawTransaction({ serializedTransaction: (await signed())[0]!.raw! })
  await mine()
  if (restarts) await open(account, { through: node, finalBlocks: 100 }).sender.start()
  const mined = async () => (await ledgerOf(account)).find(({ state }) => state === 'mined')
  await expect.poll(mined).toMatchObject({ nonce: 0, hash: (await signed())[0]!.hash })
  if (!restarts) expect(await sending).toMatchObject({ hash: (await signed())[0]!.hash })
  for (const { maxFeePerGas, maxPriorityFeePerGas } of await signed()) {
    expect(BigInt(maxFeePerGas!)).toBeLessThanOrEqual(caps.maxFeePerGas)
    expect(BigInt(maxPriorityFeePerGas!)).toBeLessThanOrEqual(caps.maxPriorityFeePerGas)
  }
})

test('connext #417: a count that goes back behind a load balancer gives no nonce twice and undoes nothing', async () => {
  const account = await fund()
  let behind = false
  const node = through(async (method, forward) => {
    const result = await forward()
    return method === 'eth_getTransactionCount' && behind ? '0x0' : result
  })
  const before = open(account, { through: node, finalBlocks: 100 })
  const first = before.sender.sendMany([work, work])
  await pooled(2)
  await mine()
  await first
  await crash(before.sender)
  behind = true
  const { sender, metrics } = open(account, { through: node, finalBlocks: 100 })
  const second = sender.send(work)
  await pooled(1)
  behind = false
  await mine()
  expect((await second).nonce).toBe(2)
  expect(await metrics.text()).not.toMatch(/transactions_(reorged|foreign)_total\{/)
})

test('AX #2564: a pending count that lies below the latest one gives no nonce twice', async () => {
  const account = await fund()
  const offers: number[] = []
  const node = through((method, forward, params) => {
    if (method === 'eth_sendRawTransaction')
      offers.push(parseTransaction((params as [`0x02${string}`])[0]).nonce ?? 0)
    const isPending = method === 'eth_getTransactionCount' && (params as string[])[1] === 'pending'
    return isPending ? Promise.resolve('0x0') : forward()
  })
  // Final as soon as they are mined: nothing that is kept in memory or in the ledger's open entries knows them then.
  const before = open(account, { through: node })
  await sendMined(before.sender)
  await sendMined(before.sender)
  await crash(before.sender)
  const { sender } = open(account, { through: node })
  expect((await sendMined(sender)).nonce).toBe(2)
  expect(offers).toEqual([0, 1, 2])
})

test.each([1, 2, 3, 4])('what a reorg of depth %i undoes is sent again, under its nonce', async (depth) => {
  const account = await fund()
  const { sender, metrics } = open(account, { finalBlocks: 5 })
  const sending = sender.send(work)
  await pooled(1)
  await mine(depth)
  const { hash } = await sending
  await anvil.control.request({ method: 'anvil_reorg' as never, params: [depth, []] as never })
  expect(await count(account.address)).toBe(0)
  await pooled(1)
  await mine()
  const receipt = await client.getTransactionReceipt({ hash })
  expect(receipt.status).toBe('success')
  expect(await metrics.text()).toMatch(/transactions_reorged_total\{.*\} 1/)
  await mine(5)
  await expect.poll(async () => (await ledgerOf(account)).at(-1)?.state).toBe('final')
  expect(await count(account.address)).toBe(1)
})

test('a reorg that keeps the transaction in another block sends nothing', async () => {
  const account = await fund()
  const { sender, metrics } = open(account, { finalBlocks: 5 })
  const sending = sender.send(work)
  await pooled(1)
  const [raw] = (await ledgerOf(account)).flatMap((line) => ('raw' in line ? [line.raw] : []))
  await mine()
  const { receipt } = await sending
  await anvil.control.request({ method: 'anvil_reorg' as never, params: [1, [[raw, 0]]] as never })
  await mine(5)
  await expect.poll(async () => (await ledgerOf(account)).at(-1)?.state).toBe('final')
  const now = await client.getTransactionReceipt({ hash: receipt.transactionHash })
  expect(now.blockHash).not.toBe(receipt.blockHash)
  expect(await metrics.text()).not.toMatch(/transactions_(reorged|foreign)_total\{/)
})
