import { type Clock, RetryableError, systemClock } from '@clearspan/shared'
import { type AbiEvent, type Address, encodeAbiParameters, encodeEventTopics, type Log, pad } from 'viem'
import { expect, it } from 'vitest'
import { endpointAbi } from '../layerzero/abi.js'
import { pathOf } from '../layerzero/packet.js'
import type { SentPacket } from '../layerzero/sent.js'
import { address, ENDPOINT, EXECUTOR, sent, world } from './deliver.test-util.js'

it('postpones the one packet whose delivery fails, and delivers its neighbours', async () => {
  const packets = [1, 2, 3].flatMap((sender) => [1n, 2n, 3n].map((nonce) => sent(nonce, sender)))
  const { round, batches, lines } = world({ packets, refused: ['2:2'] })
  while (await round()) {}
  const delivered = new Set(batches.flat())
  for (const sender of [1, 3])
    for (const nonce of [1, 2, 3]) expect(delivered).toContain(`${sender}:${nonce}`)
  // What is below the failing nonce goes; what is above it waits for it, as the endpoint would have it.
  expect(delivered).toContain('2:1')
  expect(delivered).not.toContain('2:2')
  expect(lines.filter(({ msg }) => msg === 'packet not deliverable').map(({ guid }) => guid)).toEqual([
    sent(2n, 2).packet.guid,
  ])
})

it("a stranger's receiver that won't be asked holds up its own path alone", async () => {
  const packets = [sent(1n, 1), sent(1n, 2), sent(1n, 3)]
  const { round, batches } = world({ packets, hostile: [2] })
  expect(await round()).toBe(true)
  expect(batches).toEqual([['1:1', '3:1']])
})

it('a node that fails where our own paths are asked is told apart from a receiver that does', async () => {
  const { round } = world({ packets: [sent(1n, 1)], hostile: [1] })
  await expect(round()).rejects.toThrow(RetryableError)
})

it('nodes that fail on both sides at once fail the round, and nothing besides', async () => {
  // A rejection that nobody waits for would end the process: the test runner counts it.
  await expect(world({ packets: [sent(1n, 1)], isSilent: true }).round()).rejects.toThrow(RetryableError)
})

it('reports no progress when there is nothing to send', async () => {
  const { round, outbox } = world({ packets: [sent(2n, 1)] })
  // Nonce 1 is missing: 2 is verified and committed, and can't be executed.
  expect(await round()).toBe(true)
  expect(outbox.has(pathOf(sent(1n, 1).packet), 2n)).toBe(true)
  expect(await round()).toBe(false)
})

it.each([
  ['of our executor, by the endpoint', ENDPOINT, EXECUTOR, 1],
  ['that a contract forges as ours', address(66), EXECUTOR, 0],
  ['of another executor', ENDPOINT, address(66), 0],
])('an alert %s', async (_, emitter, executor, failures) => {
  // Nonce 1 is missing, so that the packet is committed and waits.
  const { round, outbox } = world({
    packets: [sent(2n, 1)],
    logs: [alertOf(sent(2n, 1), emitter, executor)],
  })
  await round()
  expect(outbox.pending()).toMatchObject([{ failures }])
})

function alertOf({ packet }: SentPacket, emitter: Address = ENDPOINT, executor: Address = EXECUTOR): Log {
  const { srcEid, sender, nonce, guid, message } = packet
  const event = endpointAbi.find(
    (item) => item.type === 'event' && item.name === 'LzReceiveAlert',
  ) as AbiEvent
  const receiver = address(Number(packet.receiver))
  const origin = { srcEid, sender, nonce }
  return {
    address: emitter,
    topics: encodeEventTopics({ abi: [event], args: { receiver, executor } }),
    data: encodeAbiParameters(
      event.inputs.filter((input) => !input.indexed),
      [origin, guid, 1n, 0n, message, '0x', '0x12345678'],
    ),
  } as unknown as Log
}

