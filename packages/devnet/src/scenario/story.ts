import { iClearinghouseAbi, iPriceOracleAbi } from '@clearspan/contracts'
import { createBidder } from '@clearspan/relayer'
import type { Token } from '@clearspan/shared'
import { formatUnits, parseUnits } from 'viem'
import type { LocalNetwork } from '../network/localNetwork.js'
import { type ClosingReport, compileReport } from '../report/index.js'
import type { NamedAccount } from '../report/ledger.js'
import { stopwatch } from '../stopwatch.js'
import { type Actor, createActor, withdrawCall } from './cast.js'
import { enterAll } from './entrance.js'
import { listDated } from './listing.js'
import { lendAll } from './loans.js'
import { planTraders } from './plan.js'
import { hubClient, oraclePrice, unitsWorth } from './prices.js'
import type { Character, Stage } from './stage.js'
import { fundCash, healths, type Outstanding, outstanding, tokenOn, usd } from './state.js'
import type { DatedTerms } from './terms.js'
import { openPositions } from './trades.js'
import { until } from './until.js'

const WAD = 10n ** 18n
// Waits end when what they wait for is there; these bounds are for a machine that is busy with other work, too. Real ms.
const FIRST_PRICE_TIMEOUT_MS = 180_000
/** From one change of what is under way to the next, beyond what auctions and lots take by themselves. */
const SETTLE_TIMEOUT_MS = 180_000
const SETTLE_POLL_MS = 500
/** The bidder waits for 5% off an account's equity, or 0.2% of its notional when the fund pays, and for lots at 1% below the oracle. */
const BIDDER = {
  maxShare: (WAD * 95n) / 100n,
  minReward: WAD / 500n,
  lotMarginBps: 100n,
  maxFraction: WAD,
}
/** Real ms between two lines about the crash, or about what is awaited. */
const LINE_MS = 5_000

interface Cast {
  characters: Character[]
  maker: Actor
  bidder: Actor
  underwriter: Actor
  operator: Actor
  /** Gives terms to instruments. */
  lister: Actor
  /** Closes every wallet: whoever waits for a transaction is told so. */
  close(): Promise<void>
}

/** Plays the main job: deposits on every chain, trades on the hub, the crash, what follows it, and the report. Throws the signal's reason when aborted. */
export async function playStory(stage: Stage): Promise<ClosingReport> {
  const { logger, signal } = stage
  const cast = assembleCast(stage)
  const leave = () => {
    cast.close().catch((err: unknown) => logger.error({ err }, 'a wallet could not be closed'))
  }
  signal.addEventListener('abort', leave, { once: true })
  try {
    return await play(stage, cast)
  } catch (error) {
    signal.throwIfAborted()
    throw error
  } finally {
    signal.removeEventListener('abort', leave)
    await cast.close()
  }
}

function assembleCast({ network, logger }: Stage): Cast {
  const { roles, window } = network
  const primary = window.worst ? (window.worst.symbol.split('-')[0] ?? '') : ''
  const characters = planTraders(network.markets, primary).map(
    (plan): Character => ({ plan, actor: createActor(network, roles.traders[plan.name], logger) }),
  )
  const staff = {
    maker: createActor(network, roles.maker, logger),
    bidder: createActor(network, roles.bidder, logger),
    underwriter: createActor(network, roles.underwriter, logger),
    operator: createActor(network, roles.operator, logger),
    lister: createActor(network, roles.lister, logger),
  }
  const actors = [...characters.map(({ actor }) => actor), ...Object.values(staff)]
  return {
    characters,
    ...staff,
    close: async () => {
      await Promise.all(actors.map((actor) => actor.close()))
    },
  }
}

