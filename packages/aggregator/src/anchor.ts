import { type Logger, oracleConfigHash, UserError } from '@clearspan/shared'
import { createPublicClient, http, parseAbi } from 'viem'
import type { OracleNodeConfig } from './config.js'

const REQUEST_MS = 5_000
const abi = parseAbi(['function configHash(uint256 epoch) view returns (bytes32)'])

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
  const client = createPublicClient({ transport: http(url, { timeout: REQUEST_MS, retryCount: 1 }) })
  const { epoch } = oracle
  const own = oracleConfigHash(oracle)
  const expected = await client
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
