// Which functions of which contracts have run to their end on real chains, whoever called them: read from the chains' own traces.
import type { Address, Hex } from 'viem'
import type { LocalChain } from '../../chains/index.js'

/** One frame of anvil's `trace_block`. */
interface Frame {
  action: { to?: Address; input?: Hex; callType?: string }
  error?: string
  traceAddress: number[]
  transactionHash: Hex
}

/** Records by the names that addresses are known under; a contract on two chains, or two of a kind, are one name. */
export function createRecorder(chains: readonly LocalChain[]) {
  const names = new Map<string, string>()
  const next = new Map(chains.map((chain) => [chain, 0n]))
  const seen = new Set<string>()

  async function framesOf({ client }: LocalChain, number: bigint): Promise<Frame[]> {
    const request = { method: 'trace_block', params: [`0x${number.toString(16)}`] }
    return (await client.request(request as never)) as Frame[]
  }

  function note({ name: chain }: LocalChain, frames: readonly Frame[]): void {
    // What a caller took back has not happened.
    const failed = frames.filter(({ error }) => error !== undefined)
    const undone = (frame: Frame) =>
      failed.some(
        ({ transactionHash, traceAddress }) =>
          transactionHash === frame.transactionHash &&
          traceAddress.every((place, depth) => frame.traceAddress[depth] === place),
      )
    for (const frame of frames) {
      const { to, input, callType } = frame.action
      const name = names.get(`${chain} ${to}`)
      if (name === undefined || callType === 'staticcall' || undone(frame)) continue
      seen.add(`${name} ${input?.slice(0, 10)}`)
    }
  }

  return {
    /** A contract of this ABI; of a call that another's code runs on its own state (delegatecall) the code's. */
    know(name: string, { name: chain }: LocalChain, address: Address): void {
      names.set(`${chain} ${address.toLowerCase()}`, name)
    },
    /** Nothing that was mined so far counts. */
    async skip(): Promise<void> {
      for (const chain of chains) next.set(chain, (await chain.client.getBlockNumber()) + 1n)
    },
    /** Reads what was mined since. To be called before a chain is set back. */
    async catchUp(): Promise<void> {
      for (const chain of chains) {
        const [from, head] = [next.get(chain)!, await chain.client.getBlockNumber()]
        const numbers = Array.from({ length: Number(head - from) + 1 }, (_, at) => from + BigInt(at))
        const blocks = await Promise.all(numbers.map((number) => framesOf(chain, number)))
        for (const frames of blocks) note(chain, frames)
        next.set(chain, head + 1n)
      }
    },
    /** Whether a function of a contract has been called with success. */
    has: (name: string, selector: Hex) => seen.has(`${name} ${selector}`),
  }
}
