import {
  backstopAbi,
  backstopBytecode,
  booksAbi,
  booksBytecode,
  clearinghouseAbi,
  clearinghouseBytecode,
  deleveragingAbi,
  deleveragingBytecode,
  dynamicRiskAbi,
  dynamicRiskBytecode,
  futureAbi,
  futureBytecode,
  hubGatewayAbi,
  hubGatewayBytecode,
  insuranceFundAbi,
  insuranceFundBytecode,
  lendingAbi,
  lendingBytecode,
  liquidationAuctionAbi,
  liquidationAuctionBytecode,
  marginEngineAbi,
  marginEngineBytecode,
  optionAbi,
  optionBytecode,
  oracleVenueAbi,
  oracleVenueBytecode,
  perpAbi,
  perpBytecode,
  rateSwapAbi,
  rateSwapBytecode,
  riskConfigAbi,
  riskConfigBytecode,
  settlementAbi,
  settlementBytecode,
  silenceAbi,
  silenceBytecode,
  venueAbi,
  venueBytecode,
} from '@clearspan/contracts'
import { parseUnits } from 'viem'
import type { Batch } from '../chains/index.js'
import { type At, peer } from './addresses.js'
import type { DeployOptions } from './deployOptions.js'
import { datedFeeds, livenessFeed } from './derivedFeeds.js'
import { assetId, baseOf, feedIndex, type LocalMarkets, settlementOf } from './markets.js'
import {
  auctionTerms,
  CREDIT_BPS,
  DYNAMIC_RISK,
  EPOCH,
  globalRisk,
  grid,
  instrumentRisk,
  LENDING,
  silenceTerms,
} from './parameters.js'
import type { Timing } from './timing.js'

/** Of `DynamicRisk`: there is none. */
const NO_FEED = 65_535
/** Room for exits of the fund once they are ripe, seconds. */
const EXIT_WINDOW = 7 * 86_400
/** Maturing of a local network's assets: whole tokens at once, and a second. */
const MATURE_CAP = 50_000_000n
const MATURE_RATE = 10_000n

