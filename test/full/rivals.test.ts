import { localAccounts } from '@clearspan/devnet'
import { createLogger, createQueueBackend, systemClock } from '@clearspan/shared'
import { type Address, isAddressEqual } from 'viem'
import { expect, test } from 'vitest'
import { temporaryDirectory } from '../clearspan.js'
import { createTestRelayer, startOperators, startTestNetwork } from '../testNetwork.js'
import { createPackets } from '../testPackets.js'

// Two relayers with keys and queues of their own race on the same paths (HL #7751).
const TEST_TIMEOUT_MS = 300_000
const PATIENCE = { timeout: 120_000 }
const [ALPHA, BETA] = [0, 1] as const
const [RECEIVERS, ROUNDS] = [4, 6]

test.each(['attestor', 'both', 'stock'] as const)(
  'two relayers that deliver the same packets at once deliver each once, count no failure, and waste little (%s)',
  async (delivery) => {
    const dir = await temporaryDirectory()
    const on = await startTestNetwork({
      directory: dir.path,
      chains: ['alpha', 'beta'],
      delivery,
      moreAdmins: 1,
    })
    const operators = await startOperators(on)
    const packets = createPackets(on)
    const { bulk, peer, price, urgent, dvnSigners } = on.roles.relayer
    const [other] = localAccounts(on.roles.count + 1).slice(on.roles.count)
    const senders = [bulk.account, other!]
    const lines: { msg: string }[] = []
    const destination = { write: (line: string) => void lines.push(JSON.parse(line)) }
    const logger = createLogger({ name: 'test', level: 'info', destination })
    const quiet = createLogger({ name: 'test', level: 'silent' })
    const rivals = await Promise.all(
      senders.map(async (sender) => {
        const backend = await createQueueBackend({ clock: systemClock, logger: quiet })
        const config = { roles: ['messages' as const], operators: operators.known, batch: { packets: 5 } }
        const keys = {
          price: price.account,
          urgent: urgent.account,
          bulk: sender,
          peer: peer.account,
          dvnSigners: dvnSigners.map(({ account }) => account),
        }
        return { backend, relayer: createTestRelayer(on, backend, config, [], { logger, keys }) }
      }),
    )
    const waiting = () => rivals.map(({ relayer }) => relayer.packets().alpha)
    try {
      const receivers = await packets.deploy(ALPHA, RECEIVERS)
      for (const { relayer } of rivals) await relayer.start()
      for (let i = 0; i < ROUNDS; i++) await packets.send(BETA, ALPHA, receivers, `packet ${i}`)
      await expect
        .poll(async () => (await packets.delivered(ALPHA)).length, PATIENCE)
        .toBe(RECEIVERS * ROUNDS)
      await expect.poll(waiting, PATIENCE).toEqual([[], []])

      const delivered = await packets.delivered(ALPHA)
      expect(new Set(delivered.map(({ packet }) => packet)).size).toBe(RECEIVERS * ROUNDS)
      for (const receiver of receivers)
        expect(await packets.has(ALPHA, receiver, `packet ${ROUNDS - 1}`)).toBe(true)
      // Whoever came second has not taken that for a failure of the packet's.
      const failures = ['dead letter', 'lzReceive failed', 'packet not delivered']
      expect(lines.filter(({ msg }) => failures.includes(msg))).toEqual([])
      const { useful, vain } = await gasOf(
        senders,
        new Set(delivered.map(({ transactionHash }) => transactionHash)),
      )
      expect(useful.length).toBeGreaterThan(0)
      // What comes second is seen before it is sent, or finds all done: that costs the Attestor a part of doing it, the stock DVN as much.
      const sum = (list: readonly bigint[]) => list.reduce((all, one) => all + one, 0n)
      expect(vain.length).toBeLessThanOrEqual(useful.length + 2)
      expect(sum(vain)).toBeLessThan(delivery === 'stock' ? (sum(useful) * 3n) / 2n : sum(useful))
    } finally {
      for (const { relayer, backend } of rivals) {
        await relayer.stop()
        await backend.close()
      }
      await packets.close()
      await operators.stop()
      await on.stop()
      await dir.remove()
    }

    /** Gas of each of their transactions on the destination, by whether it delivered anything. */
    async function gasOf(keys: readonly { address: Address }[], delivering: ReadonlySet<string>) {
      const client = packets.client(ALPHA)
      const [useful, vain]: [bigint[], bigint[]] = [[], []]
      const head = await client.getBlockNumber()
      for (let blockNumber = 0n; blockNumber <= head; blockNumber++) {
        const { transactions } = await client.getBlock({ blockNumber, includeTransactions: true })
        for (const { hash, from } of transactions) {
          if (!keys.some(({ address }) => isAddressEqual(address, from))) continue
          const { gasUsed } = await client.getTransactionReceipt({ hash })
          ;(delivering.has(hash) ? useful : vain).push(gasUsed)
        }
      }
      return { useful, vain }
    }
  },
  TEST_TIMEOUT_MS,
)
