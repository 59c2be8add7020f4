import {
  backstopAbi,
  backstopBytecode,
  clearinghouseAbi,
  clearinghouseBytecode,
  collateralVaultAbi,
  collateralVaultBytecode,
  hubGatewayAbi,
  hubGatewayBytecode,
  insuranceFundAbi,
  insuranceFundBytecode,
  liquidationAuctionAbi,
  liquidationAuctionBytecode,
  liquidationExecutorAbi,
  liquidationExecutorBytecode,
  marginEngineAbi,
  marginEngineBytecode,
  perpAbi,
  perpBytecode,
  priceOracleAbi,
  priceOracleBytecode,
  riskConfigAbi,
  riskConfigBytecode,
  spokeGatewayAbi,
  spokeGatewayBytecode,
  testTokenAbi,
  testTokenBytecode,
  venueAbi,
  venueBytecode,
} from '@clearspan/contracts'
import { accountId, type Chain, type Hub, type OracleNetwork, PermanentError } from '@clearspan/shared'
import { type Address, getContractAddress, type Hex, keccak256, padHex, parseUnits, stringToHex } from 'viem'
import { type Batch, createBatch, type LocalChain } from '../chains/index.js'
import { baseOf, type LocalMarkets } from './markets.js'
import { auctionTerms, CREDIT_BPS, globalRisk, instrumentRisk, jumpGuard, LOT_TERMS } from './parameters.js'
import type { LocalRoles } from './roles.js'
import type { Timing } from './timing.js'

/** The one epoch of every counter and of the oracle's signers on a fresh network. */
const EPOCH = 1
const EPOCH_SLOTS = 10_000_000n
/** Maturing of a local network's assets: whole tokens at once, and a second. */
const MATURE_CAP = 50_000_000n
const MATURE_RATE = 10_000n
/** Room for exits of the fund once they are ripe, seconds. */
const EXIT_WINDOW = 7 * 86_400

export interface DeployOptions {
  /** The first is the hub's. */
  chains: readonly { chain: LocalChain; eid: number; confirmations: number }[]
  layerzero: Chain['layerzero']
  roles: LocalRoles
  markets: LocalMarkets
  timing: Timing
  networkId: Hex
  oracle: OracleNetwork
}

export interface Deployment {
  chains: Chain[]
  hub: Hub
}

/** Where everything will be: the deployer's next nonces, spoke contracts first, so that those are equal on every chain. */
function predict(from: Address, nonce: bigint, tokens: readonly string[]) {
  const names = [
    'priceOracle',
    ...tokens.map((symbol) => `token ${symbol}`),
    'spokeGateway',
    'vault',
    'liquidationExecutor',
    'riskConfig',
    'clearinghouse',
    'marginEngine',
    'perp',
    'venue',
    'hubGateway',
    'liquidationAuction',
    'backstop',
    'insuranceFund',
  ] as const
  const addresses = new Map<string, Address>(
    names.map((name, index) => [name, getContractAddress({ from, nonce: nonce + BigInt(index) })]),
  )
  return (name: string): Address => {
    const address = addresses.get(name)
    if (address === undefined) throw new RangeError(`nothing is deployed as ${name}`)
    return address
  }
}

type At = ReturnType<typeof predict>

/** Deploys and configures Clearspan on every chain, one block each. Throws PermanentError, by label, for what reverts. */
export async function deployClearspan(options: DeployOptions): Promise<Deployment> {
  const { chains, roles, markets, layerzero } = options
  const deployer = roles.deployer.account
  const symbols = markets.tokens.map(({ symbol }) => symbol)
  const nonces = await Promise.all(
    chains.map(({ chain }) => chain.client.getTransactionCount({ address: deployer.address })),
  )
  const [nonce] = nonces
  if (nonce === undefined || nonces.some((other) => other !== nonce))
    throw new PermanentError('the deployer has sent a different number of transactions on each chain')
  const at = predict(deployer.address, BigInt(nonce), symbols)
  await Promise.all(
    chains.map(async ({ chain }, index) => {
      const batch = await createBatch(chain, deployer)
      createSpoke(batch, at, options)
      if (index === 0) createHub(batch, at, options)
      configureSpoke(batch, at, options, index)
      if (index === 0) configureHub(batch, at, options)
      await batch.send()
    }),
  )
  return {
    chains: chains.map(({ chain, eid, confirmations }, index) => ({
      name: chain.name,
      chainId: chain.chainId,
      eid,
      rpcUrls: [chain.rpcUrl],
      confirmations,
      layerzero,
      contracts: {
        priceOracle: at('priceOracle'),
        vault: at('vault'),
        spokeGateway: at('spokeGateway'),
        liquidationExecutor: at('liquidationExecutor'),
      },
      tokens: markets.tokens.map(({ symbol, decimals, base, settlement }, token) => ({
        symbol,
        address: at(`token ${symbol}`),
        decimals,
        assetId: assetId(markets, index, token),
        feed: `${base}/USD`,
        settlement,
      })),
    })),
    hub: {
      chainId: chains[0]!.chain.chainId,
      contracts: {
        clearinghouse: at('clearinghouse'),
        hubGateway: at('hubGateway'),
        riskConfig: at('riskConfig'),
        marginEngine: at('marginEngine'),
        perp: at('perp'),
        venue: at('venue'),
        liquidationAuction: at('liquidationAuction'),
        backstop: at('backstop'),
        insuranceFund: at('insuranceFund'),
      },
      instruments: markets.instruments.map(({ id, symbol, base }) => ({ id, symbol, feed: `${base}/USD` })),
    },
  }
}

