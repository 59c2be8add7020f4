import * as contracts from '@clearspan/contracts'
import { type Abi, type AbiFunction, type Hex, toFunctionSelector, toFunctionSignature } from 'viem'
import type { LocalNetwork } from '../network/localNetwork.js'

/** What one kind of transaction cost, over all chains. */
export interface GasLine {
  kind: string
  count: number
  mean: number
  max: number
}

/** Blocks asked for at once. */
const AT_ONCE = 50n

/** Gas of every transaction since the deployment, by function. */
export async function gasByKind(network: LocalNetwork): Promise<GasLine[]> {
  const names = functionNames()
  const used = new Map<string, bigint[]>()
  for (const { client } of network.chains) {
    const head = await client.getBlockNumber()
    for (let from = network.firstBlock; from <= head; from += AT_ONCE) {
      const count = Number(from + AT_ONCE > head ? head - from + 1n : AT_ONCE)
      const blocks = await Promise.all(
        Array.from({ length: count }, (_, index) =>
          client.getBlock({ blockNumber: from + BigInt(index), includeTransactions: true }),
        ),
      )
      const transactions = blocks.flatMap((block) => block.transactions)
      const receipts = await Promise.all(
        transactions.map(({ hash }) => client.getTransactionReceipt({ hash })),
      )
      transactions.forEach(({ input }, index) => {
        const kind = names.get(input.slice(0, 10) as Hex) ?? `function ${input.slice(0, 10)}`
        used.set(kind, [...(used.get(kind) ?? []), receipts[index]!.gasUsed])
      })
    }
  }
  return [...used]
    .map(([kind, values]) => ({
      kind,
      count: values.length,
      mean: Number(values.reduce((a, b) => a + b, 0n) / BigInt(values.length)),
      max: Number(values.reduce((a, b) => (a > b ? a : b))),
    }))
    .sort((a, b) => b.count * b.mean - a.count * a.mean)
}

/** `Contract.function` by selector; a function that several contracts have is called by its name alone. */
function functionNames(): Map<Hex, string> {
  const names = new Map<Hex, string>([[toFunctionSelector(MULTI_CALL), 'LayerZero delivery (multiCall)']])
  for (const [key, abi] of Object.entries(contracts)) {
    if (!key.endsWith('Abi') || /^i[A-Z]/.test(key)) continue
    const contract = key[0]!.toUpperCase() + key.slice(1, -3)
    for (const item of (abi as Abi).filter((one): one is AbiFunction => one.type === 'function')) {
      if (item.stateMutability === 'view' || item.stateMutability === 'pure') continue
      const selector = toFunctionSelector(toFunctionSignature(item))
      names.set(selector, names.has(selector) ? item.name : `${contract}.${item.name}`)
    }
  }
  return names
}

/** EssenceDVNWrapper's batch. */
const MULTI_CALL = 'multiCall((address,bytes,uint256,uint256,bool)[])'
