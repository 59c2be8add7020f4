// A deployment as governance finds it: nobody else has a say, and every function of an owner does what it should, seen by all, a day after.
import {
  attestorAbi,
  backstopAbi,
  clearinghouseAbi,
  collateralVaultAbi,
  collateralVaultBytecode,
  dynamicRiskAbi,
  epochRevokerAbi,
  futureAbi,
  governanceAbi,
  hubGatewayAbi,
  liquidationExecutorAbi,
  optionAbi,
  priceOracleAbi,
  rateSwapAbi,
  riskConfigAbi,
  spokeGatewayAbi,
  spokeGatewayBytecode,
  venueRegistryAbi,
} from '@clearspan/contracts'
import {
  accountId,
  compactSignature,
  encodeQuorum,
  encodeReport,
  lastWordDigest,
  reportDigest,
} from '@clearspan/shared'
import {
  type Abi,
  type Address,
  encodeFunctionData,
  type Hex,
  isAddressEqual,
  stringToHex,
  zeroHash,
} from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createBatch, type LocalChain } from '../chains/index.js'
import { authorities } from '../report/authority.js'
import { peer } from './addresses.js'
import type { Deployment } from './deploy.js'
import { deployAlone, markets, roles, timing } from './deployed.test-util.js'
import { datedFeeds } from './derivedFeeds.js'
import { feedIndex, type InstrumentKind } from './markets.js'
import { ownersFunctions } from './owners.test-util.js'
import { COUNCIL_DELAY } from './parameters.js'
import type { LocalKey } from './roles.js'

const EID = 30_901
const ELSEWHERE = 30_902
/** After which a hub may be called dead, seconds. */
const SILENCE = 14 * 86_400
const feeds = datedFeeds(markets.dated!)
const feedAt = (name: string) => markets.feeds.findIndex((feed) => feed.name === name)
let chain: LocalChain
let close: (() => Promise<void>) | undefined
let deployed: Deployment

beforeAll(async () => {
  const alone = await deployAlone(EID)
  ;({ chain, deployed, close } = alone)
})
afterAll(async () => {
  await close?.()
})

const contracts = () => {
  const [alpha] = deployed.chains
  return { ...deployed.hub.contracts, ...alpha!.contracts, attestor: alpha!.layerzero.attestor! }
}
const now = () => chain.lastTimestamp()
const read = (address: Address, abi: Abi, functionName: string, args: readonly unknown[] = []) =>
  chain.client.readContract({ address, abi, functionName, args })

/** Every contract with an owner, with its ABI. */
async function owned(): Promise<Record<string, { address: Address; abi: Abi }>> {
  const at = contracts()
  return {
    priceOracle: { address: at.priceOracle, abi: priceOracleAbi },
    vault: { address: at.vault, abi: collateralVaultAbi },
    spokeGateway: { address: at.spokeGateway, abi: spokeGatewayAbi },
    liquidationExecutor: { address: at.liquidationExecutor, abi: liquidationExecutorAbi },
    venueRegistry: { address: at.venueRegistry, abi: venueRegistryAbi },
    epochRevoker: { address: at.epochRevoker, abi: epochRevokerAbi },
    attestor: { address: at.attestor, abi: attestorAbi },
    clearinghouse: { address: at.clearinghouse, abi: clearinghouseAbi },
    hubGateway: { address: at.hubGateway, abi: hubGatewayAbi },
    riskConfig: { address: at.riskConfig, abi: riskConfigAbi },
    backstop: { address: at.backstop, abi: backstopAbi },
    future: { address: at.future, abi: futureAbi },
    option: { address: at.option, abi: optionAbi },
    rateSwap: { address: at.rateSwap, abi: rateSwapAbi },
    dynamicRisk: {
      address: (await read(at.riskConfig, riskConfigAbi, 'dynamicRisk')) as Address,
      abi: dynamicRiskAbi,
    },
  }
}

