import { dynamicRiskAbi, epochRevokerAbi, priceOracleAbi, riskConfigAbi } from '@clearspan/contracts'
import { zeroHash } from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestChains } from '../chains/chains.test-util.js'
import type { LocalChain } from '../chains/index.js'
import { deployLayerZero } from '../layerzero/index.js'
import { type Deployment, deployClearspan } from './deploy.js'
import { feedIndex, planMarkets } from './markets.js'
import { localRoles } from './roles.js'
import { planTiming } from './timing.js'

const roles = localRoles()
const planned = planMarkets(['BTC', 'ETH'], ['BTC/USD', 'ETH/USD', 'USDT/USD', 'USDC/USD'])
const markets = { ...planned, feeds: [...planned.feeds, { name: 'ETH.RV/VOL', exponent: -8 }] }
let chains: LocalChain[]
let close: (() => Promise<void>) | undefined
let deployed: Deployment

beforeAll(async () => {
  ;({ chains, close } = await startTestChains(
    ['alpha', 'beta', 'gamma'].map((name, index) => ({ name, chainId: 31_901 + index })),
    { genesisTime: 1_584_000_000, accounts: roles.count },
  ))
  const placed = chains.map((chain, index) => ({ chain, eid: 30_901 + index, confirmations: 1 }))
  const { layerzero } = await deployLayerZero({
    chains: placed,
    deployer: roles.deployer.account,
    dvnSigners: roles.relayer.dvnSigners.map(({ account }) => account.address),
    quorum: 2,
    workerAdmins: [roles.relayer.bulk.account.address],
  })
  deployed = await deployClearspan({
    chains: placed,
    layerzero,
    roles,
    markets,
    timing: planTiming({ windowMs: 3_600_000 }),
    networkId: zeroHash,
    oracle: {
      epoch: 1,
      slotMs: 4_000,
      feeds: markets.feeds,
      nodes: roles.observers.map(({ account }) => ({ url: 'http://127.0.0.1:1', signer: account.address })),
    },
  })
})

afterAll(async () => {
  await close?.()
})

test('contracts have the same addresses on every chain, and in every run', () => {
  const [first, ...others] = deployed.chains
  for (const other of others) {
    const { lendingVenue, ...common } = other.contracts
    expect(common).toEqual(first!.contracts)
    expect(lendingVenue !== undefined).toBe(other === others[0])
    expect(other.tokens.map(({ address }) => address)).toEqual(first!.tokens.map(({ address }) => address))
  }
  expect({ ...first!.contracts, ...deployed.hub.contracts }).toMatchSnapshot()
})

test("every chain's oracle can be revoked by the hub's word, and by no other chain's", async () => {
  const [hub, ...spokes] = deployed.chains
  for (const [index, { contracts, eid }] of deployed.chains.entries()) {
    const { client } = chains[index]!
    const address = contracts.epochRevoker
    const oracle = { address: contracts.priceOracle, abi: priceOracleAbi } as const
    expect(await client.readContract({ ...oracle, functionName: 'revoker' })).toBe(address)
    const peers = await Promise.all(
      deployed.chains.map((chain) =>
        client.readContract({ address, abi: epochRevokerAbi, functionName: 'peers', args: [chain.eid] }),
      ),
    )
    const known = deployed.chains.filter((_, at) => peers[at] !== zeroHash).map((chain) => chain.eid)
    expect(known).toEqual(eid === hub!.eid ? spokes.map((spoke) => spoke.eid) : [hub!.eid])
  }
})

test('margin follows realised volatility where a feed has it, and anyone may have it do so before there is any', async () => {
  const { client } = chains[0]!
  const address = await client.readContract({
    address: deployed.hub.contracts.riskConfig,
    abi: riskConfigAbi,
    functionName: 'dynamicRisk',
  })
  const risk = { address, abi: dynamicRiskAbi } as const
  const [eth, btc] = ['ETH', 'BTC'].map((base) => BigInt(feedIndex(markets, base))) as [bigint, bigint]
  const inputsOf = (feed: bigint) => client.readContract({ ...risk, functionName: 'inputs', args: [feed] })
  expect(await inputsOf(eth)).toMatchObject({ realisedFeed: 4, volatility: 30_000 })
  expect(await inputsOf(btc)).toMatchObject({ realisedFeed: 65_535, volatility: 0 })
  const stranger = roles.observers[0]!.account.address
  const tried = { ...risk, account: stranger } as const
  const ids = deployed.hub.instruments.filter(({ feed }) => feed === 'ETH/USD').map(({ id }) => BigInt(id))
  expect(ids.length).toBeGreaterThan(0)
  const { result } = await client.simulateContract({ ...tried, functionName: 'refresh', args: [eth, ids] })
  expect(result).toBe(false)
  await client.simulateContract({ ...tried, functionName: 'refreshClass', args: [0n] })
})

test('every chain knows the signers, and the hub every asset and instrument', async () => {
  for (const [index, { contracts }] of deployed.chains.entries()) {
    const count = await chains[index]!.client.readContract({
      address: contracts.priceOracle,
      abi: priceOracleAbi,
      functionName: 'feedCount',
    })
    expect(count).toBe(5n)
  }
  const { riskConfig, clearinghouse } = deployed.hub.contracts
  const hub = chains[0]!.client
  expect(
    await hub.readContract({ address: riskConfig, abi: riskConfigAbi, functionName: 'assetCount' }),
  ).toBe(9n)
  for (const { eid, tokens } of deployed.chains) {
    for (const { address, assetId } of tokens) {
      const listed = await hub.readContract({
        address: riskConfig,
        abi: riskConfigAbi,
        functionName: 'assetIdOf',
        args: [eid, 1, address],
      })
      expect(listed).toBe(BigInt(assetId))
    }
  }
  const code = await hub.getCode({ address: clearinghouse })
  expect((code?.length ?? 0) / 2 - 1).toBeLessThan(24_576)
})
