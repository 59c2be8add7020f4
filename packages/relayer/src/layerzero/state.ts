import { RetryableError } from '@clearspan/shared'
import { type Address, type Hex, size, zeroHash } from 'viem'
import { agreedAnswer, SilentError } from '../chains/agreed.js'
import type { ChainContext } from '../chains/context.js'
import { readAll } from '../chains/read.js'
import type { Silence } from '../chains/silence.js'
import { endpointAbi, receiveUlnViewAbi, ulnConfigAbi } from './abi.js'
import { wordToAddress } from './batch.js'
import type { Packet } from './packet.js'
import type { Pending } from './pending.js'
import { pathsOf } from './turns.js'

/** ReceiveUln302View: enough DVNs have verified, and nobody has committed. */
const VERIFIABLE = 1
/** The receiver doesn't accept the path: usually its peer isn't set. */
const NOT_INITIALIZABLE = 3
/** What `nilify` leaves: the receiver has withdrawn the packet, and reviving it isn't ours to decide. */
const NIL_HASH: Hex = `0x${'f'.repeat(64)}`

type Destination = Pick<ChainContext, 'client' | 'chain'>

export type PacketState = 'delivered' | 'committed' | 'withdrawn' | 'open'

/**
 * What the destination's endpoint says of packets, now or as of a block; `inbound`: the highest nonce of the path up to which all are committed.
 */
export async function packetStates(
  { client, chain }: Destination,
  entries: readonly { packet: Pick<Packet, 'receiver' | 'srcEid' | 'sender' | 'nonce'>; payloadHash: Hex }[],
  blockNumber?: bigint,
): Promise<{ state: PacketState; inbound: bigint }[]> {
  const address = chain.layerzero.endpoint
  const results = await readAll(
    client,
    entries.flatMap(({ packet: { receiver, srcEid, sender, nonce } }) => {
      const [to, common] = [wordToAddress(receiver), { address, abi: endpointAbi }]
      return [
        { ...common, functionName: 'inboundPayloadHash', args: [to, srcEid, sender, nonce] } as const,
        { ...common, functionName: 'inboundNonce', args: [to, srcEid, sender] } as const,
      ]
    }),
    blockNumber,
  )
  return entries.map(({ packet, payloadHash }, i) => {
    const inbound = BigInt(results[2 * i + 1] ?? 0)
    return { state: packetState(packet.nonce, payloadHash, String(results[2 * i]), inbound), inbound }
  })
}

/** Nothing is left to do for it: it is executed, or committed where others execute. */
export function isDone({ execute }: Pick<Pending, 'execute'>, state: PacketState | undefined): boolean {
  return state === 'delivered' || (state === 'committed' && !execute)
}

/** A nonce up to the inbound one without a hash has been executed (or cleared, or burned); above it, it has not been committed. */
export function packetState(nonce: bigint, payloadHash: Hex, stored: string, inbound: bigint): PacketState {
  if (stored === zeroHash || size(stored as Hex) === 0) return nonce <= inbound ? 'delivered' : 'open'
  if (stored === NIL_HASH) return 'withdrawn'
  // Another payload under this nonce: the source's reorg has replaced what was committed, and verifying anew mends it.
  return stored === payloadHash ? 'committed' : 'open'
}

export type Verification = 'verifiable' | 'not-initializable' | 'unverified' | 'unknown'

/** Whether open packets have been verified already, and whether their path accepts any; unknown when a stranger's receiver doesn't let it be asked. */
export async function verificationStates(
  { client, chain }: Destination,
  entries: readonly Pending[],
): Promise<Verification[]> {
  const view = { address: chain.layerzero.receiveUlnView, abi: receiveUlnViewAbi } as const
  const states = await readApart(entries, (group) =>
    readAll(
      client,
      group.map(
        ({ header, payloadHash }) =>
          ({ ...view, functionName: 'verifiable', args: [header, payloadHash] }) as const,
      ),
    ),
  )
  return states.map((state) => {
    if (state === undefined) return 'unknown'
    return state === VERIFIABLE
      ? 'verifiable'
      : state === NOT_INITIALIZABLE
        ? 'not-initializable'
        : 'unverified'
  })
}

/** What the destination asks for on a packet's path. */
export interface Requirement {
  /** The larger of what sender and receiver ask for: the receive side's number binds on chain. */
  confirmations: bigint
  /** Verifiers that count there, required or optional. */
  verifiers: readonly Address[]
}

