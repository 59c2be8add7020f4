import { spokeGatewayAbi } from '@clearspan/contracts'
import {
  type Clock,
  type Exit,
  exitTree,
  type LastWord,
  lastExits,
  lastWordDigest,
  type Network,
  recoverCompact,
  signCompact,
  UserError,
} from '@clearspan/shared'
import { type Hex, hexToBytes, isAddressEqual } from 'viem'
import { privateKeyToAddress } from 'viem/accounts'
import { readBooks } from './books.js'
import { type ChainAt, chainsAt, finalBlocks, type PickedBlock, readEach } from './chains.js'
import type { LastWordFile, SignedWord } from './file.js'

/** HubEpoch.SILENCE, seconds. */
const SILENCE = 14n * 86_400n
/** Seconds before the newest block of the hub's chain: an older state than that isn't its last. */
const OLDEST = 86_400n

/** What a last word is made of, beside the network. */
export interface LastWordOptions {
  network: Network
  version: number
  /** An earlier last word that this one is to replace: made from the same blocks; a payout that only that one names is stopped. */
  replaces: LastWordFile | undefined
  /** Of the network: by it a chain has stood still. */
  clock: Clock
}

/**
 * A hub's last word, from the newest final blocks, or from those of the one that it replaces.
 * @throws UserError where a chain neither has ended the hub nor stands still, or the blocks are no last state; else as `readBooks`.
 */
export async function makeLastWord(options: LastWordOptions): Promise<LastWordFile> {
  return computeLastWord(options, options.replaces?.blocks ?? (await finalBlocks(options.network)))
}

/**
 * Makes a last word anew from the blocks that it names, by this network's own RPC nodes.
 * @throws UserError where it comes out otherwise; else as `makeLastWord`.
 */
export async function checkLastWord(
  word: LastWordFile,
  options: Omit<LastWordOptions, 'version'>,
): Promise<void> {
  const own = await computeLastWord({ ...options, version: word.version }, word.blocks)
  for (const field of ['networkId', 'hubEpoch', 'hubTime', 'root'] as const)
    if (own[field] !== word[field])
      throw new UserError(field, `is ${word[field]}, and by these RPC nodes ${own[field]}: it is not signed`)
}

async function computeLastWord(
  { network, version, replaces, clock }: LastWordOptions,
  blocks: readonly PickedBlock[],
): Promise<LastWordFile> {
  if (replaces !== undefined) requireSameBlocks(blocks, replaces, version)
  const chains = await chainsAt(network, blocks)
  const hub = chains.find(({ chain }) => chain.chainId === network.hub.chainId)!
  const hubEpoch = await requireEnded(chains, hub, BigInt(Math.floor(clock.now() / 1000)))
  if (replaces === undefined) {
    const { timestamp } = await hub.client.getBlock()
    if (hub.time + OLDEST < timestamp)
      throw new UserError('blocks', `the hub's is older than a day beside its newest: not its last state`)
  }
  const exits = lastExits(await readBooks(network, chains))
  exits.push(...stopped(exits, replaces?.exits ?? []))
  if (exits.length === 0) throw new UserError('--network', 'nobody is owed anything')
  return {
    networkId: network.networkId,
    hubEpoch,
    version,
    hubTime: hub.time,
    root: exitTree(exits).root as Hex,
    blocks: chains.map(
      ({ chain, number }) => blocks.find((b) => b.eid === chain.eid && b.number === number)!,
    ),
    exits,
  }
}

function requireSameBlocks(blocks: readonly PickedBlock[], replaces: LastWordFile, version: number): void {
  if (version <= replaces.version)
    throw new UserError('--version', `must be above ${replaces.version}, which it replaces`)
  const same = replaces.blocks.every(({ eid, number, hash }) =>
    blocks.some((block) => block.eid === eid && block.number === number && block.hash === hash),
  )
  if (!same) throw new UserError('blocks', 'must be those of the last word that it replaces')
}

/** What another last word names and this one doesn't: nothing more of it is paid. */
function stopped(exits: readonly Exit[], others: readonly Exit[]): Exit[] {
  const keyOf = ({ eid, vaultEpoch, account, token, recipient }: Exit) =>
    [eid, vaultEpoch, account, token, recipient].join().toLowerCase()
  const named = new Set(exits.map(keyOf))
  return others.filter((exit) => !named.has(keyOf(exit))).map((exit) => ({ ...exit, released: 0n }))
}

/** @returns the hub's epoch. @throws UserError unless each chain has ended it, before any exit, or has stood still for as long as it takes. */
async function requireEnded(chains: readonly ChainAt[], hub: ChainAt, now: bigint): Promise<number> {
  const epochs = await Promise.all(
    chains.map(async (at) => {
      const { chain } = at
      const gateway = { address: chain.contracts.spokeGateway, abi: spokeGatewayAbi }
      const [[epoch = 0], [endedAt = 0n], [heard = 0n], [opened = 0], newest] = await Promise.all([
        readEach(at, gateway, 'hubEpoch', [[]]),
        readEach(at, gateway, 'endedAt', [[]]),
        readEach(at, gateway, 'lastHubTime', [[]]),
        readEach(at, gateway, 'exitVersion', [[]]),
        at.client.getBlock(),
      ])
      if (endedAt === 0n && newest.timestamp + SILENCE >= now)
        throw new UserError(chain.name, "hasn't ended the hub: first endHub, by its governance")
      if (opened !== 0) throw new UserError(chain.name, 'had opened exits by then: name what is replaced')
      if (heard > hub.time)
        throw new UserError('blocks', `${chain.name} has heard of the hub since the block that is picked`)
      return epoch
    }),
  )
  if (new Set(epochs).size !== 1) throw new UserError('--network', 'its gateways are of several hubs')
  return epochs[0]!
}

/** One node's signature. @throws UserError for a key that is no node's of the manifest. */
export function signLastWord(word: LastWordFile, network: Network, key: Hex): SignedWord {
  const address = privateKeyToAddress(key)
  const signer = network.oracle.nodes.findIndex((node) => isAddressEqual(node.signer, address))
  if (signer < 0)
    throw new UserError('--key-file', `is of ${address}, which signs for no node of the manifest`)
  const digest = lastWordDigest(lastWordOf(word), word.networkId)
  return {
    version: word.version,
    root: word.root,
    signer,
    signature: signCompact(hexToBytes(digest), hexToBytes(key)),
  }
}

/** @throws UserError for a signature of something else, or by somebody else. */
export function requireSignature(word: LastWordFile, network: Network, signed: SignedWord): void {
  const signer = network.oracle.nodes[signed.signer]?.signer
  const digest = lastWordDigest(lastWordOf(word), word.networkId)
  const by = recoverCompact(digest, signed.signature)
  if (signer === undefined || by === null || !isAddressEqual(signer, by))
    throw new UserError(`signature of node ${signed.signer}`, 'is not of this last word, or not by that node')
}

function lastWordOf({ hubEpoch, version, hubTime, root }: LastWord): LastWord {
  return { hubEpoch, version, hubTime, root }
}
