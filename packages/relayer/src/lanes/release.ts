import { clearinghouseAbi, collateralVaultAbi, hubGatewayAbi } from '@clearspan/contracts'
import type { TransactionRequest } from '@clearspan/shared'
import { type Address, encodeFunctionData, type Hex, parseEventLogs } from 'viem'
import type { ChainContext } from '../chains/context.js'
import { readAll } from '../chains/read.js'
import { requestOf } from '../chains/request.js'
import { trySequence } from '../chains/simulate.js'
import { nonceSent, pathBetween, usedUp } from './carried.js'
import { assertSent, type LaneContext, type LanePart, openLane } from './context.js'
import { batches, createDirtyKeys, createTurns, dueCounters } from './counters.js'

/** Keys compared in one job. */
const LOOKUP = 300
/** Payouts tried in one job. */
const PAYOUTS = 50
/** What a vault's limits let pass of a payout is fetched when it is all of the rest, or at least one in so many parts of it. */
const PART = 8n

interface ReleaseKey {
  account: Hex
  recipient: Address
  token: Address
  assetId: bigint
}

/** Brings the hub's released counters to one spoke, and pushes payouts that its vault has been told of and could not make then. */
export async function createReleaseLane(context: LaneContext, spoke: ChainContext): Promise<LanePart> {
  const { network, hub, config, clock, stages } = context
  const { chain, client, feed, senders } = spoke
  const { vault } = chain.contracts
  const { clearinghouse, hubGateway } = network.hub.contracts
  const tokens = new Map(chain.tokens.map(({ address, assetId }) => [BigInt(assetId), address]))
  const assets = new Map(chain.tokens.map(({ address, assetId }) => [address.toLowerCase(), BigInt(assetId)]))
  const keys = createDirtyKeys<ReleaseKey>()
  const path = pathBetween(hub.chain, hubGateway, chain, chain.contracts.spokeGateway)
  const inTurns = createTurns(PAYOUTS)
  let lastMessage = 0n

  async function requestFor(releases: readonly ReleaseKey[]): Promise<TransactionRequest> {
    const list = releases.map(({ account, recipient, assetId }) => ({ account, recipient, assetId }))
    const args = [chain.eid, list] as const
    const gateway = { address: hubGateway, abi: hubGatewayAbi } as const
    const fee = await hub.client.readContract({ ...gateway, functionName: 'quoteReleases', args })
    return {
      to: hubGateway,
      data: encodeFunctionData({ abi: hubGatewayAbi, functionName: 'sendReleases', args }),
      // Prices may move until it is mined; the gateway refunds the rest.
      value: fee + fee / 10n,
      label: releases.length === 0 ? 'heartbeat' : 'releases',
      abi: hubGatewayAbi,
    }
  }

  async function readCounters(taken: readonly { key: ReleaseKey }[]) {
    const [released, received] = await Promise.all([
      readAll(
        hub.client,
        taken.map(({ key: { account, recipient, assetId } }) => {
          const call = { address: clearinghouse, abi: clearinghouseAbi, functionName: 'released' } as const
          return { ...call, args: [account, recipient, assetId] } as const
        }),
      ),
      Promise.all(
        (['released', 'paidOut'] as const).map((functionName) =>
          readAll(
            client,
            taken.map(({ key: { account, token, recipient } }) => {
              const call = { address: vault, abi: collateralVaultAbi, functionName } as const
              return { ...call, args: [account, token, recipient] } as const
            }),
          ),
        ),
      ),
    ])
    const [heard, paid] = received
    return taken.map((_, i) => ({
      owned: released[i] ?? 0n,
      received: firstOf(heard?.[i]),
      paid: firstOf(paid?.[i]),
    }))
  }

  async function send(): Promise<void> {
    const taken = keys.take(LOOKUP)
    if (taken.length === 0) return
    // Before the counters: what such a packet brought is in them.
    const used = await usedUp(
      spoke,
      path,
      taken.flatMap(({ id }) => keys.lastSent(id)?.nonce ?? []),
    )
    const counters = await readCounters(taken)
    const states = taken.map((key, i) => ({ key, ...(counters[i] ?? { owned: 0n, received: 0n, paid: 0n }) }))
    for (const { key, owned, received, paid } of states)
      if (owned === received && paid >= received) keys.clean(key.id, key.touched)
    await pay(
      states.flatMap(({ key, received, paid }) =>
        paid < received ? [{ ...key.key, rest: received - paid }] : [],
      ),
    )
    const due = dueCounters(states, ({ id }) => keys.lastSent(id), clock.now(), config.resendMs, used)
    const groups = batches(due, config.batch.releases)
    const requests = await Promise.all(groups.map((group) => requestFor(group.map(({ key }) => key.key))))
    const results = await hub.senders.bulk.sendMany(requests)
    for (const [i, result] of results.entries()) {
      if (result.status !== 'fulfilled') continue
      const { readyAt, broadcastAt, minedAt, missedFirstBlock, receipt } = result.value
      const nonce = nonceSent(receipt.logs, hub.chain, path)
      for (const { key, owned } of groups[i] ?? []) {
        const times = { readyAt, broadcastAt, minedAt, missedFirstBlock }
        if (key.dueAt !== undefined)
          stages.sample({ label: 'release', chainId: hub.chain.chainId, dueAt: key.dueAt, ...times })
        keys.markSent(key.id, { value: owned, at: clock.now(), nonce })
      }
    }
    assertSent(results)
  }

  /** Only payouts that the vault would make now: a failing token or a vault that is short is nobody's to force, nor is its limit. */
  async function pay(owed: readonly (ReleaseKey & { rest: bigint })[]): Promise<void> {
    const tried = inTurns(owed)
    if (tried.length === 0) return
    const calls = tried.map(({ account, token, recipient }) => {
      const call = { address: vault, abi: collateralVaultAbi, functionName: 'pay' } as const
      return { ...call, args: [account, token, recipient] } as const
    })
    const amounts = await trySequence(client, calls)
    const possible = calls.filter((_, i) => {
      const [amount, rest] = [amounts[i], tried[i]?.rest ?? 0n]
      return typeof amount === 'bigint' && amount > 0n && amount * PART >= rest
    })
    assertSent(await senders.bulk.sendMany(possible.map((call) => requestOf(call, 'pay'))))
  }

  const isSilent = (now: bigint) =>
    config.heartbeatSeconds > 0 && now - lastMessage >= BigInt(config.heartbeatSeconds)

  async function heartbeat(): Promise<void> {
    const head = hub.feed.head()
    if (head === undefined || !isSilent(head.timestamp)) return
    await hub.senders.bulk.send(await requestFor([]))
    lastMessage = head.timestamp
  }

  const { lane, ring } = await openLane(context, `release-${chain.chainId}`, { send, heartbeat })
  hub.feed.listen({
    scrubbed: true,
    addresses: [clearinghouse, hubGateway],
    abi: [...clearinghouseAbi, ...hubGatewayAbi],
    // A message that a reorg took may not come again.
    onReorg: keys.forgetSent,
    onLogs(logs) {
      const abi = [...clearinghouseAbi, ...hubGatewayAbi] as const
      for (const { eventName, args } of parseEventLogs({ abi, logs, strict: true })) {
        if (eventName === 'ReleasesSent' && args.eid === chain.eid && args.time > lastMessage)
          lastMessage = args.time
        if (eventName !== 'Released') continue
        const token = tokens.get(args.assetId)
        if (token === undefined) continue
        const { account, recipient, assetId } = args
        keys.touch(idOf(account, recipient, assetId), { account, recipient, assetId, token }, clock.now())
      }
    },
  })
  feed.listen({
    scrubbed: true,
    addresses: [vault],
    abi: collateralVaultAbi,
    onLogs(logs) {
      for (const { eventName, args } of parseEventLogs({ abi: collateralVaultAbi, logs, strict: true })) {
        if (eventName !== 'PayoutFailed' && eventName !== 'ReleaseReceived') continue
        const { account, recipient, token } = args
        const assetId = assets.get(token.toLowerCase())
        if (assetId === undefined) continue
        keys.touch(idOf(account, recipient, assetId), { account, recipient, assetId, token }, undefined)
      }
    },
  })
  const ringIfDirty = () => {
    if (keys.size() > 0) ring('send')
  }
  hub.feed.onHead(({ timestamp }) => {
    ringIfDirty()
    if (isSilent(timestamp)) ring('heartbeat')
  })
  if (spoke !== hub) feed.onHead(ringIfDirty)
  return {
    lane,
    sweep() {
      keys.markAll()
      ring('send')
    },
  }
}

function idOf(account: Hex, recipient: Address, assetId: bigint): string {
  return `${account}:${recipient.toLowerCase()}:${assetId}`
}

/** `released` answers a value and its time, `paidOut` a value. */
function firstOf(value: bigint | readonly [bigint, bigint] | undefined): bigint {
  return typeof value === 'bigint' ? value : (value?.[0] ?? 0n)
}
