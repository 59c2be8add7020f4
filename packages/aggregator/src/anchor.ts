import { type Clock, type Logger, oracleConfigHash, UserError } from '@clearspan/shared'
import { BaseError, ContractFunctionRevertedError, createPublicClient, http, parseAbi } from 'viem'
import type { OracleNodeConfig } from './config.js'
import type { NodeMetrics } from './metrics.js'

const REQUEST_MS = 5_000
/** Real ms between two questions whether an epoch is revoked. */
const REVOCATION_POLL_MS = 60_000
const abi = parseAbi([
  'function configHash(uint256 epoch) view returns (bytes32)',
  'function epochSlots(uint32 epoch) view returns (uint64 firstSeq, uint64 lastSeq, bool revoked)',
  'error UnknownEpoch(uint256 epoch)',
])
const clientOf = (url: string, signal?: AbortSignal) =>
  createPublicClient({
    // An RPC that answers with OffchainLookup would have us fetch URLs of its choice.
    ccipRead: false,
    transport: http(url, { timeout: REQUEST_MS, retryCount: 1, ...(signal && { fetchOptions: { signal } }) }),
  })

/**
 * Where real value depends on it (`clock` is null) nodes must have agreed on their rules, now and for the next epoch, and a chain must be named
 * that says what it expects: without both nobody would notice a node that goes by others. Throws UserError naming what is missing.
 */
export function requireAgreement({
  clock,
  oracle,
  anchor,
  next,
}: Pick<OracleNodeConfig, 'clock' | 'oracle' | 'anchor' | 'next'>): void {
  if (clock !== null) return
  const missing = (field: string, what: string): never => {
    throw new UserError(field, `is required outside a local network: ${what}`)
  }
  const hash = 'what `clearspan oracle rules FILE` prints, the same for all nodes'
  if (oracle.rulesHash === undefined) missing('oracle.rulesHash', hash)
  if (next && next.oracle.rulesHash === undefined) missing('next.oracle.rulesHash', hash)
  if (anchor === undefined) missing('anchor', '{url, priceOracle} of a chain that knows the epoch')
}

/**
 * Asks the anchor, a chain's PriceOracle, whether it expects this epoch's nodes, feeds and rules. A chain that doesn't answer, or doesn't know the
 * epoch yet, is logged and keeps nobody from starting. Throws UserError when it expects others.
 */
export async function checkAnchor(
  { oracle, anchor }: Pick<OracleNodeConfig, 'oracle' | 'anchor'>,
  logger: Logger,
): Promise<void> {
  if (anchor === undefined) return
  const { url, priceOracle: address } = anchor
  const { epoch } = oracle
  const own = oracleConfigHash(oracle)
  const expected = await clientOf(url)
    .readContract({ address, abi, functionName: 'configHash', args: [BigInt(epoch)] })
    .catch((err: unknown) => void logger.warn({ err }, 'the anchor does not answer: configuration unchecked'))
  if (expected === undefined) return
  if (BigInt(expected) === 0n)
    return logger.warn({ epoch, configHash: own }, 'the anchor has not opened this epoch')
  if (expected !== own)
    throw new UserError(
      'oracle',
      `of epoch ${epoch} has the hash ${own}, but ${address} expects ${expected}: other nodes, feeds or rules`,
    )
}

export interface RevocationParameters extends Pick<OracleNodeConfig, 'anchor'> {
  /** This node's, of which the anchor is asked. */
  epochs: readonly number[]
  realClock: Clock
  logger: Logger
  metrics: Pick<NodeMetrics, 'epochRevoked'>
}

/** What the anchor says of this node's epochs while it runs. */
export interface RevocationWatch {
  /** By the anchor's newest answer: one that a reorg undid, or an RPC made up, holds until it answers otherwise. */
  isRevoked(epoch: number): boolean
  /** Asks at once and each minute of real time, until aborted. */
  run(signal: AbortSignal): Promise<void>
}

/** Nobody tells a node that governance has revoked its epoch: it asks. Without an anchor nothing is ever revoked. */
export function createRevocationWatch(parameters: RevocationParameters): RevocationWatch {
  const { anchor, epochs, realClock, logger, metrics } = parameters
  const revoked = new Set<number>()
  let isSilent = false

  function learn(epoch: number, isRevoked: boolean): void {
    metrics.epochRevoked.set({ epoch }, isRevoked ? 1 : 0)
    if (isRevoked === revoked.has(epoch)) return
    if (isRevoked) {
      revoked.add(epoch)
      logger.error({ epoch }, 'this epoch is revoked: nothing of it is signed any more')
    } else {
      revoked.delete(epoch)
      logger.warn({ epoch }, 'the anchor no longer says that this epoch is revoked')
    }
  }

  return {
    isRevoked: (epoch) => revoked.has(epoch),
    async run(signal) {
      if (anchor === undefined) return
      const { url, priceOracle: address } = anchor
      const client = clientOf(url, signal)
      while (!signal.aborted) {
        try {
          for (const epoch of epochs) {
            const read = { address, abi, functionName: 'epochSlots', args: [epoch] } as const
            const isRevoked = await client.readContract(read).then(([, , third]) => third, unknownEpoch)
            learn(epoch, isRevoked)
          }
          isSilent = false
        } catch (err) {
          if (!isSilent && !signal.aborted)
            logger.warn({ err }, 'the anchor does not answer: it is not known whether an epoch is revoked')
          isSilent = true
        }
        await realClock.sleep(REVOCATION_POLL_MS, signal).catch(() => {})
      }
    },
  }
}

/** An epoch that the chain doesn't know yet isn't revoked; any other failure is no answer. */
function unknownEpoch(error: unknown): false {
  const reverted = error instanceof BaseError && error.walk((e) => e instanceof ContractFunctionRevertedError)
  if (reverted instanceof ContractFunctionRevertedError && reverted.data?.errorName === 'UnknownEpoch')
    return false
  throw error
}
