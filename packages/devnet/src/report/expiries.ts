import { iClearinghouseAbi, iInstrumentAbi, iRiskConfigAbi } from '@clearspan/contracts'
import { formatUnits } from 'viem'
import type { LocalNetwork } from '../network/localNetwork.js'
import { hubClient } from '../scenario/prices.js'
import type { DatedTerms } from '../scenario/terms.js'
import type { NamedAccount } from './ledger.js'
import { iso, money } from './text.js'

/** An instrument that expires. Times are the tape's, ISO; later ones its end. */
export interface ExpiryReport {
  instrument: string
  kind: DatedTerms['kind']
  /** Of an option; null of others. */
  strike: string | null
  expiry: string
  /** What a unit settles at; null before its fixing, or its last coupon. */
  settledAt: string | null
  /** What a unit of a swap has received in coupons; null of others. */
  coupons: string | null
  /** Closed by expiry. `cash` is what each settlement of it moved, from the first day on. */
  positions: { account: string; size: string; cash: string }[]
}

/** What became of all that expires, from the hub's state and events. */
export async function expiryReports(
  network: LocalNetwork,
  dated: readonly DatedTerms[],
  named: readonly NamedAccount[],
): Promise<ExpiryReport[]> {
  const hub = hubClient(network)
  const { clearinghouse, riskConfig } = network.manifest.hub.contracts
  const events = { address: clearinghouse, abi: iClearinghouseAbi, fromBlock: 0n, strict: true } as const
  const [closed, paid] = await Promise.all([
    hub.getContractEvents({ ...events, eventName: 'ExpirySettled' }),
    hub.getContractEvents({ ...events, eventName: 'PnlSettled' }),
  ])
  const nameOf = (account: string) => named.find((one) => one.account === account)?.name ?? account
  return Promise.all(
    dated.map(async ({ id, symbol, kind, strike, expiry }): Promise<ExpiryReport> => {
      const args = [BigInt(id)] as const
      const { module: address } = await hub.readContract({
        address: riskConfig,
        abi: iRiskConfigAbi,
        functionName: 'instrument',
        args,
      })
      const module = { address, abi: iInstrumentAbi } as const
      const [[settled, price], index] = await Promise.all([
        hub.readContract({ ...module, functionName: 'settlement', args }),
        hub.readContract({ ...module, functionName: 'costIndex', args }),
      ])
      const cashOf = (account: string) =>
        paid
          .filter((log) => log.args.account === account && log.args.instrumentId === BigInt(id))
          .reduce((total, log) => total + log.args.amount, 0n)
      return {
        instrument: symbol,
        kind,
        strike: strike === undefined ? null : formatUnits(strike, 18),
        expiry: iso(network.tapeTime(expiry * 1000)),
        settledAt: settled ? formatUnits(price, 18) : null,
        coupons: kind === 'swap' ? formatUnits(-index, 18) : null,
        positions: closed
          .filter(({ args: log }) => log.instrumentId === BigInt(id))
          .map(({ args: { account, size } }) => ({
            account: nameOf(account),
            size: formatUnits(size, 18),
            cash: money(cashOf(account)),
          })),
      }
    }),
  )
}
