import { clearinghouseAbi, collateralVaultAbi, spokeGatewayAbi, testTokenAbi } from '@clearspan/contracts'
import { accountId, createChainClient, createLogger, systemClock } from '@clearspan/shared'
import { parseUnits } from 'viem'
import { expect } from 'vitest'
import { type Call, createWallet } from '../packages/devnet/src/scenario/wallet.js'
import type { TestNetwork } from './testNetwork.js'

/** What a poll waits for takes blocks, of half a second each; a machine with much else to do takes minutes. */
export const PATIENCE = { timeout: 280_000, interval: 250 }
const usdc = (amount: number) => parseUnits(String(amount), 6)

/** Somebody who deposits on the second chain and withdraws there, with a memory of how much. */
export function createTrader({ network, chains, roles, blockMs }: TestNetwork) {
  const trader = roles.traders.alice.account
  const account = accountId(trader.address)
  const logger = createLogger({ name: 'test', level: 'silent' })
  const [hub, spoke] = chains.map(({ chainId, rpcUrl }) =>
    createWallet({
      client: createChainClient({ chainId, rpcUrls: [rpcUrl], blockMs }),
      account: trader,
      chainId,
      clock: systemClock,
      logger,
    }),
  )
  if (hub === undefined || spoke === undefined) throw new RangeError('a trader needs two chains')
  const { vault, spokeGateway } = network.chains[1]!.contracts
  const { clearinghouse } = network.hub.contracts
  const settlement = network.chains[1]!.tokens.find((token) => token.settlement)!
  let deposited = 0n
  let withdrawn = 0n

  /** What the hub has heard of, and what of it is cash. */
  async function credited() {
    const common = { address: clearinghouse, abi: clearinghouseAbi } as const
    const [{ target, immature }, cash] = await Promise.all([
      hub!.client.readContract({
        ...common,
        functionName: 'row',
        args: [account, BigInt(settlement.assetId)],
      }),
      hub!.client.readContract({ ...common, functionName: 'cash', args: [account] }),
    ])
    return { target, immature, cash }
  }
  const paidOut = () =>
    spoke.client.readContract({
      address: vault,
      abi: collateralVaultAbi,
      functionName: 'paidOut',
      args: [account, settlement.address, trader.address],
    })

  return {
    hub,
    spoke,
    credited,
    paidOut,
    /** Cash that no regression holds, WAD. */
    freeCash: () =>
      hub.client.readContract({
        address: clearinghouse,
        abi: clearinghouseAbi,
        functionName: 'freeCash',
        args: [account],
      }),
    /** Token units. */
    deposited: () => deposited,
    withdrawn: () => withdrawn,
    async deposit(amount: number): Promise<void> {
      const token = { to: settlement.address, abi: testTokenAbi }
      const calls: Call[] = [
        { ...token, functionName: 'mint', args: [trader.address, usdc(amount)] },
        { ...token, functionName: 'approve', args: [vault, usdc(amount)] },
        {
          to: vault,
          abi: collateralVaultAbi,
          functionName: 'deposit',
          args: [account, settlement.address, usdc(amount)],
        },
      ]
      await spoke.send(calls)
      deposited += usdc(amount)
    },
    async withdraw(amount: number): Promise<void> {
      const args = [account, BigInt(settlement.assetId), trader.address, usdc(amount)]
      await hub.send([{ to: clearinghouse, abi: clearinghouseAbi, functionName: 'withdraw', args }])
      withdrawn += usdc(amount)
    },
    /** Sends the deposit's counter, as anybody may. */
    async sendCounters(): Promise<void> {
      const keys = [{ account, token: settlement.address }]
      const gateway = { address: spokeGateway, abi: spokeGatewayAbi } as const
      const value = await spoke.client.readContract({
        ...gateway,
        functionName: 'quoteCounters',
        args: [keys],
      })
      const call = { functionName: 'sendCounters', args: [keys], value: 2n * value }
      await spoke.send([{ to: spokeGateway, abi: spokeGatewayAbi, ...call }])
    },
    /** Waits until all that was deposited is the account's. */
    allCredited: () =>
      expect.poll(credited, PATIENCE).toEqual({
        target: deposited,
        immature: 0n,
        cash: (deposited - withdrawn) * 10n ** 12n,
      }),
    /** Waits until all that was withdrawn is paid. */
    allPaid: () => expect.poll(paidOut, PATIENCE).toBe(withdrawn),
    async close(): Promise<void> {
      await hub.close()
      await spoke.close()
    },
  }
}

export type Trader = ReturnType<typeof createTrader>
