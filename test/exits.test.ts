// The hub goes silent on a real network, and everybody leaves by its last word: a debtor to a trade on one chain, its creditor on another.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  clearinghouseAbi,
  hubGatewayAbi,
  marginEngineAbi,
  priceOracleAbi,
  spokeGatewayAbi,
} from '@clearspan/contracts'
import type { LocalChain } from '@clearspan/devnet'
import {
  compactSignature,
  createLogger,
  createQueueBackend,
  encodeReport,
  exitTree,
  quorumOf,
  reportDigest,
  revertOf,
  systemClock,
  UserError,
} from '@clearspan/shared'
import {
  type Address,
  decodeFunctionData,
  encodeFunctionData,
  erc20Abi,
  type Hex,
  type PrivateKeyAccount,
  parseUnits,
  zeroAddress,
} from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type Actor,
  createActor,
  depositCalls,
  enrolCalls,
  matchCall,
} from '../packages/devnet/src/scenario/cast.js'
import {
  checkLastWord,
  type ExitCall,
  exitCalls,
  type GovernedCall,
  type LastWordFile,
  lastWordFileSchema,
  lastWordText,
  makeLastWord,
  type Relayer,
  signLastWord,
} from '../packages/relayer/src/index.js'
import { clearspan, temporaryDirectory } from './clearspan.js'
import { createTestRelayer, haltChain, startTestNetwork, type TestNetwork } from './testNetwork.js'
import { PATIENCE } from './testTrader.js'

const DAY = 86_400
const SILENCE = 14 * DAY
const ETH = 200
const SIZE = parseUnits('10', 18)
const usdc = (amount: number) => parseUnits(String(amount), 6)
const logger = createLogger({ name: 'test', level: 'silent' })
const closes: (() => Promise<unknown>)[] = []
let dir: string
let on: TestNetwork
let relayer: Relayer
let alice: Actor
let bob: Actor

beforeAll(async () => {
  const directory = await temporaryDirectory()
  dir = directory.path
  closes.push(directory.remove)
  on = await startTestNetwork({ directory: dir, chains: ['alpha', 'beta'] })
  closes.push(on.stop)
  writeFileSync(join(dir, 'network.json'), JSON.stringify(on.network))
  const backend = await createQueueBackend({ clock: systemClock, logger })
  closes.push(() => backend.close())
  relayer = createTestRelayer(on, backend, { roles: ['relayer'] })
  closes.push(relayer.stop)
  await relayer.start()
  const stage = { manifest: on.network, timing: on.timing, realClock: systemClock }
  alice = createActor(stage, on.roles.traders.alice, logger)
  bob = createActor(stage, on.roles.traders.bob, logger)
  closes.push(alice.close, bob.close)
})
afterAll(async () => {
  for (const close of closes.reverse()) await close()
})

const contractsOf = (index: number) => on.network.chains[index]!.contracts
const settlementOf = (index: number) => on.network.chains[index]!.tokens.find((token) => token.settlement)!
const ledger = () => ({ address: on.network.hub.contracts.clearinghouse, abi: clearinghouseAbi }) as const
const cash = ({ account, hub }: Actor) =>
  hub.client.readContract({ ...ledger(), functionName: 'cash', args: [account] })
const balance = (actor: Actor, index: number, token = settlementOf(index)) =>
  on.chains[index]!.client.readContract({
    address: token.address,
    abi: erc20Abi,
    functionName: 'balanceOf',
    args: [actor.key.account.address],
  })

function deposit(actor: Actor, index: number, amount: number) {
  const calls = depositCalls(actor, on.network.chains[index]!, settlementOf(index), usdc(amount))
  return actor.wallets[index]!.send(calls)
}

function withdraw(actor: Actor, index: number, amount: number) {
  const args = [actor.account, BigInt(settlementOf(index).assetId), actor.key.account.address, usdc(amount)]
  return actor.hub.send([{ to: ledger().address, abi: clearinghouseAbi, functionName: 'withdraw', args }])
}