/** A chain whose nodes must agree on what paths ask for. */
export type Configured = Pick<ChainContext, 'chain' | 'witnesses'> & Partial<Pick<ChainContext, 'quarantine'>>

/**
 * What the ends of a packet's path ask for, by more than half of the nodes of each end: too few confirmations would be too little evidence.
 * `sources` by endpoint id; which of them are silent `silence` hears. Undefined for a stranger's path whose configuration can't be read, and where a source's nodes don't tell.
 * @throws RetryableError when the destination's nodes don't.
 */
export async function requirements(
  destination: Configured,
  sources: ReadonlyMap<number, Configured>,
  entries: readonly Pending[],
  silence?: Pick<Silence, 'note'>,
): Promise<(Requirement | undefined)[]> {
  const common = { abi: ulnConfigAbi, functionName: 'getUlnConfig' } as const
  // Packets of one path have it in common.
  const paths = [...pathsOf(entries).values()].flatMap(([first]) => first ?? [])
  const received = readApart(paths, (group) =>
    agreedAnswer(destination, (client) =>
      readAll(
        client,
        group.map(({ packet: { receiver, srcEid } }) => {
          const args = [wordToAddress(receiver), srcEid] as const
          return { ...common, address: destination.chain.layerzero.receiveUln, args }
        }),
      ),
    ),
  )
  const sent = new Map<string, bigint | undefined>()
  const reading = Promise.all(
    [...sources.values()].map(async (source) => {
      const { eid } = source.chain
      const own = paths.filter(({ packet }) => packet.srcEid === eid)
      if (own.length === 0) return
      let answers = true
      const configs = await readApart(own, (group) =>
        agreedAnswer(source, (client) =>
          readAll(
            client,
            group.map(({ packet: { sender, dstEid } }) => {
              const args = [wordToAddress(sender), dstEid] as const
              return { ...common, address: source.chain.layerzero.sendUln, args }
            }),
          ),
        ).catch((error: unknown) => {
          answers &&= !(error instanceof SilentError)
          throw error
        }),
      ).catch((error: unknown) => {
        // Packets of other sources don't wait for it.
        if (error instanceof RetryableError) return []
        throw error
      })
      silence?.note(eid, answers)
      for (const [i, { path }] of own.entries()) sent.set(path, configs[i]?.confirmations)
    }),
  )
  // Together: one that fails while the other is awaited would be nobody's.
  const [configs] = await Promise.all([received, reading])
  const found = new Map<string, Requirement>()
  for (const [i, { path }] of paths.entries()) {
    const [config, sending] = [configs[i], sent.get(path)]
    if (config === undefined || sending === undefined) continue
    const { confirmations, requiredDVNs, optionalDVNs } = config
    found.set(path, {
      confirmations: confirmations > sending ? confirmations : sending,
      verifiers: [...requiredDVNs, ...optionalDVNs],
    })
  }
  return entries.map(({ path }) => found.get(path))
}

/**
 * Reads what a receiver's own code has a say in. A stranger's may revert or burn all gas, and one request stands or falls as a whole: where that of
 * all strangers falls, each path is asked by itself, and one that fails answers undefined.
 */
async function readApart<R>(
  entries: readonly Pending[],
  read: (group: readonly Pending[]) => Promise<readonly R[]>,
): Promise<(R | undefined)[]> {
  const answers = new Map<Hex, R>()
  const ask = async (group: readonly Pending[]) => {
    for (const [i, result] of (await read(group)).entries()) answers.set(group[i]!.packet.guid, result)
  }
  const spare = (otherwise: () => unknown) => (error: unknown) => {
    if (!(error instanceof RetryableError)) throw error
    return otherwise()
  }
  const strangers = entries.filter(({ own }) => !own)
  const paths = pathsOf(strangers)
  const alone = () => Promise.all([...paths.values()].map((path) => ask(path).catch(spare(() => {}))))
  const own = entries.filter((entry) => entry.own)
  await Promise.all([
    ...(own.length > 0 ? [ask(own)] : []),
    ...(strangers.length > 0 ? [ask(strangers).catch(spare(paths.size > 1 ? alone : () => {}))] : []),
  ])
  return entries.map(({ packet }) => answers.get(packet.guid))
}