/** Assets are listed chain by chain, token by token. */
function assetId(markets: LocalMarkets, chain: number, token: number): number {
  return chain * markets.tokens.length + token + 1
}

function feedIndex(markets: LocalMarkets, base: string): number {
  return markets.feeds.findIndex(({ name }) => baseOf(name) === base)
}

function createSpoke(
  batch: Batch,
  at: At,
  { chains, layerzero, roles, markets, timing, networkId }: DeployOptions,
) {
  const owner = roles.deployer.account.address
  batch.create('PriceOracle', {
    abi: priceOracleAbi,
    bytecode: priceOracleBytecode,
    args: [networkId, owner, timing.slotSeconds, jumpGuard(timing)],
  })
  for (const { symbol, decimals } of markets.tokens) {
    batch.create(`TestToken ${symbol}`, {
      abi: testTokenAbi,
      bytecode: testTokenBytecode,
      args: [`Test ${symbol}`, symbol, decimals],
    })
  }
  batch.create('SpokeGateway', {
    abi: spokeGatewayAbi,
    bytecode: spokeGatewayBytecode,
    args: [layerzero.endpoint, owner, at('vault'), chains[0]!.eid, EPOCH, BigInt(timing.skew)],
  })
  batch.create('CollateralVault', {
    abi: collateralVaultAbi,
    bytecode: collateralVaultBytecode,
    args: [owner, at('spokeGateway'), EPOCH],
  })
  batch.create('LiquidationExecutor', {
    abi: liquidationExecutorAbi,
    bytecode: liquidationExecutorBytecode,
    args: [
      owner,
      at('priceOracle'),
      at('vault'),
      at(`token ${settlementOf(markets)}`),
      accountId(at('backstop')),
      { ...LOT_TERMS, duration: timing.lotSeconds },
    ],
  })
}

function createHub(
  batch: Batch,
  at: At,
  { chains, layerzero, roles, markets, timing, networkId }: DeployOptions,
) {
  const owner = roles.deployer.account.address
  const { eid } = chains[0]!
  batch.create('RiskConfig', {
    abi: riskConfigAbi,
    bytecode: riskConfigBytecode,
    args: [owner, BigInt(feedIndex(markets, 'USDC'))],
  })
  batch.create('Clearinghouse', {
    abi: clearinghouseAbi,
    bytecode: clearinghouseBytecode,
    args: [
      owner,
      {
        gateway: at('hubGateway'),
        auction: at('liquidationAuction'),
        backstop: at('backstop'),
        fund: at('insuranceFund'),
        marginEngine: at('marginEngine'),
        oracle: at('priceOracle'),
        riskConfig: at('riskConfig'),
      },
    ],
  })
  batch.create('MarginEngine', {
    abi: marginEngineAbi,
    bytecode: marginEngineBytecode,
    args: [at('clearinghouse'), at('priceOracle'), at('riskConfig')],
  })
  batch.create('Perp', {
    abi: perpAbi,
    bytecode: perpBytecode,
    args: [at('clearinghouse'), at('priceOracle'), at('riskConfig')],
  })
  batch.create('Venue', { abi: venueAbi, bytecode: venueBytecode, args: [at('clearinghouse'), networkId] })
  batch.create('HubGateway', {
    abi: hubGatewayAbi,
    bytecode: hubGatewayBytecode,
    args: [layerzero.endpoint, owner, at('clearinghouse'), at('riskConfig'), EPOCH, BigInt(timing.skew)],
  })
  batch.create('LiquidationAuction', {
    abi: liquidationAuctionAbi,
    bytecode: liquidationAuctionBytecode,
    args: [
      at('clearinghouse'),
      at('marginEngine'),
      at('priceOracle'),
      at('riskConfig'),
      at('insuranceFund'),
      at('backstop'),
      auctionTerms(timing),
    ],
  })
  batch.create('Backstop', {
    abi: backstopAbi,
    bytecode: backstopBytecode,
    args: [
      at('clearinghouse'),
      at('marginEngine'),
      at('riskConfig'),
      at('liquidationAuction'),
      at('insuranceFund'),
      BigInt(timing.takeOverAfter),
      owner,
    ],
  })
  batch.create('InsuranceFund', {
    abi: insuranceFundAbi,
    bytecode: insuranceFundBytecode,
    args: [
      at(`token ${settlementOf(markets)}`),
      {
        clearinghouse: at('clearinghouse'),
        marginEngine: at('marginEngine'),
        riskConfig: at('riskConfig'),
        auction: at('liquidationAuction'),
        vault: at('vault'),
        spokeGateway: at('spokeGateway'),
        hubGateway: at('hubGateway'),
        backstop: at('backstop'),
      },
      eid,
      timing.fundCoolDown,
      EXIT_WINDOW,
    ],
  })
}

