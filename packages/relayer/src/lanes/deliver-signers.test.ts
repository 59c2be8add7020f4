import { type Clock, RetryableError } from '@clearspan/shared'
import fc from 'fast-check'
import { pad } from 'viem'
import { expect, it } from 'vitest'
import { relayerConfigSchema } from '../config.js'
import type { SentPacket } from '../layerzero/sent.js'
import { type Sending, sent, world } from './deliver.test-util.js'

// Rounds of several signers beside one another, over a destination where anything may become of a transaction.

const BATCH = relayerConfigSchema.parse({}).batch.packets
/** As many as a transaction's gas allows where the stock DVN verifies. */
const FULL = 25

/** Each look at it is a second later, so that what is postponed comes again. */
function hurriedClock(): Clock {
  let now = 0
  return { now: () => (now += 1_000), sleep: async () => {} }
}

const ticks = async (count: number) => {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve))
}

const withDrop = (packet: SentPacket): SentPacket => ({
  ...packet,
  options: { ...packet.options, drops: [{ amount: 5n, receiver: pad('0xd0') }] },
})

const fate = fc.record({
  /** `left`: its signer is stuck, others take the work; it is mined later all the same, or never. */
  kind: fc.constantFrom('mined', 'mined', 'mined', 'refused', 'left', 'left and mined'),
  delay: fc.nat(6),
})

it('whatever becomes of transactions, nothing is lost, no path is in two that are waited for, and no drop in two', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ packets: fc.integer({ min: 1, max: 8 }), drops: fc.boolean() }), {
        minLength: 1,
        maxLength: 6,
      }),
      fc.integer({ min: 1, max: 4 }),
      fc.array(fate, { maxLength: 60 }),
      async (paths, signers, fates) => {
        const packets = paths.flatMap((path, i) =>
          Array.from({ length: path.packets }, (_, n) => {
            const packet = sent(BigInt(n + 1), i + 1)
            return path.drops ? withDrop(packet) : packet
          }),
        )
        const waited = new Map<string, number>()
        const dropped = new Map<string, number>()
        const late: Promise<void>[] = []
        let next = 0
        async function sending({ request, executes, apply }: Sending): Promise<void> {
          const { kind, delay } = fates[next++] ?? { kind: 'mined', delay: 0 }
          const own = new Set(executes.map((packet) => packet.split(':')[0]!))
          for (const path of own) {
            expect(waited.get(path) ?? 0).toBe(0)
            waited.set(path, 1)
          }
          await ticks(delay)
          for (const path of own) waited.set(path, 0)
          if (kind === 'refused') throw new RetryableError('refused')
          // A signer leaves to others only what it may.
          const isLeft = kind !== 'mined' && !request.exclusive
          if ((request.value ?? 0n) > 0n && !isLeft)
            for (const packet of executes) dropped.set(packet, (dropped.get(packet) ?? 0) + 1)
          if (!isLeft) return apply()
          expect(request.value).toBe(0n)
          if (kind === 'left and mined') late.push(ticks(delay * 2).then(apply))
          throw new RetryableError('left to another signer')
        }
        const { round, delivered } = world({ packets, signers, clock: hurriedClock(), sending })
        const deliverAll = async () => {
          for (let i = 0; i < 400 && delivered.size < packets.length; i++)
            await round().catch((error: unknown) => {
              if (!(error instanceof RetryableError)) throw error
            })
        }
        await Promise.all(Array.from({ length: signers }, deliverAll))
        await Promise.all(late)
        expect(delivered.size).toBe(packets.length)
        for (const count of dropped.values()) expect(count).toBe(1)
      },
    ),
    { numRuns: 25 },
  )
}, 60_000)

it('side by side, each of several signers has paths of its own, and a full batch', async () => {
  const packets = [1, 2, 3, 4].flatMap((sender) =>
    Array.from({ length: BATCH }, (_, n) => sent(BigInt(n + 1), sender)),
  )
  const underWay: Sending[] = []
  let mined = () => {}
  const block = new Promise<void>((resolve) => {
    mined = resolve
  })
  const { round } = world({
    packets,
    signers: 3,
    async sending(transaction) {
      underWay.push(transaction)
      await block
      transaction.apply()
    },
  })
  const rounds = [round(), round(), round()]
  await expect.poll(() => underWay.length).toBe(3)
  const paths = underWay.map(({ executes }) => new Set(executes.map((packet) => packet.split(':')[0])))
  expect(underWay.map(({ executes }) => executes.length)).toEqual([FULL, FULL, FULL])
  expect(new Set(paths.flatMap((own) => [...own])).size).toBe(3)
  mined()
  expect(await Promise.all(rounds)).toEqual([true, true, true])
})

it('brings no value while a transaction that a process before has left may bring it', async () => {
  let left = 1
  const packets = [withDrop(sent(1n, 1)), sent(2n, 1), sent(1n, 2)]
  const values: bigint[] = []
  const { round, delivered } = world({
    packets,
    clock: hurriedClock(),
    unclaimed: () => left,
    async sending({ request, apply }) {
      values.push(request.value ?? 0n)
      apply()
    },
  })
  for (let i = 0; i < 5; i++) await round()
  // What is above it on its path goes on.
  expect([...delivered].sort()).toEqual(['1:2', '2:1'])
  expect(values.every((value) => value === 0n)).toBe(true)
  left = 0
  for (let i = 0; i < 70 && delivered.size < 3; i++) await round()
  expect(delivered).toContain('1:1')
  expect(values.at(-1)).toBe(5n)
})
