import { collateralVaultAbi } from '@clearspan/contracts'
import { type ChainClient, decodeCounters, type Network, PermanentError, UserError } from '@clearspan/shared'
import { type Address, type Hex, pad, parseUnits } from 'viem'
import { z } from 'zod'
import type { Quarantine } from '../chains/quarantine.js'
import type { Packet } from './packet.js'

const blocks = z.number().int().positive()

/** How deep a chain's messages must lie, beside what its manifest and LayerZero's configuration ask for: that is always the least. */
const depthSchema = z.strictObject({
  /** For everything whose value isn't known to be small: blocks, the message's own included, or until the chain calls it finalized. */
  full: z.union([z.literal('finalized'), blocks]),
  /**
   * For messages of deposits, the first that fits: while all that the vault has taken in since the block that is `full` deep, everybody's,
   * is at most `upTo` (tokens by symbol; of several, each as a share of its own, 1 in sum). A token that isn't named fits none.
   */
  tiers: z
    .array(
      z.strictObject({
        blocks,
        upTo: z.record(
          z.string(),
          z.string().regex(/^\d+(\.\d+)?$/, 'must be an amount of tokens, such as "2500.5"'),
        ),
      }),
    )
    .default([]),
})

/** By chain id of the source. */
export const depthsSchema = z.record(z.string().regex(/^[1-9]\d*$/, 'must be a chain id'), depthSchema)

/** The same in the units of a source's contracts. */
export interface DepthPolicy {
  full: 'finalized' | bigint
  /** `upTo`: token units by lower-case address. */
  tiers: readonly { blocks: bigint; upTo: ReadonlyMap<string, bigint> }[]
  vault: Address
  /** The ends of the path that deposits take, as words. */
  sender: Hex
  receiver: Hex
}

export interface Depth {
  blocks: bigint
  finalized: boolean
}

/** @throws UserError naming a chain or token that the network doesn't have, or a tier that waits longer than `full`. */
export function depthPolicies(
  field: string,
  { chains, hub }: Pick<Network, 'chains' | 'hub'>,
  depths: z.output<typeof depthsSchema>,
): Map<number, DepthPolicy> {
  const word = (address: Address) => pad(address.toLowerCase() as Address)
  return new Map(
    Object.entries(depths).map(([chainId, { full, tiers }]) => {
      const chain = chains.find((one) => String(one.chainId) === chainId)
      if (chain === undefined)
        throw new UserError(`${field}.${chainId}`, 'no chain of the network has this id')
      const unitsOf = ([symbol, amount]: [string, string]): [string, bigint] => {
        const token = chain.tokens.find((one) => one.symbol === symbol)
        if (token === undefined)
          throw new UserError(`${field}.${chainId}`, `${chain.name} has no token ${symbol}`)
        return [token.address.toLowerCase(), parseUnits(amount, token.decimals)]
      }
      for (const tier of tiers)
        if (full !== 'finalized' && tier.blocks > full)
          throw new UserError(`${field}.${chainId}`, `a tier of ${tier.blocks} blocks is deeper than ${full}`)
      return [
        chain.chainId,
        {
          full: full === 'finalized' ? full : BigInt(full),
          tiers: tiers.map((tier) => ({
            blocks: BigInt(tier.blocks),
            upTo: new Map(Object.entries(tier.upTo).map(unitsOf)),
          })),
          vault: chain.contracts.vault,
          sender: word(chain.contracts.spokeGateway),
          receiver: word(hub.contracts.hubGateway),
        },
      ]
    }),
  )
}

/** What is asked of a packet's block: the more of what is claimed of it and what its value wants. */
export function atDepth<P>(entry: P, confirmations: bigint, depth: Depth | undefined) {
  const least = depth?.blocks ?? 0n
  return {
    ...entry,
    confirmations: least > confirmations ? least : confirmations,
    finalized: depth?.finalized ?? false,
  }
}

interface Source {
  witnesses: readonly ChainClient[]
  quarantine?: Quarantine | undefined
  depth?: DepthPolicy | undefined
}

/**
 * How deep each packet must lie by its value. What a reorg could undo is what the vault has taken in since the last block that can't be undone,
 * whoever brought it and by how many messages: splitting a deposit makes none of its parts safer. More than half of the source's nodes must
 * agree on that block's totals; without them, and for every packet that is no message of deposits, the value is unknown and the depth full.
 */
