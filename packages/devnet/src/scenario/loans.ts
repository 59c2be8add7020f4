import { withdrawCall } from './cast.js'
import type { PlannedLoan } from './plan.js'
import { unitsWorth } from './prices.js'
import type { Character, Stage } from './stage.js'
import { tokenOn } from './state.js'
import { until } from './until.js'

const WAD = 10n ** 18n
/** On a busy machine prices grow old, and nothing is lent at an old price. Real ms. */
const LOAN_TIMEOUT_MS = 300_000

/** Has every trader of a planned loan withdraw cash that it doesn't have. */
export async function lendAll(stage: Stage, characters: readonly Character[]): Promise<void> {
  for (const character of characters) {
    if (character.plan.loan !== undefined) await lend(stage, character, character.plan.loan)
  }
}

async function lend(
  { network, onProgress, signal }: Stage,
  { actor }: Character,
  { chain, usd }: PlannedLoan,
): Promise<void> {
  const token = tokenOn(network, chain, 0)
  const call = withdrawCall(network, actor, token.assetId, unitsWorth(usd, WAD, token.decimals))
  let refusal = ''
  await until({
    what: `a loan to ${actor.name}`,
    clock: network.realClock,
    timeoutMs: LOAN_TIMEOUT_MS,
    signal,
    missing: () => refusal,
    found: async () => {
      const [result] = await actor.hub.trySend([call])
      if (result?.status === 'rejected') refusal = result.reason.message
      return result?.status === 'fulfilled' || undefined
    },
  })
  onProgress(`loan: ${actor.name} borrows ${usd} ${token.symbol} of ${network.manifest.chains[chain]!.name}`)
}