async function play(stage: Stage, cast: Cast): Promise<ClosingReport> {
  const { network } = stage
  const { characters, maker, bidder } = cast
  const named = [...characters.map(({ actor }) => actor), maker, bidder].map(({ name, account }) => ({
    name,
    account,
  }))
  await firstPrices(stage)
  await enterAll(stage, cast)
  const dated = await listDated(stage, cast.lister)
  await openPositions(stage, cast, dated)
  await lendAll(stage, characters)
  const fundBefore = await fundCash(network)
  const before = await healths(
    network,
    named.map(({ account }) => account),
  )
  const bidding = new AbortController()
  const bids = createBidder({
    network: network.manifest,
    account: bidder.account,
    chains: network.manifest.chains.map((chain, index) => ({ chain, ...bidder.wallets[index]! })),
    ...BIDDER,
    startBlock: network.firstBlock,
    clock: network.realClock,
    logger: stage.logger,
  }).run(AbortSignal.any([bidding.signal, stage.signal]))
  bids.catch(() => {}) // awaited below
  try {
    const replay = network.startReplay()
    await crash(stage, characters, replay)
    const left = await aftermath(stage, { characters, named, dated })
    return await compileReport({ network, record: { replay, before, fundBefore, named, dated, left } })
  } finally {
    bidding.abort()
    await bids
  }
}

async function firstPrices({ network, onProgress, signal }: Stage): Promise<void> {
  const took = stopwatch(network.realClock)
  await Promise.all(
    network.manifest.chains.map((chain, index) =>
      until({
        what: `the first report on ${chain.name}`,
        clock: network.realClock,
        timeoutMs: FIRST_PRICE_TIMEOUT_MS,
        signal,
        found: async () => {
          const [, seq] = await network.chains[index]!.client.readContract({
            address: chain.contracts.priceOracle,
            abi: iPriceOracleAbi,
            functionName: 'latest',
          })
          return seq > 0n || undefined
        },
      }),
    ),
  )
  const prices = await Promise.all(
    perpetualsOf(network)
      .slice(0, 3)
      .map(async ({ base }) => `${base} ${usd(await oraclePrice(network, base))}`),
  )
  onProgress(`prices: first signed report on every chain after ${took()}: ${prices.join(', ')}`)
}

function perpetualsOf({ markets }: LocalNetwork) {
  return markets.instruments.filter(({ kind }) => kind === 'perpetual')
}

async function crash(
  { network, onProgress, signal }: Stage,
  characters: readonly Character[],
  replay: { startMs: number; endMs: number },
): Promise<void> {
  const { worst, startMs, endMs } = network.window
  const what = worst
    ? `${worst.source} ${worst.symbol} falls ${(worst.depth * 100).toFixed(1)}%`
    : 'no price falls in it'
  onProgress(
    `crash: replaying ${new Date(startMs).toISOString()} to ${new Date(endMs).toISOString()} at ${network.timing.speed}×; ${what}`,
  )
  const middle = replay.startMs + (replay.endMs - replay.startMs) / 2
  let withdrawn = false
  while (network.clock.now() < replay.endMs) {
    await network.realClock.sleep(
      Math.min(LINE_MS, Math.max(100, (replay.endMs - network.clock.now()) / network.timing.speed)),
      signal,
    )
    onProgress(await crashLine(network, characters))
    if (!withdrawn && network.clock.now() >= middle) {
      withdrawn = true
      await withdrawAll({ network, onProgress, characters, when: 'crash' })
    }
  }
}

async function crashLine(network: LocalNetwork, characters: readonly Character[]): Promise<string> {
  const time = new Date(network.tapeTime(network.clock.now())).toISOString().slice(0, 16)
  const prices = await Promise.all(
    perpetualsOf(network)
      .slice(0, 2)
      .map(async ({ base }) => `${base} ${usd(await oraclePrice(network, base))}`),
  )
  const states = await healths(
    network,
    characters.map(({ actor }) => actor.account),
  )
  const people = characters.map(({ plan, actor }) => {
    const { equity, mm } = states.get(actor.account)!
    return `${plan.name} ${usd(equity)}${mm < 0n ? ' !' : ''}`
  })
  return `  ${time}  ${prices.join('  ')}  equity: ${people.join(', ')}`
}

