import { iClearinghouseAbi, insuranceFundAbi } from '@clearspan/contracts'
import type { LocalNetwork } from '../network/localNetwork.js'
import { stopwatch } from '../stopwatch.js'
import { type Actor, approve, depositCalls, enrolCalls, mint } from './cast.js'
import { CAPITAL } from './plan.js'
import { hubClient, oraclePrice, unitsWorth } from './prices.js'
import type { Character, Stage } from './stage.js'
import { hubIndex, tokenOn } from './state.js'
import { until } from './until.js'
import type { Call } from './wallet.js'

const WAD = 10n ** 18n
/** Real ms between two lines about what is awaited. */
const LINE_MS = 5_000
/** For a machine that is busy with other work, too. */
const CREDIT_TIMEOUT_MS = 300_000

interface Entrance {
  actor: Actor
  portfolio?: boolean | undefined
  /** Chain index, token index, token decimals. */
  deposits: { chain: number; token: number; amount: bigint }[]
}

/** Deposits for everybody on every chain, capital of the fund, and the wait until the hub has credited all of it. */
export async function enterAll(
  stage: Stage,
  cast: { characters: Character[]; maker: Actor; bidder: Actor; underwriter: Actor },
): Promise<void> {
  const { network, onProgress } = stage
  const { tokens } = network.markets
  const prices = await Promise.all(
    tokens.map(({ base, settlement }) => (settlement ? Promise.resolve(WAD) : oraclePrice(network, base))),
  )
  const amount = (token: number, worth: number) => unitsWorth(worth, prices[token]!, tokens[token]!.decimals)
  const entrances: Entrance[] = [
    ...cast.characters.map(({ actor, plan }) => ({
      actor,
      portfolio: plan.portfolio,
      deposits: plan.deposits.map(({ chain, token, usd: worth }) => ({
        chain,
        token,
        amount: amount(token, worth),
      })),
    })),
    {
      actor: cast.maker,
      deposits: network.chains.map((_, chain) => ({
        chain,
        token: 0,
        amount: amount(0, CAPITAL.makerPerChain),
      })),
    },
    {
      actor: cast.bidder,
      deposits: [{ chain: hubIndex(network), token: 0, amount: amount(0, CAPITAL.bidderCash) }],
    },
  ]
  const took = stopwatch(network.realClock)
  await Promise.all([
    ...entrances.flatMap((entrance) => enter(network, entrance)),
    ...cast.bidder.wallets.map((wallet, chain) =>
      chain === hubIndex(network)
        ? undefined
        : wallet.send([mint(cast.bidder, tokenOn(network, chain, 0), amount(0, CAPITAL.bidderWallet))]),
    ),
    insure(network, cast.underwriter, amount(0, CAPITAL.fund)),
  ])
  onProgress(
    `deposits: ${entrances.flatMap(({ deposits }) => deposits).length} made on ${network.chains.length} chains (${took()})`,
  )
  await credited(stage, entrances)
  onProgress(`deposits: all credited on the hub after ${took()}`)
}

/** One transaction list a chain; on the hub's chain the enrolment comes first. */
function enter(network: LocalNetwork, { actor, portfolio = false, deposits }: Entrance): Promise<unknown>[] {
  const rows = deposits
    .filter(({ token }) => token > 0)
    .map(({ chain, token }) => tokenOn(network, chain, token).assetId)
  return actor.wallets.map((wallet, chain) => {
    const calls: Call[] = chain === hubIndex(network) ? enrolCalls(network, actor, rows, portfolio) : []
    for (const deposit of deposits.filter((one) => one.chain === chain))
      calls.push(
        ...depositCalls(
          actor,
          network.manifest.chains[chain]!,
          tokenOn(network, chain, deposit.token),
          deposit.amount,
        ),
      )
    return calls.length === 0 ? Promise.resolve() : wallet.send(calls)
  })
}

async function insure(network: LocalNetwork, underwriter: Actor, amount: bigint): Promise<void> {
  const token = tokenOn(network, hubIndex(network), 0)
  const { insuranceFund } = network.manifest.hub.contracts
  await underwriter.hub.send([
    mint(underwriter, token, amount),
    approve(token, insuranceFund, amount),
    {
      to: insuranceFund,
      abi: insuranceFundAbi,
      functionName: 'deposit',
      args: [amount, underwriter.key.account.address],
    },
  ])
}

async function credited(
  { network, signal, onProgress }: Stage,
  entrances: readonly Entrance[],
): Promise<void> {
  const hub = hubClient(network)
  const { clearinghouse } = network.manifest.hub.contracts
  const { realClock } = network
  let waiting: string[] = []
  let said = realClock.now()
  const deposits = entrances.flatMap(({ actor, deposits }) =>
    deposits.map((deposit) => ({ actor, ...deposit })),
  )
  await until({
    what: 'crediting the deposits',
    clock: realClock,
    timeoutMs: CREDIT_TIMEOUT_MS,
    signal,
    missing: () => waiting.join(', '),
    found: async () => {
      const rows = await Promise.all(
        deposits.map(async ({ actor, chain, token, amount }) => {
          const { assetId, symbol } = tokenOn(network, chain, token)
          const row = await hub.readContract({
            address: clearinghouse,
            abi: iClearinghouseAbi,
            functionName: 'row',
            args: [actor.account, BigInt(assetId)],
          })
          const done = row.credited >= amount && row.immature === 0n
          return done ? undefined : `${actor.name}'s ${symbol} on ${network.manifest.chains[chain]!.name}`
        }),
      )
      waiting = rows.filter((row) => row !== undefined)
      if (waiting.length > 0 && realClock.now() >= said + LINE_MS) {
        said = realClock.now()
        onProgress(`  ${rows.length - waiting.length} of ${rows.length} deposits credited`)
      }
      return waiting.length === 0 || undefined
    },
  })
}
