import { collateralVaultAbi, governanceAbi, spokeGatewayAbi } from '@clearspan/contracts'
import {
  type Chain,
  type ChainClient,
  encodeQuorum,
  exitTree,
  type Network,
  quorumOf,
  RetryableError,
  revertOf,
  UserError,
} from '@clearspan/shared'
import { type Address, encodeFunctionData, type Hex } from 'viem'
import { clientOf, readEach } from './chains.js'
import type { LastWordFile, SignedWord } from './file.js'
import { requireSignature } from './last-word.js'

/** A call that only a chain's governance may make: its council sends `schedule`, and `execute` when its delay is over. */
export interface GovernedCall {
  chain: string
  what: string
  to: Address
  schedule: Hex
  execute: Hex
}

/** How far a chain is with the hub's end. */
export interface EndState {
  chain: string
  /** Seconds; newest block time of the hub that was heard of, 0 if none ever was. */
  lastHubTime: number
  /** Seconds of the chain without it. */
  silentFor: number
  ended: boolean
  /** Version of the last word that is open, 0 for none. */
  exitVersion: number
  /** What its governance may do towards the end, in order, once the silence has lasted. */
  calls: GovernedCall[]
}

export interface ExitCall {
  chain: string
  token: string
  recipient: Address
  /** Token units: all of it that was ever released, with what is already paid. */
  released: string
  proof: Hex[]
  /** Of a transaction that anybody may send. */
  to: Address
  data: Hex
}

function governed({ name, contracts }: Chain, what: string, to: Address, data: Hex): GovernedCall {
  const governance = { abi: governanceAbi } as const
  return {
    chain: name,
    what,
    to: contracts.governance,
    schedule: encodeFunctionData({ ...governance, functionName: 'schedule', args: [to, data, 0] }),
    execute: encodeFunctionData({ ...governance, functionName: 'execute', args: [to, data] }),
  }
}

/** What each chain has heard of the hub, and the calls that end it. @throws RetryableError when a node fails. */
export async function hubEnd({ chains }: Network): Promise<EndState[]> {
  return Promise.all(
    chains.map(async (chain) => {
      const client = clientOf(chain)
      const { number, timestamp } = await client.getBlock()
      const at = { client, number }
      const gateway = { address: chain.contracts.spokeGateway, abi: spokeGatewayAbi }
      const [[heard = 0n], [endedAt = 0n], [exitVersion = 0], vaults] = await Promise.all([
        readEach(at, gateway, 'lastHubTime', [[]]),
        readEach(at, gateway, 'endedAt', [[]]),
        readEach(at, gateway, 'exitVersion', [[]]),
        readEach(at, gateway, 'vault', [[]]),
      ])
      const vault = { address: vaults[0]!, abi: collateralVaultAbi }
      const [isSealed] = await readEach(at, vault, 'isSealed', [[]])
      const seal = encodeFunctionData({ abi: collateralVaultAbi, functionName: 'seal' })
      const end = encodeFunctionData({ abi: spokeGatewayAbi, functionName: 'endHub' })
      const isDue = await couldEnd(client, chain, end)
      return {
        chain: chain.name,
        lastHubTime: Number(heard),
        silentFor: Number(timestamp - heard),
        ended: endedAt !== 0n,
        exitVersion,
        calls: isDue
          ? [
              ...(isSealed ? [] : [governed(chain, 'seal', vault.address, seal)]),
              governed(chain, 'endHub', gateway.address, end),
            ]
          : [],
      }
    }),
  )
}

/** Whether it would be ended now, or is only to be sealed before. */
async function couldEnd(client: ChainClient, { contracts }: Chain, data: Hex): Promise<boolean> {
  try {
    await client.call({ account: contracts.governance, to: contracts.spokeGateway, data })
    return true
  } catch (error) {
    const why = revertOf(error, spokeGatewayAbi)
    if (why === undefined)
      throw new RetryableError("a node doesn't say whether the hub may be ended", { cause: error })
    return why.name === 'VaultNotSealed'
  }
}

/** The call by which each chain's governance opens a last word. @throws UserError for a signature that isn't one, or fewer than 2f + 1. */
export function openingCalls(
  word: LastWordFile,
  network: Network,
  signatures: readonly SignedWord[],
): GovernedCall[] {
  for (const signed of signatures) requireSignature(word, network, signed)
  const each = [...new Map(signatures.map((signed) => [signed.signer, signed])).values()]
  const quorum = quorumOf(network.oracle.nodes.length)
  if (each.length < quorum)
    throw new UserError('signatures', `are of ${each.length} nodes, and ${quorum} must have signed`)
  const data = encodeFunctionData({
    abi: spokeGatewayAbi,
    functionName: 'openExits',
    args: [word.version, word.hubTime, word.root, encodeQuorum(each.slice(0, quorum))],
  })
  return network.chains.map((chain) => governed(chain, 'openExits', chain.contracts.spokeGateway, data))
}

/** What an account may fetch, where, and by which call. @throws UserError for an account that the last word doesn't name. */
export function exitCalls(word: LastWordFile, network: Network, account: Hex): ExitCall[] {
  const tree = exitTree(word.exits)
  const calls = [...word.exits.entries()].flatMap(([at, exit]) => {
    const chain = network.chains.find(({ eid }) => eid === exit.eid)
    if (exit.account.toLowerCase() !== account.toLowerCase() || chain === undefined) return []
    const { eid: _, ...payout } = exit
    const proof = tree.getProof(at) as Hex[]
    const symbol = chain.tokens.find(({ address }) => address.toLowerCase() === exit.token.toLowerCase())
    return {
      chain: chain.name,
      token: symbol?.symbol ?? exit.token,
      recipient: exit.recipient,
      released: String(exit.released),
      proof,
      to: chain.contracts.spokeGateway,
      data: encodeFunctionData({ abi: spokeGatewayAbi, functionName: 'exit', args: [payout, proof] }),
    }
  })
  if (calls.length === 0) throw new UserError('--account', 'is owed nothing by this last word')
  return calls
}