async function withdrawAll(options: {
  network: LocalNetwork
  onProgress: (line: string) => void
  characters: readonly Character[]
  when: 'crash' | 'end'
}): Promise<void> {
  const { network, characters, when, onProgress } = options
  for (const { actor, plan } of characters) {
    const first = plan.deposits[0]
    if (plan.withdrawal?.when !== when || first === undefined) continue
    const token = tokenOn(network, first.chain, first.token)
    const { im } = (await healths(network, [actor.account])).get(actor.account)!
    const { share } = plan.withdrawal
    const amount = await withdrawable(network, actor, token, { worth: first.usd, share })
    // Without a position nothing may keep anybody in; with one, the margin decides.
    if (plan.trades.length > 0 && im < parseUnits(String(first.usd * share), 18)) {
      onProgress(`withdrawal: none for ${plan.name}, whose free margin is ${usd(im)}`)
      continue
    }
    await actor.hub.send([withdrawCall(network, actor, token.assetId, amount)])
    onProgress(
      `withdrawal: ${plan.name} takes ${formatUnits(amount, token.decimals)} ${token.symbol} to ${network.manifest.chains[first.chain]!.name}`,
    )
  }
}

/** Share of a deposit: of the cash that it was worth, as far as there still is as much, or of the claim that is left. Token decimals. */
async function withdrawable(
  network: LocalNetwork,
  actor: Actor,
  token: Token,
  { worth, share }: { worth: number; share: number },
): Promise<bigint> {
  const hub = hubClient(network)
  const read = { address: network.manifest.hub.contracts.clearinghouse, abi: iClearinghouseAbi } as const
  if (token.settlement) {
    const cash = await hub.readContract({ ...read, functionName: 'cash', args: [actor.account] })
    const held = cash / 10n ** BigInt(18 - token.decimals)
    const wanted = unitsWorth(worth * share, WAD, token.decimals)
    return wanted < held ? wanted : held
  }
  const { claim } = await hub.readContract({
    ...read,
    functionName: 'row',
    args: [actor.account, BigInt(token.assetId)],
  })
  return (claim * BigInt(Math.round(share * 100))) / 100n
}

/** Waits until nothing is under way, and answers what still is when nothing has changed for too long: auctions, lots, messages, payouts. */
async function aftermath(
  stage: Stage,
  {
    characters,
    named,
    dated,
  }: { characters: readonly Character[]; named: readonly NamedAccount[]; dated: readonly DatedTerms[] },
): Promise<Outstanding> {
  const { network, onProgress, signal } = stage
  await withdrawAll({ network, onProgress, characters, when: 'end' })
  const { realClock } = network
  const took = stopwatch(realClock)
  const { takeOverAfter, lotSeconds, speed } = network.timing
  const lastExpiry = Math.max(0, ...dated.map(({ expiry }) => expiry - network.clock.now() / 1000))
  const patience = SETTLE_TIMEOUT_MS + ((takeOverAfter + lotSeconds + lastExpiry) / speed) * 1_000
  let [said, changed, before] = [realClock.now(), realClock.now(), '']
  for (;;) {
    const left = await outstanding(
      network,
      named.map(({ account }) => account),
      dated,
    )
    const under = [...left.messages, ...left.sales, ...left.expiries]
    const count = under.length
    if (under.join() !== before) [changed, before] = [realClock.now(), under.join()]
    if (count === 0) onProgress(`settled: nothing is under way any more (${took()})`)
    if (count === 0 || realClock.now() > changed + patience) return left
    if (realClock.now() >= said + LINE_MS) {
      said = realClock.now()
      onProgress(`  under way: ${under.join(', ')}`)
    }
    await realClock.sleep(SETTLE_POLL_MS, signal)
  }
}