/** A price of every feed on the hub's chain, by a quorum of the nodes. */
async function report(eth: number): Promise<void> {
  const { feeds, slotMs, nodes } = on.network.oracle
  const prices = feeds.map(({ name, exponent }) => {
    const price = name === 'ETH/USD' ? eth : name === 'BTC/USD' ? 8_000 : 1
    return { price: BigInt(Math.round(price * 10 ** -exponent)), confidence: 1 }
  })
  const hub = on.chains[0]!
  const oracle = { address: contractsOf(0).priceOracle, abi: priceOracleAbi } as const
  const [, last] = await bob.hub.client.readContract({ ...oracle, functionName: 'latest' })
  const slot = () => BigInt(Math.floor((hub.lastTimestamp() * 1000) / slotMs))
  // The last one's slot may not be over yet.
  if (slot() <= last) await hub.mine(Math.ceil((Number(last + 1n) * slotMs) / 1000))
  const content = { epoch: 1, seq: slot(), prices }
  const hash = reportDigest(content, feeds, on.network.networkId)
  const signers = on.roles.observers.slice(0, quorumOf(nodes.length))
  const signatures = await Promise.all(
    signers.map(async ({ account }, signer) => ({
      signer,
      signature: compactSignature(await account.sign({ hash })),
    })),
  )
  const update = { functionName: 'update', args: [encodeReport(content, signatures)] }
  await bob.hub.send([{ to: oracle.address, abi: oracle.abi, ...update }])
}

/** Alice buys of Bob. */
async function trade(): Promise<void> {
  await report(ETH)
  const price = parseUnits(String(ETH), 18)
  const order = { instrumentId: 1n, limitPrice: price, expiry: 10n ** 12n, nonce: 1n, matcher: zeroAddress }
  const { id } = on.markets.instruments.find(({ symbol }) => symbol === 'ETH-PERP')!
  const of = (actor: Actor, size: bigint) => ({
    actor,
    order: { ...order, instrumentId: BigInt(id), account: actor.account, size },
  })
  const match = { buyer: of(alice, SIZE), seller: of(bob, -SIZE), size: SIZE, price }
  await bob.hub.send([await matchCall({ manifest: on.network }, match)])
}

/** Sends as they are, mines, and throws where one reverts. */
async function send(
  chain: LocalChain,
  { account }: { account: PrivateKeyAccount },
  calls: { to: Address; data: Hex }[],
) {
  const { client } = chain
  let nonce = await client.getTransactionCount({ address: account.address })
  const hashes: Hex[] = []
  for (const call of calls) {
    const fees = { gas: 1_000_000n, maxFeePerGas: 10n ** 11n, maxPriorityFeePerGas: 1n }
    const serializedTransaction = await account.signTransaction({
      ...call,
      ...fees,
      chainId: chain.chainId,
      nonce,
    })
    nonce++
    hashes.push(await client.sendRawTransaction({ serializedTransaction }))
  }
  await chain.mine()
  for (const hash of hashes)
    if ((await client.getTransactionReceipt({ hash })).status !== 'success')
      throw new Error(`${hash} reverted`)
}

/** The council schedules, lets its delay pass, and executes. */
async function govern(calls: readonly GovernedCall[]): Promise<void> {
  for (const step of ['schedule', 'execute'] as const) {
    for (const chain of on.chains) {
      if (step === 'execute') await chain.mine(chain.lastTimestamp() + DAY)
      const own = calls.filter((call) => call.chain === chain.name)
      await send(
        chain,
        on.roles.council,
        own.map(({ to, [step]: data }) => ({ to, data })),
      )
    }
  }
}

/** What the command line prints. */
async function exits<T>(...args: string[]): Promise<T> {
  const run = clearspan(dir, ['exits', ...args, '--network', 'network.json'])
  const { code } = await run.exited
  if (code !== 0) throw new UserError(`status ${code}`, run.stderr())
  return JSON.parse(run.stdout()) as T
}

