import type { Hex } from 'viem'

/** What the keeper knows of an account at a report, WAD. */
export interface AccountRisk {
  account: Hex
  /** Equity less maintenance margin at the favourable end of prices: due for liquidation below 0. */
  mm: bigint
}

/** Accounts due for liquidation, the largest deficit first; equal deficits by account, so that every keeper agrees. */
export function rankByDeficit(risks: readonly AccountRisk[]): AccountRisk[] {
  return risks
    .filter(({ mm }) => mm < 0n)
    .sort((a, b) => (a.mm === b.mm ? (a.account < b.account ? -1 : 1) : a.mm < b.mm ? -1 : 1))
}
