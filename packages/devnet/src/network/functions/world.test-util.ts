// Two real chains with a whole deployment on them, and what it takes to drive each of its functions by hand: no process beside them, and no clock.
import {
  accountId,
  compactSignature,
  encodeQuorum,
  encodeReport,
  type ReportSignature,
  reportDigest,
} from '@clearspan/shared'
import { type Address, type Hex, zeroHash } from 'viem'
import { startTestChains } from '../../chains/chains.test-util.js'
import { createBatch, type LocalChain } from '../../chains/index.js'
import { deployLayerZero } from '../../layerzero/index.js'
import { type Deployment, deployClearspan } from '../deploy.js'
import { markets, roles, timing } from '../deployed.test-util.js'
import { baseOf } from '../markets.js'
import type { LocalKey } from '../roles.js'
import {
  type Asset,
  abiOf,
  bytecodeOf,
  type Contract,
  fill,
  type Kind,
  type Place,
  read,
  send,
  sendUlnAbi,
} from './calls.test-util.js'
import { createCarrier, FEE } from './carrier.test-util.js'
import { createRecorder } from './recorder.test-util.js'

const FIRST_EID = 30_901
const QUORUM = 3

/** What reports say unless they are told otherwise, in units of the quote: by base, or by feed where that isn't a price of one. */
const VALUES: Record<string, number> = {
  ...{ BTC: 8_000, ETH: 200, USDT: 1, USDC: 1 },
  ...{ 'ETH.DEPTH/USD': 100_000_000, 'ETH.FIX/USD': 100, 'USDC.RATE/Y': 0.05, 'USDC.MEAN/Y': 0.05 },
}

export type World = Awaited<ReturnType<typeof openWorld>>
/** Under which a contract is known from now on. */
type Know = (kind: Kind, address: Address, chain: LocalChain) => Contract

/** A hub that is a spoke too, and a spoke beside it. `close` ends both chains. */
export async function openWorld() {
  const started = await startTestChains(
    ['alpha', 'beta'].map((name, at) => ({ name, chainId: 31_901 + at })),
    { genesisTime: 1_584_000_000, accounts: roles.count },
  )
  const { layerzero, deployed } = await deploy(started.chains)
  const recorder = createRecorder(started.chains)
  await recorder.skip()
  const kinds = new Map<Kind, Contract & { chain: LocalChain }>()
  const know: Know = (kind, address, chain) => {
    recorder.know(kind, chain, address)
    const contract = { address, abi: abiOf(kind) }
    kinds.set(kind, { ...contract, chain })
    return contract
  }
  const places = started.chains.map((chain, at) => placeOf(know, chain, deployed.chains[at]!))
  const [hub, spoke] = places as [Place, Place]
  const central = await hubOf(know, hub, deployed)
  const clock = createClock(started.chains)
  const carrier = createCarrier([hub, spoke], layerzero)
  /** Delivers all that has been sent, once the clocks of both chains agree. */
  const carry = async () => {
    await clock.pass(1)
    return carrier.carry()
  }
  return {
    ...central,
    ...clock,
    ...createReporter([hub, spoke], clock),
    ...createMessages(hub, central.hubGateway, carry),
    ...{ hub, spoke, recorder, know, kinds, carry },
    ...{ markets, roles, timing },
    close: started.close,
    /** Creates a contract beside the deployment. */
    async create({ chain }: Place, kind: Kind, args: readonly unknown[]): Promise<Contract> {
      const batch = await createBatch(chain, roles.deployer.account)
      const address = batch.create(kind, { abi: abiOf(kind), bytecode: bytecodeOf(kind), args } as never)
      await batch.send()
      return know(kind, address, chain)
    },
    /** Answers what sets a chain back to where it is now. */
    async checkpoint({ chain }: Place): Promise<() => Promise<void>> {
      const id = await chain.client.snapshot()
      return async () => {
        await recorder.catchUp()
        await chain.client.revert({ id })
        await recorder.skip()
        await carrier.forget()
      }
    },
  }
}

async function deploy(chains: readonly LocalChain[]) {
  const placed = chains.map((chain, at) => ({ chain, eid: FIRST_EID + at, confirmations: 1 }))
  const operators = roles.attestors.map(({ account }) => account.address)
  const { layerzero } = await deployLayerZero({
    attestor: { networkId: zeroHash, operators, threshold: 2, alone: true },
    chains: placed,
    deployer: roles.deployer.account,
    dvnSigners: roles.relayer.dvnSigners.map(({ account }) => account.address),
    quorum: 2,
    workerAdmins: [],
  })
  const nodes = roles.observers.map(({ account }) => ({ url: 'http://127.0.0.1:1', signer: account.address }))
  const oracle = { epoch: 1, slotMs: timing.slotSeconds * 1000, feeds: markets.feeds, nodes }
  const common = { layerzero, roles, markets, timing, networkId: zeroHash }
  return { layerzero, deployed: await deployClearspan({ chains: placed, ...common, oracle }) }
}