test('governance owns all that has an owner, and the council alone waits', async () => {
  const manifest = {
    networkId: zeroHash,
    clock: null,
    oracle: { epoch: 1, slotMs: 4_000, feeds: [], nodes: [] },
  }
  const [alpha] = await authorities({ manifest: { ...manifest, ...deployed }, chains: [chain] })
  expect(alpha!.others).toEqual([])
  expect([...alpha!.governed].sort()).toEqual(Object.keys(await owned()).sort())
  const { council, guardian, lister } = roles
  const of = (role: string, { account }: LocalKey, delaySeconds: number, may: string[]) => ({
    role,
    account: account.address,
    delaySeconds,
    may,
  })
  expect(alpha!.roles).toEqual([
    of('council', council, COUNCIL_DELAY, []),
    of('guardian', guardian, 0, ['endpoint.skip', 'vault.halt', 'clearinghouse.pauseNewRisk']),
    of('lister', lister, 0, ['future.list', 'option.list', 'rateSwap.list']),
  ])
})

/** A hub's last word, by a quorum of the nodes. */
async function lastWord(): Promise<readonly unknown[]> {
  const [hubEpoch, version, hubTime] = [2, 1, BigInt(now())]
  const hash = lastWordDigest({ hubEpoch, version, hubTime, root: zeroHash }, zeroHash)
  return [version, hubTime, zeroHash, encodeQuorum(await signed(hash))]
}

const signed = (hash: Hex) =>
  Promise.all(
    roles.observers.slice(0, 3).map(async ({ account }, signer) => ({
      signer,
      signature: compactSignature(await account.sign({ hash })),
    })),
  )

