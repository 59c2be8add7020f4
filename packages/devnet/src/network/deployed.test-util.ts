import { zeroHash } from 'viem'
import { startTestChains } from '../chains/chains.test-util.js'
import { deployLayerZero } from '../layerzero/index.js'
import { deployClearspan } from './deploy.js'
import { planDerivedFeeds } from './derivedFeeds.js'
import { planMarkets, withDated } from './markets.js'
import { localRoles } from './roles.js'
import { planTiming } from './timing.js'

export const roles = localRoles()
export const timing = planTiming({ windowMs: 3_600_000 })
const planned = withDated(planMarkets(['BTC', 'ETH'], ['BTC/USD', 'ETH/USD', 'USDT/USD', 'USDC/USD']))
export const markets = {
  ...planned,
  feeds: [...planned.feeds, ...planDerivedFeeds(planned, [], timing).feeds],
}

/** A hub without spokes, deployed as a local network is, whose oracle nodes are keys only. */
export async function deployAlone(eid: number) {
  const started = await startTestChains([{ name: 'alpha', chainId: 31_901 }], {
    genesisTime: 1_584_000_000,
    accounts: roles.count,
  })
  const chain = started.chains[0]!
  const chains = [{ chain, eid, confirmations: 1 }]
  const operators = roles.attestors.map(({ account }) => account.address)
  const { layerzero } = await deployLayerZero({
    attestor: { networkId: zeroHash, operators, threshold: 2, alone: true },
    chains,
    deployer: roles.deployer.account,
    dvnSigners: roles.relayer.dvnSigners.map(({ account }) => account.address),
    quorum: 2,
    workerAdmins: [],
  })
  const deployed = await deployClearspan({
    chains,
    layerzero,
    roles,
    markets,
    timing,
    networkId: zeroHash,
    oracle: {
      epoch: 1,
      slotMs: timing.slotSeconds * 1000,
      feeds: markets.feeds,
      nodes: roles.observers.map(({ account }) => ({ url: 'http://127.0.0.1:1', signer: account.address })),
    },
  })
  return { chain, deployed, close: started.close }
}
