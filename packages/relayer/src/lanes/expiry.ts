import { clearinghouseAbi, iInstrumentAbi, riskConfigAbi } from '@clearspan/contracts'
import type { Address, Hex } from 'viem'
import { readAll } from '../chains/read.js'
import { requestOf } from '../chains/request.js'
import { trySequence } from '../chains/simulate.js'
import { assertSent, type LaneContext, type LanePart, openLane } from './context.js'
import { batches } from './counters.js'
import type { KeeperBook } from './keeper-book.js'

/** Positions settled in one job; the next head brings the next. */
const LOOKUP = 50
/** Heads between two looks: what is fixed stands until the next expiry, and nothing here is urgent. */
const HEADS = 3
/** What an account is still owed is fetched when it is more than this, WAD: less isn't worth a transaction. */
const LEAST_PAID = 10n ** 15n
/** A winner's payment needs more gas once the losers before it have filled the pool than when it is estimated. */
const SETTLE_GAS = 600_000n

interface Dated {
  id: bigint
  module: Address
}

interface Expired {
  account: Hex
  id: bigint
  size: bigint
  /** At the settlement price, WAD. */
  pnl: bigint
}

/**
 * Brings what expires to its end: fixings and coupons as soon as they are signed, then every account's position, losers first, so that winners
 * find what they are owed. Everything is derived from the hub's state; whoever else does the same is welcome.
 */
export async function createExpiryLane(context: LaneContext, book: KeeperBook): Promise<LanePart> {
  const { network, hub } = context
  const { client, senders, feed } = hub
  const { clearinghouse, riskConfig, perp } = network.hub.contracts
  const config = { address: riskConfig, abi: riskConfigAbi } as const
  const ledger = { address: clearinghouse, abi: clearinghouseAbi } as const
  const moduleOf = ({ module }: Dated) => ({ address: module, abi: iInstrumentAbi }) as const
  /** Instruments that may still need something. */
  let live: Dated[] = []
  let isKnown = false
  /** All accounts are asked again, for what they were owed when a pool was empty. */
  let isThorough = true
  let skipped = 0
  let heads = 0

  /** Perpetuals never expire, and their funding follows from time: nothing is called for them. */
  async function learn(): Promise<void> {
    const count = await client.readContract({ ...config, functionName: 'instrumentCount' })
    const ids = Array.from({ length: Number(count) }, (_, index) => BigInt(index + 1))
    const found = await readAll(
      client,
      ids.map((id) => ({ ...config, functionName: 'instrument', args: [id] }) as const),
    )
    live = ids.flatMap((id, i) => {
      const module = found[i]!.module
      return module.toLowerCase() === perp.toLowerCase() ? [] : [{ id, module }]
    })
    isKnown = true
    isThorough = true
  }

  /** Whether each is settled after what can be accrued now, which is sent; undefined for one without terms. */
  async function accrue(): Promise<(boolean | undefined)[]> {
    const steps = live.flatMap((one) => {
      const args = [one.id] as const
      const module = moduleOf(one)
      return [
        { ...module, functionName: 'settlement', args },
        { ...module, functionName: 'costIndex', args },
        { ...module, functionName: 'accrue', args },
        { ...module, functionName: 'costIndex', args },
        { ...module, functionName: 'settlement', args },
      ] as const
    })
    const results = batches(await trySequence(client, steps), 5) as [
      before: readonly [boolean, bigint] | undefined,
      indexBefore: bigint | undefined,
      accrued: bigint | undefined,
      indexAfter: bigint | undefined,
      after: readonly [boolean, bigint] | undefined,
    ][]
    const due = live.filter((_, i) => {
      const [before, indexBefore, , indexAfter, after] = results[i]!
      return indexBefore !== indexAfter || before?.[0] !== after?.[0]
    })
    const calls = due.map((one) => ({ ...moduleOf(one), functionName: 'accrue', args: [one.id] }) as const)
    assertSent(await senders.bulk.sendMany(calls.map((call) => requestOf(call, 'accrue'))))
    return results.map(([, , , , after]) => after?.[0])
  }

  /** Positions in these instruments that settling would change, the largest loss first. */
  async function expired(settled: readonly Dated[]): Promise<Expired[]> {
    const accounts = book.accounts()
    const lists = await readAll(
      client,
      accounts.map((account) => ({ ...ledger, functionName: 'instrumentsOf', args: [account] }) as const),
    )
    const held = accounts.flatMap((account, i) =>
      settled.filter(({ id }) => lists[i]!.includes(id)).map((one) => ({ ...one, account })),
    )
    const [positions, prices] = await Promise.all([
      readAll(
        client,
        held.map(
          ({ account, id }) => ({ ...ledger, functionName: 'position', args: [account, id] }) as const,
        ),
      ),
      readAll(
        client,
        held.map((one) => ({ ...moduleOf(one), functionName: 'settlement', args: [one.id] }) as const),
      ),
    ])
    return held
      .map(({ account, id }, i) => {
        const { size, quote } = positions[i]!
        return { account, id, size, pnl: (size * prices[i]![1]) / 10n ** 18n + quote }
      })
      .sort((a, b) => (a.pnl < b.pnl ? -1 : a.pnl > b.pnl ? 1 : 0))
  }

  async function settle(settled: readonly Dated[]): Promise<void> {
    const all = await expired(settled)
    // Where not all can be looked at, those that nothing can be done for now keep no others from their turn.
    const first = all.length > LOOKUP ? skipped % all.length : 0
    const waiting = [...all.slice(first), ...all.slice(0, first)].slice(0, LOOKUP)
    const calls = waiting.map(
      ({ account, id }) => ({ ...ledger, functionName: 'settleExpired', args: [account, id] }) as const,
    )
    const amounts = await trySequence(client, calls)
    const due = calls.filter((_, i) => {
      const amount = amounts[i]
      if (typeof amount !== 'bigint') return false
      return waiting[i]!.size !== 0n || amount >= LEAST_PAID || -amount >= LEAST_PAID
    })
    skipped = first + waiting.length - due.length
    assertSent(
      await senders.bulk.sendMany(
        due.map((call) => ({ ...requestOf(call, 'settle expired'), gas: SETTLE_GAS })),
      ),
    )
  }

  async function finish(): Promise<void> {
    if (!isKnown) await learn()
    if (live.length === 0) return
    const isSettled = await accrue()
    const settled = live.filter((_, i) => isSettled[i] === true)
    if (settled.length === 0) return
    const open = await readAll(
      client,
      settled.map(({ id }) => ({ ...ledger, functionName: 'openInterest', args: [id] }) as const),
    )
    const waiting = settled.filter((_, i) => isThorough || open[i]![0] + open[i]![1] > 0n)
    if (waiting.length > 0) await settle(waiting)
    isThorough = false
    // Until the next sweep, which looks at everything again.
    const done = new Set(settled.filter((one) => !waiting.includes(one)).map(({ id }) => id))
    live = live.filter(({ id }) => !done.has(id))
  }

  const { lane, ring } = await openLane(context, 'expiry', { finish })
  feed.onHead(() => {
    if (heads++ % HEADS === 0 && (!isKnown || live.length > 0)) ring('finish')
  })
  return {
    lane,
    sweep() {
      isKnown = false
      ring('finish')
    },
  }
}