it('makes no native drop before it has read which ones are made', async () => {
  const packet = {
    ...sent(1n, 1),
    options: { ...sent(1n, 1).options, drops: [{ amount: 7n, receiver: pad('0x9') }] },
  }
  let head: bigint | undefined
  const { round, batches, outbox } = world({ packets: [packet], head: () => head, clock: hurriedClock() })
  await round()
  await round()
  // It is committed meanwhile: what is above it on its path needs no drop.
  expect(batches).toEqual([[]])
  expect(outbox.pending()).toMatchObject([{ waitsFor: 'whether its native drops are made is not known' }])
  head = 5n
  await round()
  expect(batches).toEqual([[], ['1:1']])
})

const name = ({ packet }: SentPacket) => `${Number(packet.sender)}:${packet.nonce}`

it('a restart sends nothing to find out that what is committed still fails', async () => {
  const { round, batches, outbox } = world({ packets: [sent(1n, 2)], stuck: [name(sent(1n, 2))] })
  expect(await round()).toBe(false)
  expect(batches).toEqual([])
  expect(outbox.pending()).toMatchObject([{ failures: 1, failure: { kind: 'silent' } }])
})

it('sends what is fresh before it tries again what has failed, however much of that is due', async () => {
  const of = (sender: number, count: number) =>
    Array.from({ length: count }, (_, i) => sent(BigInt(i + 1), sender))
  const stuck = of(2, 20).map(name)
  const { round, batches, outbox } = world({ packets: [...of(2, 20), ...of(3, 25)], stuck })
  for (const { packet } of of(2, 20)) outbox.markFailed(packet.guid)
  expect(await round()).toBe(true)
  // One transaction takes 25.
  expect(batches).toEqual([of(3, 25).map(name)])
  expect(await round()).toBe(false)
  const failures = outbox.pending().map((entry) => [name(entry), entry.failures, entry.failure?.kind])
  expect(failures).toEqual(stuck.map((one) => [one, 2, 'silent']))
})

it('what a node calls delivered may be of a block that the feed has not seen, and comes back with a reorg of that', async () => {
  const packet = sent(1n, 1)
  const { round, delivered, outbox } = world({ packets: [packet], stuck: [name(packet)] })
  delivered.add(name(packet))
  expect(await round()).toBe(false)
  expect(outbox.size()).toBe(0)
  // The feed is at block 5.
  outbox.restore(6n)
  expect(outbox.size()).toBe(1)
})

/** Each look at it is a while later, so that what is postponed comes again. */
function hurriedClock(): Clock {
  let now = 0
  return { now: () => (now += 10_000), sleep: async () => {} }
}

const inOrder = (packet: SentPacket): SentPacket => ({
  ...packet,
  options: { ...packet.options, ordered: true },
})

it.each([
  // Those that wait must not keep away what they wait for: they are more than a turn of others' packets.
  ['of 60 that are committed', 60, 60],
  ['the only one that is committed', 5, 1],
])(
  'what wants order waits for a failing nonce below it, %s, counts no failure, and goes once that has gone',
  async (_, count, before) => {
    const packets = Array.from({ length: count }, (_, i) => inOrder(sent(BigInt(i + 1), 2)))
    const names = packets.map(name)
    const [first, ...above] = names
    const stuck = [first!]
    const { round, delivered, outbox } = world({
      packets,
      stuck,
      committed: names.slice(0, before),
      ordering: [2],
      clock: hurriedClock(),
    })
    const rounds = async (most: number) => {
      for (let i = 0; i < most; i++) await round()
    }
    await rounds(40)
    expect(outbox.dead().map((entry) => [name(entry), entry.failures])).toEqual([[first, 10]])
    expect(delivered.size).toBe(0)
    expect(outbox.pending().map((entry) => [name(entry), entry.failures, entry.waitsFor])).toEqual(
      above.map((one, i) => [one, 0, `nonce ${i + 1} of its path is not delivered`]),
    )
    stuck.splice(0)
    outbox.replay(packets[0]!.packet.guid)
    await rounds(5)
    expect([...delivered]).toEqual(names)
  },
)