/** What each owner's function takes, in an order in which all of them succeed. A new one needs a line here. */
async function ownersCalls(
  nextVault: Address,
  nextGateway: Address,
): Promise<Record<string, Record<string, readonly unknown[]>>> {
  const at = contracts()
  const [alpha] = deployed.chains
  const { sendUln } = alpha!.layerzero
  const [usdc, weth] = alpha!.tokens
  const [eth, btc] = ['ETH', 'BTC'].map((base) => feedIndex(markets, base)) as [number, number]
  const someone = roles.traders.bob.account.address
  const idOf = (wanted: InstrumentKind) => BigInt(markets.instruments.find(({ kind }) => kind === wanted)!.id)
  const config = (name: string, ...args: readonly unknown[]) => read(at.riskConfig, riskConfigAbi, name, args)
  const gateway = await read(at.venueRegistry, venueRegistryAbi, 'gatewayOf', [someone])
  const { dynamicRisk } = await owned()
  const inputs = await read(dynamicRisk!.address, dynamicRiskAbi, 'inputs', [BigInt(eth)])
  const later = now() + COUNCIL_DELAY + 3_600
  const limit = { cap: 10n ** 12n, rate: 10n ** 8n }
  const schedule = { base: 1n, perToken: 1n, perRow: 1n }
  const signers = roles.observers.map(({ account }) => account.address)
  const feed = { exponent: -10, isSigned: false, useAge: 120 }
  const epoch = {
    epoch: 2,
    firstSeq: BigInt(Math.ceil((later + COUNCIL_DELAY) / timing.slotSeconds)),
    lastSeq: BigInt(Math.ceil((later + 30 * COUNCIL_DELAY) / timing.slotSeconds)),
    configHash: zeroHash,
    signers,
    feeds: markets.feeds.map((one) => ({
      ...feed,
      name: stringToHex(one.name, { size: 32 }),
      exponent: one.exponent,
      isSigned: one.signed ?? false,
    })),
  }
  const guard = { acceptAge: 60, jumpBase: 1, jumpPerMinute: 1, jumpMax: 2, jumpSpan: 60, ageing: 1 }
  const operators = [...signers].sort((a, b) => (a.toLowerCase() < b.toLowerCase() ? -1 : 1))
  const [perpetual, month] = [1n, 30 * COUNCIL_DELAY]
  const spot = { expiry: later + month, feed: eth, fixing: feedAt(feeds.fixing) }
  const calls: Record<string, Record<string, readonly unknown[]>> = {
    vault: {
      setListed: [usdc!.address, true],
      setLimits: [usdc!.address, limit, limit],
      halt: [],
      resume: [],
      seal: [],
    },
    nextVault: { seal: [] },
    // Announces its new vault to the hub by itself.
    spokeGateway: {
      setPeer: [EID, peer(at.hubGateway)],
      setDelegate: [at.governance],
      setGasSchedule: [schedule],
      resumeHub: [],
      openEpoch: [nextVault],
      openHubEpoch: [nextGateway],
    },
    // Its hub is never heard, so that it may be called dead.
    nextGateway: { endHub: [], openExits: await lastWord() },
    clearinghouse: {
      setVenue: [someone, true],
      setEngine: [someone, at.perp, true],
      pauseNewRisk: [0n],
      setWarmingPeriod: [3_600],
      setLending: [5_000, 8_000, 0, 1_000, 10_000],
      openEpoch: [EID, 2],
    },
    hubGateway: {
      setPeer: [ELSEWHERE, peer(someone)],
      setDelegate: [at.governance],
      setGasSchedule: [schedule],
    },
    epochRevoker: { setPeer: [ELSEWHERE, peer(someone)], setDelegate: [at.governance], order: [98] },
    future: { list: [idOf('future'), spot.expiry, spot.feed, spot.fixing] },
    option: {
      list: [idOf('call'), true, 10n ** 18n, spot.expiry, spot.feed, spot.fixing, feedAt(feeds.volatility)],
      setSkew: [eth, spot.expiry, 0, 0],
    },
    rateSwap: {
      list: [idOf('swap'), later, spot.expiry, COUNCIL_DELAY, feedAt(feeds.rate), feedAt(feeds.meanRate)],
    },
    priceOracle: {
      openEpoch: [epoch],
      setParameters: [guard],
      setUseAge: [0n, 60],
      setRevoker: [at.epochRevoker],
      revoke: [99],
    },
    liquidationExecutor: {
      setTerms: [{ startPremium: 1, maxDiscount: 2, duration: 3_600 }],
      setListing: [weth!.address, btc],
    },
    venueRegistry: { setCap: [gateway, usdc!.address, 1n] },
    attestor: {
      setOperators: [operators, 2n],
      setDestination: [ELSEWHERE, true, 1n],
      setSendLibrary: [someone, true],
      withdrawFee: [sendUln, someone, 0n],
    },
    riskConfig: {
      setAsset: [1n, await config('asset', 1n)],
      setUnderlying: [BigInt(eth), await config('underlying', BigInt(eth))],
      setRiskClass: [60_000n, 0],
      setClass: [1n, { rhoIm: 5_000, rhoMm: 3_000, stressedRhoIm: 6_000, stressedRhoMm: 4_000 }],
      setDynamicRisk: [someone],
      setInstrument: [perpetual, await config('instrument', perpetual)],
      setGrid: [await config('grid')],
      setGlobal: [await config('global')],
      setSilence: [{ grace: 3_600, mmGrace: 7_200, mmRamp: 7_200 }],
      setLivenessFeed: [EID, 0n],
    },
    backstop: { setExecutor: [EID, someone] },
    dynamicRisk: {
      setInputs: [BigInt(eth), inputs],
      setClassInputs: [0n, { volatilityFeed: 65_535, volatility: 0 }],
    },
  }
  // Last, since nothing belongs to it after that.
  for (const one of Object.values(calls))
    Object.assign(one, { transferOwnership: [at.governance], renounceOwnership: [] })
  return calls
}

/** Who may, where it isn't the council. */
const BY: Record<string, 'guardian' | 'lister'> = {
  'vault.halt': 'guardian',
  'clearinghouse.pauseNewRisk': 'guardian',
  'future.list': 'lister',
  'option.list': 'lister',
  'rateSwap.list': 'lister',
}

/** Sends one transaction and mines it. */
async function send(
  by: LocalKey,
  address: Address,
  abi: Abi,
  functionName: string,
  args: readonly unknown[],
) {
  const batch = await createBatch(chain, by.account)
  batch.call(address, { abi, functionName, args } as Parameters<typeof batch.call>[1])
  await batch.send()
}

