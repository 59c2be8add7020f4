import type { ChainClient, Logger } from '@clearspan/shared'
import { type Hex, keccak256, zeroHash } from 'viem'
import type { ChainContext } from '../chains/context.js'
import type { Composes } from '../layerzero/composes.js'
import type { Outbox } from '../layerzero/outbox.js'
import { isDone, packetStates } from '../layerzero/state.js'
import { queuedHashes } from './deliver-compose.js'

/** Packets, or compose calls, that nodes are asked about at once, and how often in one sweep. */
const CHUNK = 500
const CHUNKS = 4

/** What one node says of each, at the block of this hash. */
interface Testimony {
  witness: ChainClient
  hash: Hex
  said: readonly boolean[]
}

/**
 * What is settled was settled by one node's newest state: it may lie, or have been on a branch that no feed has seen. Once that is
 * `confirmations` deep, all nodes are asked as of one block: what more than half of those configured call done stays so, what they don't is put
 * back, and who says otherwise of the same block goes into quarantine. Without such a majority it is asked again at the next sweep.
 */
export function createRecheck(
  destination: Pick<ChainContext, 'chain' | 'witnesses' | 'quarantine' | 'feed'>,
  { outbox, composes, log }: { outbox: Outbox; composes: Composes; log: Logger },
): () => Promise<void> {
  const { chain, witnesses, quarantine, feed } = destination
  const needed = Math.floor(witnesses.length / 2) + 1

  /** For each of `count`, what the majority says, undefined without one. */
  async function hear(
    count: number,
    block: bigint,
    ask: (witness: ChainClient) => Promise<readonly boolean[]>,
  ): Promise<(boolean | undefined)[]> {
    if (count === 0) return []
    const asked = witnesses
      .filter((witness) => !quarantine.holds(witness))
      .map(async (witness): Promise<Testimony> => {
        const { hash } = await witness.getBlock({ blockNumber: block })
        return { witness, hash, said: await ask(witness) }
      })
    const told = (await Promise.allSettled(asked)).flatMap((one) =>
      one.status === 'fulfilled' ? [one.value] : [],
    )
    const { hash } =
      told.find((one) => told.filter((other) => other.hash === one.hash).length >= needed) ?? {}
    const agreed = told.filter((one) => one.hash === hash)
    return Array.from({ length: count }, (_, i) => {
      const [done, open] = [true, false].map((verdict) => agreed.filter(({ said }) => said[i] === verdict))
      if (done === undefined || open === undefined || Math.max(done.length, open.length) < needed)
        return undefined
      const isDone = done.length >= needed
      for (const { witness } of isDone ? open : done)
        quarantine.put(witness, `${isDone ? 'takes back' : 'makes up'} a delivery before block ${block}`)
      return isDone
    })
  }

  /** Answers whether there may be more. */
  async function packets(block: bigint): Promise<boolean> {
    const entries = outbox.unconfirmed(block, CHUNK)
    const verdicts = await hear(entries.length, block, async (client) => {
      const states = await packetStates({ client, chain }, entries, block)
      return entries.map((entry, i) => isDone(entry, states[i]?.state))
    })
    for (const [i, { packet, path }] of entries.entries()) {
      if (verdicts[i]) outbox.confirm(packet.guid, block)
      else if (verdicts[i] === false && outbox.reopen(packet.guid))
        log.warn(
          { guid: packet.guid, path, block: String(block) },
          'not delivered after all, delivering again',
        )
    }
    return entries.length === CHUNK && !verdicts.includes(undefined)
  }

  async function calls(block: bigint): Promise<void> {
    const settled = composes.unconfirmed(block, CHUNK)
    const verdicts = await hear(settled.length, block, async (client) => {
      const hashes = await queuedHashes({ client, chain }, settled, block)
      return settled.map(({ message }, i) => hashes[i] !== keccak256(message))
    })
    for (const [i, call] of settled.entries()) {
      if (verdicts[i]) composes.confirm(call, block)
      else if (verdicts[i] === false) {
        composes.reopen(call)
        log.warn({ guid: call.guid, index: call.index }, 'compose call not made after all, making it again')
      }
    }
  }

  /** Drops of packets that are delivered for good are never made again, whatever is remembered. Answers whether there may be more. */
  async function drops(block: bigint): Promise<boolean> {
    const origins = outbox.drops.some(CHUNK)
    const verdicts = await hear(origins.length, block, async (client) => {
      const states = await packetStates(
        { client, chain },
        origins.map((packet) => ({ packet, payloadHash: zeroHash })),
        block,
      )
      return states.map(({ state }) => state === 'delivered')
    })
    for (const [i, origin] of origins.entries()) if (verdicts[i]) outbox.drops.letGo(origin)
    return origins.length === CHUNK && verdicts.includes(true)
  }

  return async () => {
    const head = feed.head()
    if (head === undefined) return
    const block = head.number - BigInt(chain.confirmations) + 1n
    if (block < 0n) return
    await calls(block)
    for (let i = 0; i < CHUNKS && (await packets(block)); i++);
    for (let i = 0; i < CHUNKS && (await drops(block)); i++);
  }
}