it('what wants order and failed in one transaction with those below it has not failed itself', async () => {
  const packets = [1n, 2n].map((nonce) => inOrder(sent(nonce, 2)))
  const logs = packets.map((packet) => alertOf(packet))
  const { round, batches, outbox } = world({ packets, logs, stuck: ['2:1'], committed: [], ordering: [2] })
  await round()
  expect(batches).toEqual([['2:1', '2:2']])
  expect(outbox.pending().map(({ failures }) => failures)).toEqual([1, 0])
})

it('what is committed above a gap says which nonce it waits for', async () => {
  const { round, outbox } = world({ packets: [sent(2n, 1), sent(3n, 1)], clock: hurriedClock() })
  await round()
  await round()
  const reason = 'nonce 1 of its path is not committed'
  expect(outbox.pending().map(({ waitsFor }) => waitsFor)).toEqual([reason, reason])
})

it('what was taken for delivered once is asked of one node after another, and no other packet waits for that', async () => {
  const packets = [sent(1n, 1), sent(2n, 1)]
  let now = 0
  const clock = { ...systemClock, now: () => now }
  const { round, batches, outbox } = world({ packets, lies: true, clock })
  const waiting = () => outbox.pending().map(({ packet }) => packet.nonce)
  await round()
  expect([batches, waiting()]).toEqual([[], []])
  for (const { packet } of packets) outbox.reopen(packet.guid)
  outbox.add(sent(1n, 2), now)
  // The liar settles what is new; the next in turn is down.
  await round()
  expect([batches, waiting()]).toEqual([[], [1n, 2n]])
  now += 60_000
  await round()
  expect(batches).toEqual([['1:1', '1:2']])
})

it('what was sent and a node calls undelivered is asked of others, and not sent once more', async () => {
  const { round, batches, outbox } = world({
    packets: [sent(1n, 1)],
    denies: true,
    clock: hurriedClock(),
  })
  for (let i = 0; i < 6; i++) await round()
  expect([batches, outbox.size()]).toEqual([[['1:1']], 0])
})

it('brings value only to what a majority of nodes calls undelivered', async () => {
  const packet = { ...sent(1n, 1), options: { ...sent(1n, 1).options, value: 5n } }
  // Somebody else has delivered it, one of three nodes denies that, and one is down.
  const { round, batches, delivered, outbox } = world({
    packets: [packet],
    denies: true,
    committed: ['1:1'],
    clock: hurriedClock(),
  })
  delivered.add('1:1')
  for (let i = 0; i < 6; i++) await round()
  expect([batches.flat(), outbox.size()]).toEqual([[], 0])
  const open = world({ packets: [packet] })
  await open.round()
  expect(open.batches).toEqual([['1:1']])
})

it('a packet that only others can move says whom it waits for, and who was not paid', async () => {
  const [stranger] = [address(77)]
  const waits = async (packet: SentPacket, verifiers: Address[], ...hostile: number[]) => {
    const { round, outbox } = world({ packets: [packet], verifiers, hostile })
    await round()
    return outbox.pending()[0]?.waitsFor
  }
  const unpaid = { ...sent(1n, 2), verify: false }
  expect(await waits(unpaid, [address(1), stranger!])).toBe(
    `its sender has not paid ${address(1)}, which its receiver's configuration names; it waits for ${stranger}`,
  )
  expect(await waits(unpaid, [stranger!])).toBe(`it waits for ${stranger}`)
  expect(await waits(sent(1n, 2), [address(1)], 2)).toMatch(/does not let itself be asked/)
})

it('a source that is silent is left alone for a while, and then its packets go on', async () => {
  let now = 0
  let asks = 0
  let isDown = true
  const { round, batches, outbox } = world({
    // Strangers' too: their paths alone must not hide it.
    packets: [sent(1n, 1), sent(1n, 2), sent(1n, 3)],
    clock: { ...systemClock, now: () => now },
    sourceDown: () => {
      asks++
      return isDown
    },
  })
  await round()
  const asked = asks
  for (const [guid] of outbox.pending().map(({ packet }) => [packet.guid] as const)) outbox.replay(guid)
  expect([await round(), asks, outbox.size()]).toEqual([false, asked, 3])
  isDown = false
  now += 60_000
  await round()
  expect(batches).toEqual([['1:1', '2:1', '3:1']])
})
