import { backstopAbi, clearinghouseAbi, hubGatewayAbi, riskConfigAbi } from '@clearspan/contracts'
import { type Hex, parseEventLogs } from 'viem'
import { readAll } from '../chains/read.js'
import { requestOf } from '../chains/request.js'
import { trySequence } from '../chains/simulate.js'
import { assertSent, type LaneContext, type LanePart, openLane } from './context.js'
import { createDirtyKeys } from './counters.js'

/** Rows looked at in one job. */
const LOOKUP = 100
/** A part of what waits is moved only when it is this share of the bucket: a bucket drips, and each move costs a transaction. */
const BUCKET_SHARE = 10n

interface RowKey {
  account: Hex
  assetId: bigint
}

/**
 * Moves booked amounts through their maturing bucket as it lets them, books regressions that have outlasted their delay, hands on what
 * came back of booked ones, and tells the hub which chains are silent.
 */
export async function createMatureLane(context: LaneContext): Promise<LanePart> {
  const { network, hub } = context
  const { client, feed, senders } = hub
  const { clearinghouse, hubGateway, riskConfig, backstop } = network.hub.contracts
  const assets = new Map(
    context.chains.flatMap(({ chain }) =>
      chain.tokens.map((token) => [`${chain.eid}:${token.address.toLowerCase()}`, BigInt(token.assetId)]),
    ),
  )
  const rows = createDirtyKeys<RowKey>()
  const touch = (account: Hex, assetId: bigint) =>
    rows.touch(`${account}:${assetId}`, { account, assetId }, undefined)
  const returned = createDirtyKeys<bigint>()
  const target = { address: clearinghouse, abi: clearinghouseAbi } as const

  async function repair(): Promise<void> {
    const taken = returned.take(LOOKUP)
    if (taken.length === 0) return
    const states = await readAll(
      client,
      taken.map(({ key }) => ({ ...target, functionName: 'vaulted', args: [key] }) as const),
    )
    const waiting = taken.flatMap((asset, i) => {
      if ((states[i]?.[4] ?? 0n) === 0n) {
        returned.clean(asset.id, asset.touched)
        return []
      }
      return [{ ...target, functionName: 'repair', args: [asset.key] } as const]
    })
    const results = await trySequence(client, waiting)
    const possible = waiting.filter((_, i) => typeof results[i] === 'bigint' && results[i] > 0n)
    assertSent(await senders.bulk.sendMany(possible.map((call) => requestOf(call, 'repair'))))
  }

  async function move(): Promise<void> {
    await repair()
    const taken = rows.take(LOOKUP)
    if (taken.length === 0) return
    const [states, parameters] = await Promise.all([
      readAll(
        client,
        taken.map(
          ({ key: { account, assetId } }) =>
            ({ ...target, functionName: 'row', args: [account, assetId] }) as const,
        ),
      ),
      readAll(
        client,
        taken.map(({ key: { assetId } }) => {
          const call = { address: riskConfig, abi: riskConfigAbi, functionName: 'asset' } as const
          return { ...call, args: [assetId] } as const
        }),
      ),
    ])
    const waiting = taken.flatMap((row, i) => {
      const state = states[i]
      // Cash needs no row.
      const open = state?.open === true || parameters[i]?.settlement === true
      const matures = open && (state?.immature ?? 0n) > 0n
      const regressed = (state?.regressedSince ?? 0n) > 0n
      if (state === undefined || (!matures && !regressed)) {
        rows.clean(row.id, row.touched)
        return []
      }
      const functionName = regressed ? ('bookRegression' as const) : ('mature' as const)
      const least = min(state.immature, (parameters[i]?.matureCap ?? 0n) / BUCKET_SHARE)
      return [{ call: { ...target, functionName, args: [row.key.account, row.key.assetId] } as const, least }]
    })
    const results = await trySequence(
      client,
      waiting.map(({ call }) => call),
    )
    const possible = waiting.filter(({ call: { functionName }, least }, i) => {
      const result = results[i]
      return functionName === 'mature'
        ? typeof result === 'bigint' && result > 0n && result >= least
        : result === null
    })
    assertSent(await senders.bulk.sendMany(possible.map(({ call }) => requestOf(call, call.functionName))))
  }

  /**
   * Nobody else is waited for: whoever sees that a chain has fallen silent, or speaks again, says so. One that never spoke has nothing on the
   * hub, and its first deposit must not wait until somebody takes back that it is silent.
   */
  async function watch(): Promise<void> {
    const heard = await readAll(
      client,
      context.chains.map(({ chain }) => {
        const call = { address: hubGateway, abi: hubGatewayAbi, functionName: 'lastSpokeTime' } as const
        return { ...call, args: [chain.eid] } as const
      }),
    )
    const known = context.chains.filter((_, i) => (heard[i] ?? 0n) > 0n)
    const ids = known.flatMap(({ chain }) => chain.tokens.map(({ assetId }) => BigInt(assetId)))
    const call = { ...target, functionName: 'watch', args: [ids] } as const
    const [changed] = await trySequence(client, [call])
    if (typeof changed === 'bigint' && changed > 0n) await senders.bulk.send(requestOf(call, 'watch'))
  }

  const { lane, ring } = await openLane(context, 'mature', { move, watch })
  feed.listen({
    scrubbed: true,
    addresses: [clearinghouse],
    abi: clearinghouseAbi,
    onLogs(logs) {
      for (const { eventName, args } of parseEventLogs({ abi: clearinghouseAbi, logs, strict: true })) {
        if (eventName === 'Booked' || eventName === 'RowOpened' || eventName === 'Regressed')
          touch(args.account, args.assetId)
        if (eventName === 'Returned') returned.touch(String(args.assetId), args.assetId, undefined)
        if (eventName === 'CounterReceived') {
          const assetId = assets.get(`${args.eid}:${args.token.toLowerCase()}`)
          if (assetId !== undefined) touch(args.account, assetId)
        }
      }
    },
  })
  feed.onHead(() => {
    if (rows.size() > 0 || returned.size() > 0) ring('move')
  })
  return {
    lane,
    async sweep() {
      const account = await client.readContract({
        address: backstop,
        abi: backstopAbi,
        functionName: 'account',
      })
      for (const assetId of assets.values()) {
        touch(account, assetId)
        returned.touch(String(assetId), assetId, undefined)
      }
      rows.markAll()
      returned.markAll()
      ring('move')
      ring('watch')
    },
  }
}

function min(a: bigint, b: bigint): bigint {
  return a < b ? a : b
}