/** A price of every feed, by a quorum of the nodes: terms are listed on feeds that have one. */
async function report(): Promise<void> {
  const prices = markets.feeds.map(() => ({ price: 10n ** 8n, confidence: 1 }))
  const content = { epoch: 1, seq: BigInt(Math.floor((now() + 1) / timing.slotSeconds)), prices }
  const hash = reportDigest(content, markets.feeds, zeroHash)
  const args = [encodeReport(content, await signed(hash))]
  await send(roles.operator, contracts().priceOracle, priceOracleAbi, 'update', args)
}

test('every function of an owner waits for its role, and emits an event', async () => {
  const { governance, priceOracle, venueRegistry, vault, spokeGateway } = contracts()
  const { alice, bob } = roles.traders
  await send(alice, venueRegistry, venueRegistryAbi, 'open', [bob.account.address])
  const creating = await createBatch(chain, alice.account)
  const nextVault = creating.create('CollateralVault', {
    abi: collateralVaultAbi,
    bytecode: collateralVaultBytecode,
    args: [governance, spokeGateway, 2, zeroHash, vault],
  })
  const { endpoint } = deployed.chains[0]!.layerzero
  const nextGateway = creating.create('SpokeGateway', {
    abi: spokeGatewayAbi,
    bytecode: spokeGatewayBytecode,
    args: [endpoint, governance, nextVault, EID, 2, BigInt(timing.skew), priceOracle, spokeGateway],
  })
  await creating.send()
  // Nobody has ever heard of a hub here.
  await chain.mine(now() + SILENCE + 1)
  const contractsOfOwner = await owned()
  const calls = await ownersCalls(nextVault, nextGateway)
  for (const [name, { address, abi }] of Object.entries(contractsOfOwner)) {
    const death = name === 'spokeGateway' ? Object.keys(calls.nextGateway!) : []
    const known = [...new Set([...Object.keys(calls[name]!), ...death])]
    expect((await ownersFunctions(chain, { address, abi })).sort(), name).toEqual(known.sort())
  }
  const targets: typeof contractsOfOwner = {
    ...contractsOfOwner,
    nextVault: { address: nextVault, abi: collateralVaultAbi },
    nextGateway: { address: nextGateway, abi: spokeGatewayAbi },
  }

  const steps = Object.entries(calls).flatMap(([name, functions]) => {
    const { address, abi } = targets[name]!
    return Object.entries(functions).map(([functionName, args]) => ({
      label: `${name}.${functionName}`,
      by: roles[BY[`${name}.${functionName}`] ?? 'council'],
      address,
      data: encodeFunctionData({ abi, functionName, args }),
    }))
  })
  const scheduling = await createBatch(chain, roles.council.account)
  const councils = steps.filter(({ by }) => by === roles.council)
  for (const { address, data } of councils)
    scheduling.call(governance, { abi: governanceAbi, functionName: 'schedule', args: [address, data, 0] })
  await scheduling.send()
  const early = councils[0]!
  await expect(
    send(roles.council, governance, governanceAbi, 'execute', [early.address, early.data]),
  ).rejects.toThrow(/AccessManagerNotReady/)
  await chain.mine(now() + COUNCIL_DELAY)
  await report()
  while (steps.length > 0) {
    const { by } = steps[0]!
    const others = steps.findIndex((step) => step.by !== by)
    const announcing = steps.findIndex(({ label }) => label === 'spokeGateway.openEpoch') + 1
    const ends = [others, announcing].filter((at) => at > 0)
    const part = steps.splice(0, Math.min(...ends, steps.length))
    const batch = await createBatch(chain, by.account)
    for (const { address, data } of part)
      batch.call(governance, { abi: governanceAbi, functionName: 'execute', args: [address, data] })
    const { receipts } = await batch.send()
    for (const [at, { label }] of part.entries()) {
      const own = receipts[at]!.logs.filter((log) => !isAddressEqual(log.address, governance))
      expect(own.length, label).toBeGreaterThan(0)
    }
    if (part.length !== announcing) continue
    const key = { account: accountId(alice.account.address), token: deployed.chains[0]!.tokens[0]!.address }
    await send(alice, spokeGateway, spokeGatewayAbi, 'sendCounters', [[key]])
  }
})
