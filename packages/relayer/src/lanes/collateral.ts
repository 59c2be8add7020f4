import { clearinghouseAbi, collateralVaultAbi, hubGatewayAbi, spokeGatewayAbi } from '@clearspan/contracts'
import type { SentTransaction, TransactionRequest } from '@clearspan/shared'
import { type Address, encodeFunctionData, type Hex, parseEventLogs } from 'viem'
import type { ChainContext } from '../chains/context.js'
import { readAll } from '../chains/read.js'
import { nonceSent, pathBetween, usedUp } from './carried.js'
import { assertSent, type LaneContext, type LanePart, openLane } from './context.js'
import { batches, createDirtyKeys, dueCounters } from './counters.js'
import { createDepositWatch } from './deposit-watch.js'

/** Keys compared in one job. */
const LOOKUP = 500

interface DepositKey {
  account: Hex
  token: Address
  assetId: bigint
}

/**
 * Brings one vault's deposit counters to the hub. A counter may be sent as soon as its block is seen: the message reads it on chain, so a reorg
 * takes both or neither, and only the packet needs to be deep before it is attested.
 */
export async function createCollateralLane(context: LaneContext, spoke: ChainContext): Promise<LanePart> {
  const { network, hub, config, clock, stages } = context
  const { chain, client, feed, senders } = spoke
  const { vault, spokeGateway } = chain.contracts
  const { clearinghouse, hubGateway } = network.hub.contracts
  const assets = new Map(chain.tokens.map(({ address, assetId }) => [address.toLowerCase(), BigInt(assetId)]))
  const keys = createDirtyKeys<DepositKey>()
  const path = pathBetween(chain, spokeGateway, hub.chain, hubGateway)
  const deposits = createDepositWatch(context, spoke)
  let lastMessage = 0n

  async function requestFor(counters: readonly DepositKey[]): Promise<TransactionRequest> {
    const args = [counters.map(({ account, token }) => ({ account, token }))] as const
    const gateway = { address: spokeGateway, abi: spokeGatewayAbi } as const
    const fee = await client.readContract({ ...gateway, functionName: 'quoteCounters', args })
    return {
      to: spokeGateway,
      data: encodeFunctionData({ abi: spokeGatewayAbi, functionName: 'sendCounters', args }),
      // Prices may move until it is mined; the gateway refunds the rest.
      value: fee + fee / 10n,
      label: counters.length === 0 ? 'heartbeat' : 'counters',
      abi: spokeGatewayAbi,
    }
  }

  async function send(): Promise<void> {
    const taken = keys.take(LOOKUP)
    if (taken.length === 0) return
    // Before the rows: what such a packet brought is in them.
    const used = await usedUp(
      hub,
      path,
      taken.flatMap(({ id }) => keys.lastSent(id)?.nonce ?? []),
    )
    const [deposited, rows] = await Promise.all([
      readAll(
        client,
        taken.map(({ key: { account, token } }) => {
          const call = { address: vault, abi: collateralVaultAbi, functionName: 'depositedIn' } as const
          return { ...call, args: [account, token] } as const
        }),
      ),
      readAll(
        hub.client,
        taken.map(({ key: { account, assetId } }) => {
          const call = { address: clearinghouse, abi: clearinghouseAbi, functionName: 'row' } as const
          return { ...call, args: [account, assetId] } as const
        }),
      ),
    ])
    const states = taken.map((key, i) => ({
      key,
      owned: deposited[i] ?? 0n,
      received: rows[i]?.target ?? 0n,
    }))
    for (const { key, owned } of states) deposits.note(key.id, key.key.token, owned)
    for (const { key, owned, received } of states) if (owned === received) keys.clean(key.id, key.touched)
    const due = dueCounters(states, ({ id }) => keys.lastSent(id), clock.now(), config.resendMs, used)
    const groups = batches(due, config.batch.counters)
    const requests = await Promise.all(groups.map((group) => requestFor(group.map(({ key }) => key.key))))
    const results = await senders.bulk.sendMany(requests)
    for (const [i, result] of results.entries()) {
      if (result.status !== 'fulfilled') continue
      const nonce = nonceSent(result.value.receipt.logs, chain, path)
      for (const { key, owned } of groups[i] ?? []) {
        sample(result.value, key.dueAt)
        keys.markSent(key.id, { value: owned, at: clock.now(), nonce })
      }
    }
    assertSent(results)
  }

  function sample(
    { readyAt, broadcastAt, minedAt, missedFirstBlock }: SentTransaction,
    dueAt?: number,
  ): void {
    if (dueAt === undefined) return
    const times = { dueAt, readyAt, broadcastAt, minedAt, missedFirstBlock }
    stages.sample({ label: 'deposit', chainId: chain.chainId, ...times })
  }

  const isSilent = (since: bigint, now: bigint) =>
    config.heartbeatSeconds > 0 && now - since >= BigInt(config.heartbeatSeconds)

  async function heartbeat(): Promise<void> {
    const head = feed.head()
    if (head === undefined || !isSilent(lastMessage, head.timestamp)) return
    const heard = await hub.client.readContract({
      address: hubGateway,
      abi: hubGatewayAbi,
      functionName: 'lastSpokeTime',
      args: [chain.eid],
    })
    if (!isSilent(heard, head.timestamp)) return
    await senders.bulk.send(await requestFor([]))
    lastMessage = head.timestamp
  }

  function touch(account: Hex, token: Address, dueAt: number | undefined): void {
    const assetId = assets.get(token.toLowerCase())
    if (assetId !== undefined)
      keys.touch(`${account}:${token.toLowerCase()}`, { account, token, assetId }, dueAt)
  }

  const { lane, ring } = await openLane(context, `collateral-${chain.chainId}`, { send, heartbeat })
  feed.listen({
    addresses: [vault, spokeGateway],
    abi: [...collateralVaultAbi, ...spokeGatewayAbi],
    // Counters may be smaller than what the hub has heard, and no log of the new branch says so.
    onReorg: keys.forgetSent,
    onLogs(logs) {
      const abi = [...collateralVaultAbi, ...spokeGatewayAbi] as const
      for (const { eventName, args } of parseEventLogs({ abi, logs, strict: true })) {
        if (eventName === 'CountersSent' && args.time > lastMessage) lastMessage = args.time
        if (eventName !== 'Deposited') continue
        touch(args.account, args.token, clock.now())
      }
    },
  })
  // A process that comes after a reorg learns here alone of what the hub has heard of and the vault knows no more.
  hub.feed.listen({
    addresses: [clearinghouse],
    abi: clearinghouseAbi.filter((item) => item.type === 'event' && item.name === 'CounterReceived'),
    onLogs(logs) {
      const heard = parseEventLogs({
        abi: clearinghouseAbi,
        eventName: 'CounterReceived',
        logs,
        strict: true,
      })
      for (const { args } of heard) if (args.eid === chain.eid) touch(args.account, args.token, undefined)
    },
  })
  feed.onHead(({ timestamp }) => {
    if (keys.size() > 0) ring('send')
    if (isSilent(lastMessage, timestamp)) ring('heartbeat')
  })
  return {
    lane,
    async sweep() {
      keys.markAll()
      ring('send')
      await deposits.findMissed()
    },
  }
}
