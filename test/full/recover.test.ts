import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pad, parseAbi } from 'viem'
import { expect, test } from 'vitest'
import type { recoveryActions } from '../../packages/relayer/src/index.js'
import { clearspan, temporaryDirectory } from '../clearspan.js'
import { startTestNetwork } from '../testNetwork.js'
import { createPackets } from '../testPackets.js'
import { cuts, startProxy } from '../testProxy.js'

// `clearspan layerzero recover` as a process, against real chains behind nodes that count what is asked of them.
const TEST_TIMEOUT_MS = 300_000
const [ALPHA, BETA] = [0, 1] as const
const endpointAbi = parseAbi([
  'function inboundNonce(address receiver, uint32 srcEid, bytes32 sender) view returns (uint64)',
])

test(
  'a recovery is printed for whoever may send it, nothing is sent, and every mistake is one line',
  async () => {
    const dir = await temporaryDirectory()
    const on = await startTestNetwork({ directory: dir.path, chains: ['alpha', 'beta'] })
    const packets = createPackets(on)
    const nodes = await Promise.all(on.chains.map(({ rpcUrl }) => startProxy(rpcUrl)))
    const manifest = {
      ...on.network,
      chains: on.network.chains.map((chain, at) => ({ ...chain, rpcUrls: [nodes[at]!.url] })),
    }
    const recover = async (
      action: (typeof recoveryActions)[number] | 'burn',
      change: Record<string, string> = {},
    ) => {
      const options = { '--network': 'network.json', '--source': 'beta', '--tx': hash, ...change }
      const args = Object.entries(options).flat()
      const run = clearspan(dir.path, ['layerzero', 'recover', action, ...args])
      const { code } = await run.exited
      return { code, stdout: run.stdout(), stderr: run.stderr() }
    }
    let hash = pad('0x1')
    try {
      await writeFile(join(dir.path, 'network.json'), JSON.stringify(manifest))
      const receivers = await packets.deploy(ALPHA, 1)
      const receiver = receivers[0]!
      ;[hash] = (await packets.send(BETA, ALPHA, receivers, 'one')) as [`0x${string}`]
      const { endpoint } = on.network.chains[ALPHA]!.layerzero
      const { eid } = on.network.chains[BETA]!
      const client = packets.client(ALPHA)
      const inbound = () =>
        client.readContract({
          address: endpoint,
          abi: endpointAbi,
          functionName: 'inboundNonce',
          args: [receiver, eid, pad(packets.sender)],
        })

      const skip = await recover('skip')
      expect(skip).toMatchObject({ code: 0, stderr: '' })
      const prepared = JSON.parse(skip.stdout)
      expect(prepared).toMatchObject({ action: 'skip', chain: 'alpha', to: endpoint, value: '0', nonce: '1' })
      expect(prepared.from.map((one: string) => one.toLowerCase())).toEqual([receiver.toLowerCase()])
      expect(await recover('nilify')).toMatchObject({ code: 0, stderr: '' })
      expect(await inbound()).toBe(0n)
      expect(nodes.flatMap(({ asked }) => asked).filter((method) => /send|sign/i.test(method))).toEqual([])

      const oneLine = async (status: number, says: RegExp, ...asked: Parameters<typeof recover>) => {
        const { code, stdout, stderr } = await recover(...asked)
        expect([code, stdout, stderr.trim().split('\n').length]).toEqual([status, '', 1])
        expect(stderr).toMatch(says)
      }
      await oneLine(2, /clear: needs the packet to be verified and committed first/, 'clear')
      await oneLine(2, /--tx: is not a mined transaction of beta/, 'skip', { '--tx': pad('0x2') })
      await oneLine(2, /--tx/, 'skip', { '--tx': '0x2' })
      await oneLine(2, /--source: must be one of alpha, beta/, 'skip', { '--source': 'gamma' })
      await oneLine(2, /--tx: sent no such packet/, 'skip', { '--guid': pad('0x3') })
      await oneLine(2, /nowhere\.json/, 'skip', { '--network': 'nowhere.json' })
      await oneLine(2, /burn/, 'burn')
      nodes[ALPHA]!.set(cuts)
      await oneLine(1, /no node of alpha says/, 'skip')
      nodes[BETA]!.set(cuts)
      await oneLine(1, /no node of beta answers/, 'skip')

      // What was printed is what the endpoint takes, from the receiver alone.
      const { client: chain } = on.chains[ALPHA]!
      await chain.impersonateAccount({ address: receiver })
      await chain.setBalance({ address: receiver, value: 10n ** 18n })
      const sent = await chain.sendUnsignedTransaction({
        from: receiver,
        to: prepared.to,
        data: prepared.data,
      })
      await client.waitForTransactionReceipt({ hash: sent })
      expect(await inbound()).toBe(1n)
    } finally {
      await packets.close()
      for (const node of nodes) await node.close()
      await on.stop()
      await dir.remove()
    }
  },
  TEST_TIMEOUT_MS,
)