/** Token units that an account is owed at the block that the last word was made from: cash, and what its position is worth. */
async function worth({ account, hub }: Actor, blockNumber: bigint): Promise<bigint> {
  const { marginEngine } = on.network.hub.contracts
  const [held, { pnl }] = await Promise.all([
    hub.client.readContract({ ...ledger(), functionName: 'cash', args: [account], blockNumber }),
    hub.client.readContract({
      address: marginEngine,
      abi: marginEngineAbi,
      functionName: 'accountHealth',
      args: [account],
      blockNumber,
    }),
  ])
  return (held + pnl) / 10n ** 12n
}

/** Bob's WETH on beta, a claim. */
const ether = () => on.network.chains[1]!.tokens.find(({ symbol }) => symbol === 'WETH')!
const WETH = parseUnits('3', 18)

/**
 * Alice has 1,000 on beta, of which 200 are paid, 100 released and 50 never heard of by the hub; Bob has 5,000 on alpha and 3 WETH on beta; a price
 * has moved.
 */
async function live(): Promise<void> {
  const manifest = on.network
  await Promise.all([
    alice.hub.send(enrolCalls({ manifest }, alice, [])),
    bob.hub.send(enrolCalls({ manifest }, bob, [ether().assetId])),
  ])
  const bring = bob.wallets[1]!.send(depositCalls(bob, manifest.chains[1]!, ether(), WETH))
  await Promise.all([deposit(alice, 1, 1_000), deposit(bob, 0, 5_000), bring])
  const args = [bob.account, BigInt(ether().assetId)] as const
  const claim = async () =>
    (await bob.hub.client.readContract({ ...ledger(), functionName: 'row', args })).claim
  await expect
    .poll(async () => [await cash(alice), await cash(bob), await claim()], PATIENCE)
    .toEqual([parseUnits('1000', 18), parseUnits('5000', 18), WETH])
  // Its time stands while prices are to be fresh, however slow the machine is.
  const hub = await haltChain(on, 0)
  await hub.whileMining(trade())
  await hub.whileMining(withdraw(alice, 1, 200))
  await hub.resume()
  await expect.poll(() => balance(alice, 1), PATIENCE).toBe(usdc(200))
  await relayer.stop()
  await haltChain(on, 0)
  await hub.whileMining(report(ETH * 1.01))
  await hub.whileMining(withdraw(alice, 1, 100))
  await deposit(alice, 1, 50)
}

async function signatures(): Promise<string[]> {
  const keys = on.roles.observers.slice(0, 3).map(({ key }) => key)
  writeFileSync(join(dir, 'key'), keys[0]!)
  const options = ['--record', 'signed.jsonl', '--key-file', 'key']
  const [first] = await Promise.all([exits<object>('sign', 'word.json', ...options), refuseAnother(options)])
  const text = readFileSync(join(dir, 'word.json'), 'utf8')
  const word = lastWordFileSchema.parse(JSON.parse(text))
  const others = keys.slice(1).map((key) => signLastWord(word, on.network, key))
  return [first, ...others].map((signed, at) => {
    writeFileSync(join(dir, `signed-${at}.json`), JSON.stringify(signed))
    return `signed-${at}.json`
  })
}

/** One that a lie has named gets nothing by the next version, and nobody else anything else. */
async function correct(word: LastWordFile): Promise<void> {
  const lie = { ...word.exits[0]!, recipient: on.network.hub.contracts.venue, released: usdc(1) }
  const replaces = { ...word, exits: [...word.exits, lie] }
  const made = { network: on.network, replaces, clock: on.networkClock }
  const next = await makeLastWord({ ...made, version: 2 })
  expect(next.exits).toEqual([...word.exits, { ...lie, released: 0n }])
  await checkLastWord(next, made)
  await expect(makeLastWord({ ...made, version: 1 })).rejects.toThrow(UserError)
  const [one, ...others] = word.blocks
  const blocks = [{ ...one!, number: one!.number - 1n }, ...others]
  await expect(checkLastWord({ ...next, blocks }, made)).rejects.toThrow('those of the last word')
}