function configureSpoke(
  batch: Batch,
  at: At,
  { chains, markets, timing, oracle }: DeployOptions,
  index: number,
) {
  batch.call(at('priceOracle'), {
    abi: priceOracleAbi,
    functionName: 'openEpoch',
    args: [
      {
        epoch: oracle.epoch,
        firstSeq: 1n,
        lastSeq: BigInt(Math.floor(chains[index]!.chain.lastTimestamp() / timing.slotSeconds)) + EPOCH_SLOTS,
        configHash: keccak256(stringToHex(JSON.stringify({ slotMs: oracle.slotMs, feeds: oracle.feeds }))),
        signers: oracle.nodes.map(({ signer }) => signer),
        feeds: markets.feeds.map(({ name, exponent, signed }) => ({
          name: stringToHex(name, { size: 32 }),
          exponent,
          isSigned: signed ?? false,
          useAge: timing.useAge,
        })),
      },
    ],
  })
  for (const { symbol, base, settlement } of markets.tokens) {
    batch.call(at('vault'), {
      abi: collateralVaultAbi,
      functionName: 'setListed',
      args: [at(`token ${symbol}`), true],
    })
    if (settlement) continue
    batch.call(at('liquidationExecutor'), {
      abi: liquidationExecutorAbi,
      functionName: 'setListing',
      args: [at(`token ${symbol}`), feedIndex(markets, base)],
    })
  }
  batch.call(at('spokeGateway'), {
    abi: spokeGatewayAbi,
    functionName: 'setPeer',
    args: [chains[0]!.eid, peer(at('hubGateway'))],
  })
}

function configureHub(batch: Batch, at: At, { chains, markets, timing }: DeployOptions) {
  const risk = { abi: riskConfigAbi }
  for (const { eid } of chains) {
    batch.call(at('hubGateway'), {
      abi: hubGatewayAbi,
      functionName: 'setPeer',
      args: [eid, peer(at('spokeGateway'))],
    })
    batch.call(at('backstop'), {
      abi: backstopAbi,
      functionName: 'setExecutor',
      args: [eid, at('liquidationExecutor')],
    })
  }
  batch.call(at('riskConfig'), { ...risk, functionName: 'setGlobal', args: [globalRisk(timing)] })
  markets.feeds.forEach(({ name }, feed) => {
    batch.call(at('riskConfig'), {
      ...risk,
      functionName: 'setUnderlying',
      args: [BigInt(feed), markets.shocks[baseOf(name)]!],
    })
  })
  chains.forEach(({ eid }, chain) => {
    markets.tokens.forEach(({ symbol, decimals, base, settlement }, token) => {
      const credit = settlement ? { creditIm: 10_000, creditMm: 10_000 } : CREDIT_BPS
      batch.call(at('riskConfig'), {
        ...risk,
        functionName: 'setAsset',
        args: [
          BigInt(assetId(markets, chain, token)),
          {
            eid,
            token: at(`token ${symbol}`),
            decimals,
            feed: feedIndex(markets, base),
            settlement,
            ...credit,
            matureCap: parseUnits(String(MATURE_CAP), decimals),
            matureRate: parseUnits(String(MATURE_RATE), decimals),
          },
        ],
      })
    })
  })
  markets.instruments.forEach(({ id, base }) => {
    batch.call(at('riskConfig'), {
      ...risk,
      functionName: 'setInstrument',
      args: [BigInt(id), { module: at('perp'), feed: feedIndex(markets, base), ...instrumentRisk() }],
    })
  })
  batch.call(at('clearinghouse'), {
    abi: clearinghouseAbi,
    functionName: 'setVenue',
    args: [at('venue'), true],
  })
}

function settlementOf(markets: LocalMarkets): string {
  return markets.tokens.find(({ settlement }) => settlement)!.symbol
}

function peer(address: Address): Hex {
  return padHex(address, { size: 32 })
}