function placeOf(
  know: Know,
  chain: LocalChain,
  { eid, tokens, contracts: at, layerzero }: Deployment['chains'][number],
): Place {
  const token = (symbol: string): Asset => {
    const { address, decimals, assetId } = tokens.find((one) => one.symbol === symbol)!
    return { address, abi: abiOf('testToken'), decimals, id: BigInt(assetId) }
  }
  return {
    chain,
    eid,
    usdc: token('USDC'),
    weth: token('WETH'),
    oracle: know('priceOracle', at.priceOracle, chain),
    vault: know('collateralVault', at.vault, chain),
    gateway: know('spokeGateway', at.spokeGateway, chain),
    executor: know('liquidationExecutor', at.liquidationExecutor, chain),
    revoker: know('epochRevoker', at.epochRevoker, chain),
    registry: know('venueRegistry', at.venueRegistry, chain),
    governance: know('governance', at.governance, chain),
    attestor: know('attestor', layerzero.attestor!, chain),
    sendUln: { address: layerzero.sendUln, abi: sendUlnAbi },
    lendingVenue: at.lendingVenue && know('lendingVenue', at.lendingVenue, chain),
  }
}

/** What is on the hub alone, and the parts of it that no manifest names. */
async function hubOf(know: Know, hub: Place, { hub: { contracts: at } }: Deployment) {
  const of = (kind: Kind, address: Address) => know(kind, address, hub.chain)
  const clearinghouse = of('clearinghouse', at.clearinghouse)
  const riskConfig = of('riskConfig', at.riskConfig)
  for (const part of ['books', 'silence', 'settlement', 'deleveraging'] as const)
    of(part, (await read(hub, clearinghouse, part)) as Address)
  of('lending', (await read(hub, clearinghouse, 'lender')) as Address)
  return {
    clearinghouse,
    riskConfig,
    dynamicRisk: of('dynamicRisk', (await read(hub, riskConfig, 'dynamicRisk')) as Address),
    hubGateway: of('hubGateway', at.hubGateway),
    marginEngine: of('marginEngine', at.marginEngine),
    perp: of('perp', at.perp),
    future: of('future', at.future!),
    option: of('option', at.option!),
    rateSwap: of('rateSwap', at.rateSwap!),
    venue: of('venue', at.venue),
    oracleVenue: of('oracleVenue', at.oracleVenue!),
    auction: of('liquidationAuction', at.liquidationAuction),
    backstop: of('backstop', at.backstop),
    fund: of('insuranceFund', at.insuranceFund),
  }
}

function createClock(chains: readonly LocalChain[]) {
  /** Seconds; of the chain that is ahead. */
  const now = () => Math.max(...chains.map((chain) => chain.lastTimestamp()))
  return {
    now,
    /** Lets so many seconds go by, until both chains show the same. */
    async pass(seconds: number): Promise<void> {
      const until = now() + seconds
      for (const chain of chains) await chain.mine(until)
    },
  }
}

function createReporter(places: readonly Place[], { now, pass }: ReturnType<typeof createClock>) {
  const values = { ...VALUES }
  const sign = (hash: Hex): Promise<ReportSignature[]> =>
    Promise.all(
      roles.observers.slice(0, QUORUM).map(async ({ account }, signer) => ({
        signer,
        signature: compactSignature(await account.sign({ hash })),
      })),
    )
  /** The next slot's report: what the last one said, but for `changes`. */
  async function report(changes: Record<string, number> = {}): Promise<Hex> {
    Object.assign(values, changes)
    await pass(timing.slotSeconds)
    const prices = markets.feeds.map(({ name, exponent }) => {
      const value = values[name] ?? values[baseOf(name)] ?? 1
      return { price: BigInt(Math.round(value * 10 ** -exponent)), confidence: 1 }
    })
    const content = { epoch: 1, seq: BigInt(Math.floor(now() / timing.slotSeconds)), prices }
    return encodeReport(content, await sign(reportDigest(content, markets.feeds, zeroHash)))
  }
  return {
    report,
    /** The same, stored on both chains. */
    async tell(changes: Record<string, number> = {}): Promise<void> {
      const encoded = await report(changes)
      for (const place of places) await send(place, roles.operator, place.oracle, 'update', [encoded])
    },
    /** What the oracle's quorum has to say of anything else. */
    quorum: async (hash: Hex) => encodeQuorum(await sign(hash)),
  }
}

function createMessages(hub: Place, hubGateway: Contract, carry: () => Promise<number>) {
  /** Sends counters of a chain's vault, and delivers them. */
  async function tellHub(place: Place, keys: readonly { account: Hex; token: Address }[]): Promise<void> {
    await send(place, roles.operator, place.gateway, 'sendCounters', [keys], FEE)
    await carry()
  }
  return {
    tellHub,
    /** Sends releases to a chain, and delivers them. */
    async tellSpoke(
      { eid }: Place,
      keys: readonly { account: Hex; recipient: Address; assetId: bigint }[],
    ): Promise<void> {
      await send(hub, roles.operator, hubGateway, 'sendReleases', [eid, keys], FEE)
      await carry()
    },
    /** Into an account of his own by the chain's vault, and on to the hub. Token decimals. */
    async bring(place: Place, by: LocalKey, token: Contract, amount: bigint): Promise<void> {
      const account = accountId(by.account.address)
      await fill(place, by, token, amount, place.vault.address)
      await send(place, by, place.vault, 'deposit', [account, token.address, amount])
      await tellHub(place, [{ account, token: token.address }])
    },
  }
}

export const cashOf = ({ hub, clearinghouse }: World, { account }: LocalKey) =>
  read(hub, clearinghouse, 'cash', [accountId(account.address)]) as Promise<bigint>