/** Not what its own nodes tell, were it a unit more. */
async function refuseAnother(options: readonly string[]): Promise<void> {
  const word = lastWordFileSchema.parse(JSON.parse(readFileSync(join(dir, 'word.json'), 'utf8')))
  const [first, ...rest] = word.exits
  const lie = [{ ...first!, released: first!.released + 1n }, ...rest]
  writeFileSync(join(dir, 'lie.json'), lastWordText({ ...word, exits: lie, root: exitTree(lie).root as Hex }))
  await expect(exits('sign', 'lie.json', ...options)).rejects.toThrow('it is not signed')
}

test('the hub is silent for 14 days: governance ends it, the nodes sign, and each leaves with what is his, once', async () => {
  await live()
  for (const chain of on.chains) await on.producer.halt(chain.chainId)
  expect(await exits('status')).toMatchObject([{ calls: [] }, { calls: [] }])
  const making = { network: on.network, version: 1, replaces: undefined, clock: on.networkClock }
  await expect(makeLastWord(making)).rejects.toThrow("hasn't ended the hub")
  for (const chain of on.chains) await chain.mine(chain.lastTimestamp() + SILENCE + DAY)
  const states = await exits<{ calls: GovernedCall[] }[]>('status')
  await govern(states.flatMap(({ calls }) => calls))

  const made = await exits<unknown>('make')
  writeFileSync(join(dir, 'word.json'), JSON.stringify(made))
  const word = lastWordFileSchema.parse(made)
  const at = word.blocks.find(({ eid }) => eid === on.network.chains[0]!.eid)!.number
  const owed = [await worth(alice, at), await worth(bob, at)]
  expect(owed[0]).toBeGreaterThan(usdc(700))
  await govern(await exits<GovernedCall[]>('open', 'word.json', ...(await signatures())))

  const hers = await exits<ExitCall[]>('show', 'word.json', '--account', alice.account)
  const his = exitCalls(word, on.network, bob.account)
  const leave = async (calls: readonly ExitCall[]) => {
    for (const chain of on.chains)
      await send(
        chain,
        on.roles.operator,
        calls.filter((call) => call.chain === chain.name),
      )
  }
  const left = async () => [
    (await balance(alice, 1)) + (await balance(alice, 0)),
    (await balance(bob, 0)) + (await balance(bob, 1)),
  ]
  await leave(hers)
  await leave(his)
  expect(await balance(bob, 1, ether())).toBe(WETH)
  // 200 had been paid, 100 were on their way, 50 the hub had never heard of.
  expect(await left()).toEqual([usdc(350) + owed[0]!, owed[1]!])
  expect(await balance(alice, 1), 'her own chain first').toBe(usdc(1_050))

  await leave([...hers, ...his])
  expect(await left(), 'a second time').toEqual([usdc(350) + owed[0]!, owed[1]!])
  await refused(his[0]!)
  await correct(word)
}, 600_000)

/** More than the last word says; and the hub itself, which has come back. */
async function refused({ to, data }: ExitCall): Promise<void> {
  const { client } = on.chains[0]!
  const reason = (of: { to: Address; data: Hex }) =>
    client.call(of).then(
      () => undefined,
      (error: unknown) => revertOf(error, spokeGatewayAbi)?.name,
    )
  const { args } = decodeFunctionData({ abi: spokeGatewayAbi, data })
  const [exit, proof] = args as unknown as [{ released: bigint }, Hex[]]
  const more = [{ ...exit, released: exit.released + 1n }, proof]
  expect(
    await reason({
      to,
      data: encodeFunctionData({ abi: spokeGatewayAbi, functionName: 'exit', args: more as never }),
    }),
  ).toBe('NoSuchExit')
  const beat = encodeFunctionData({
    abi: hubGatewayAbi,
    functionName: 'sendReleases',
    args: [on.network.chains[0]!.eid, []],
  })
  expect(await reason({ to: on.network.hub.contracts.hubGateway, data: beat })).toBe('HubHasEnded')
}