/** What the hub has beside: ledger, margin, instruments, liquidation, fund. */
export function createHub(
  batch: Batch,
  at: At,
  { chains, layerzero, roles, markets, timing, networkId }: DeployOptions,
) {
  const owner = roles.deployer.account.address
  const { eid } = chains[0]!
  const hasEth = markets.feeds.some(({ name }) => name === 'ETH/USD')
  batch.create('RiskConfig', {
    abi: riskConfigAbi,
    bytecode: riskConfigBytecode,
    args: [owner, BigInt(feedIndex(markets, 'USDC'))],
  })
  const modules = {
    gateway: at('hubGateway'),
    auction: at('liquidationAuction'),
    backstop: at('backstop'),
    fund: at('insuranceFund'),
    marginEngine: at('marginEngine'),
    oracle: at('priceOracle'),
    riskConfig: at('riskConfig'),
  }
  batch.create('Books', { abi: booksAbi, bytecode: booksBytecode, args: [modules] })
  batch.create('Silence', { abi: silenceAbi, bytecode: silenceBytecode, args: [modules] })
  batch.create('Settlement', { abi: settlementAbi, bytecode: settlementBytecode, args: [modules] })
  batch.create('Lending', { abi: lendingAbi, bytecode: lendingBytecode, args: [modules] })
  batch.create('Deleveraging', { abi: deleveragingAbi, bytecode: deleveragingBytecode, args: [modules] })
  batch.create('Clearinghouse', {
    abi: clearinghouseAbi,
    bytecode: clearinghouseBytecode,
    args: [owner, modules, at('books'), at('silence'), at('settlement'), at('lending'), at('deleveraging')],
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
      auctionTerms(timing, hasEth ? feedIndex(markets, 'ETH') : undefined),
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
  const args = [owner, at('priceOracle'), at('riskConfig')] as const
  batch.create('Future', { abi: futureAbi, bytecode: futureBytecode, args })
  batch.create('Option', { abi: optionAbi, bytecode: optionBytecode, args })
  batch.create('RateSwap', { abi: rateSwapAbi, bytecode: rateSwapBytecode, args })
  batch.create('DynamicRisk', {
    abi: dynamicRiskAbi,
    bytecode: dynamicRiskBytecode,
    args: [owner, at('riskConfig'), at('priceOracle'), at('clearinghouse')],
  })
  batch.create('OracleVenue', {
    abi: oracleVenueAbi,
    bytecode: oracleVenueBytecode,
    args: [
      at('clearinghouse'),
      at('priceOracle'),
      at('riskConfig'),
      networkId,
      timing.blockSeconds,
      timing.acceptAge,
    ],
  })
}

const MODULES = {
  perpetual: 'perp',
  future: 'future',
  call: 'option',
  put: 'option',
  swap: 'rateSwap',
} as const

/** The ways to the spokes, risk parameters, assets and instruments, the venue. */
export function configureHub(batch: Batch, at: At, { chains, markets, timing }: DeployOptions) {
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
  batch.call(at('riskConfig'), { ...risk, functionName: 'setSilence', args: [silenceTerms(timing)] })
  for (const { chain, eid } of chains) {
    const feed = markets.feeds.findIndex(({ name }) => name === livenessFeed(chain.name))
    if (feed < 0) continue
    batch.call(at('riskConfig'), { ...risk, functionName: 'setLivenessFeed', args: [eid, BigInt(feed)] })
  }
  markets.feeds.forEach(({ name }, feed) => {
    const shocks = markets.shocks[baseOf(name)]
    // Not the price of anything.
    if (shocks === undefined) return
    batch.call(at('riskConfig'), {
      ...risk,
      functionName: 'setUnderlying',
      args: [BigInt(feed), shocks],
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
            epoch: EPOCH,
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
  batch.call(at('riskConfig'), { ...risk, functionName: 'setGrid', args: [grid()] })
  markets.instruments.forEach(({ id, base, kind }) => {
    const risk = instrumentRisk(kind, markets.shocks[base]!)
    const instrument = { module: at(MODULES[kind]), feed: feedIndex(markets, base), ...risk }
    batch.call(at('riskConfig'), {
      abi: riskConfigAbi,
      functionName: 'setInstrument',
      args: [BigInt(id), instrument],
    })
  })
  configureDynamicRisk(batch, at, markets, timing)
  for (const name of ['venue', 'oracleVenue'])
    batch.call(at('clearinghouse'), {
      abi: clearinghouseAbi,
      functionName: 'setVenue',
      args: [at(name), true],
    })
  const { share, kink, baseRate, kinkRate, fullRate } = LENDING
  batch.call(at('clearinghouse'), {
    abi: clearinghouseAbi,
    functionName: 'setLending',
    args: [share, kink, baseRate, kinkRate, fullRate],
  })
}

/** What margin follows: realised and implied volatility and depth of each base that has feeds of them, and the open interest of all. */
function configureDynamicRisk(batch: Batch, at: At, markets: LocalMarkets, timing: Timing) {
  const risk = { abi: dynamicRiskAbi }
  const { stressedRhoIm, stressedRhoMm, volatility, depth, depthShare, ...bounds } = DYNAMIC_RISK
  const { rhoIm, rhoMm } = globalRisk(timing)
  const feeds = markets.feeds.map(({ name }) => name)
  const volatilityOf = (base: string) => feeds.indexOf(`${base}.RV/VOL`)
  batch.call(at('riskConfig'), {
    abi: riskConfigAbi,
    functionName: 'setClass',
    args: [0n, { rhoIm, rhoMm, stressedRhoIm, stressedRhoMm }],
  })
  batch.call(at('riskConfig'), {
    abi: riskConfigAbi,
    functionName: 'setDynamicRisk',
    args: [at('dynamicRisk')],
  })
  for (const base of new Set(markets.instruments.map((instrument) => instrument.base))) {
    const realised = volatilityOf(base)
    const known = realised >= 0
    const depthFeed = feeds.indexOf(datedFeeds(base).depth)
    const impliedFeed = feeds.indexOf(datedFeeds(base).volatility)
    batch.call(at('dynamicRisk'), {
      ...risk,
      functionName: 'setInputs',
      args: [
        BigInt(feedIndex(markets, base)),
        {
          realisedFeed: known ? realised : NO_FEED,
          impliedFeed: impliedFeed >= 0 ? impliedFeed : NO_FEED,
          depthFeed: depthFeed >= 0 ? depthFeed : NO_FEED,
          volatility: known ? volatility : 0,
          ...(depthFeed >= 0 ? { depthShare, depth } : { depthShare: 0, depth: 0n }),
          ...bounds,
        },
      ],
    })
  }
  const leader = markets.tokens.map(({ base }) => volatilityOf(base)).find((feed) => feed >= 0)
  if (leader === undefined) return
  batch.call(at('dynamicRisk'), {
    ...risk,
    functionName: 'setClassInputs',
    args: [0n, { volatilityFeed: leader, volatility }],
  })
}