export async function requiredDepths(
  { witnesses, quarantine, depth: policy }: Source,
  packets: readonly Packet[],
): Promise<Depth[]> {
  if (policy === undefined) return packets.map(() => ({ blocks: 0n, finalized: false }))
  const { full, tiers } = policy
  const deepest = full === 'finalized' ? { blocks: 0n, finalized: true } : { blocks: full, finalized: false }
  const deposits = packets.map((packet) => (tiers.length > 0 ? depositsOf(packet, policy) : undefined))
  const tokens = [...new Set(deposits.flatMap((one) => one?.tokens.map(({ token }) => token) ?? []))]
  if (tokens.length === 0) return packets.map(() => deepest)
  const needed = Math.floor(witnesses.length / 2) + 1
  const trusted = witnesses.filter((one) => quarantine?.holds(one) !== true)
  const settled = await settledTotals(trusted, needed, policy, tokens)
  return deposits.map((message) => {
    if (message === undefined || settled?.epoch !== message.epoch) return deepest
    const tier = tiers.find(({ upTo }) => {
      let used = 0n
      for (const { token, totalIn } of message.tokens) {
        const taken = totalIn - (settled.totalIn.get(token) ?? 0n)
        const most = upTo.get(token.toLowerCase()) ?? 0n
        if (taken <= 0n) continue
        if (taken > most) return false
        used += (taken * SHARE + most - 1n) / most
      }
      return used <= SHARE
    })
    return tier === undefined ? deepest : { blocks: tier.blocks, finalized: false }
  })
}

/** All of a tier. */
const SHARE = 10n ** 18n

function depositsOf(packet: Packet, { sender, receiver }: DepthPolicy) {
  if (packet.sender !== sender || packet.receiver !== receiver) return undefined
  try {
    return decodeCounters(packet.message)
  } catch (error) {
    if (error instanceof PermanentError) return undefined
    throw error
  }
}

/** What the vault had taken in by the newest block that so many nodes hold for fully deep, if so many agree on it. */
async function settledTotals(
  witnesses: readonly ChainClient[],
  needed: number,
  { full, vault }: DepthPolicy,
  tokens: readonly Address[],
): Promise<{ epoch: number; totalIn: ReadonlyMap<Address, bigint> } | undefined> {
  // Of as many as are needed the lowest: more nodes could only name a newer block.
  const tops = await answersOf(
    witnesses,
    async (client) =>
      full === 'finalized'
        ? (await client.getBlock({ blockTag: 'finalized' })).number
        : (await client.getBlockNumber()) - full + 1n,
    (found) => found.length === needed,
  )
  if (tops.length < needed) return undefined
  const blockNumber = tops.reduce((lowest, next) => (next < lowest ? next : lowest))
  if (blockNumber < 0n) return undefined
  const common = { address: vault, abi: collateralVaultAbi } as const
  type Told = { epoch: number; sums: bigint[] }
  const agreedOn = (told: readonly Told[]) =>
    told.find((one) => {
      const same = told.filter(({ epoch, sums }) => epoch === one.epoch && String(sums) === String(one.sums))
      return same.length >= needed
    })
  const ask = async (client: ChainClient): Promise<Told> => {
    const [epoch, totals] = await Promise.all([
      client.readContract({ ...common, functionName: 'epoch', blockNumber }),
      client.multicall({
        contracts: tokens.map((token) => ({ ...common, functionName: 'totals', args: [token] }) as const),
        allowFailure: false,
        deployless: true,
        blockNumber,
      }),
    ])
    return { epoch, sums: totals.map(([totalIn]) => totalIn) }
  }
  const agreed = agreedOn(await answersOf(witnesses, ask, (told) => agreedOn(told) !== undefined))
  return (
    agreed && {
      epoch: agreed.epoch,
      totalIn: new Map(tokens.map((token, i) => [token, agreed.sums[i] ?? 0n])),
    }
  )
}

/** What nodes answer, until that is enough or none is left. */
function answersOf<R>(
  witnesses: readonly ChainClient[],
  ask: (client: ChainClient) => Promise<R>,
  isEnough: (answers: readonly R[]) => boolean,
): Promise<R[]> {
  const answers: R[] = []
  let missing = witnesses.length
  if (missing === 0) return Promise.resolve(answers)
  return new Promise((resolve) => {
    const end = () => {
      missing--
      if (missing === 0 || isEnough(answers)) resolve([...answers])
    }
    for (const witness of witnesses)
      void ask(witness)
        .then((answer) => void answers.push(answer))
        .catch(() => {})
        .then(end)
  })
}
