import { type ChainClient, RetryableError } from '@clearspan/shared'
import { type Address, BaseError, HttpRequestError, pad } from 'viem'
import { expect, it } from 'vitest'
import { sent } from '../lanes/deliver.test-util.js'
import { createOutbox } from './outbox.js'
import { pathOf } from './packet.js'
import { type Configured, requirements } from './state.js'

const [VERIFIER, OTHER] = [1, 2].map((n) => pad(`0x${n}`, { size: 20 })) as [Address, Address]

/** A node that says what paths ask for; undefined: it doesn't answer. */
const node = (
  confirmations: bigint | undefined,
  verifier = VERIFIER,
  error: Error = new RetryableError('down'),
) =>
  ({
    multicall: async ({ contracts }: { contracts: unknown[] }) =>
      contracts.map(() => {
        if (confirmations === undefined) throw error
        return { confirmations, requiredDVNs: [verifier], optionalDVNs: [] }
      }),
  }) as unknown as ChainClient
const chain = (eid: number, ...witnesses: ChainClient[]) =>
  ({ chain: { eid, layerzero: {} }, witnesses }) as unknown as Configured

const noted: [number, boolean][] = []
const silence = { note: (eid: number, answers: boolean) => void noted.push([eid, answers]) }

function asked(destination: Configured, ...sources: Configured[]) {
  noted.splice(0)
  const packets = sources.map(({ chain: { eid } }) => {
    const one = sent(1n, 1)
    return { ...one, packet: { ...one.packet, srcEid: eid, guid: pad(`0x${eid}`) } }
  })
  const outbox = createOutbox({
    ownPaths: new Set(packets.map(({ packet }) => pathOf(packet))),
    maxForeign: 0,
  })
  for (const packet of packets) outbox.add(packet, 0)
  const byEid = new Map(sources.map((source) => [source.chain.eid, source]))
  return requirements(destination, byEid, outbox.pending(), silence)
}

it('what a path asks for is what more than half of the nodes of each end say', async () => {
  const source = chain(101, node(1n), node(7n), node(7n))
  const destination = chain(102, node(1n, OTHER), node(4n), node(4n))
  expect(await asked(destination, source)).toEqual([{ confirmations: 7n, verifiers: [VERIFIER] }])
  expect(await asked(chain(102, node(9n), node(undefined), node(9n)), source)).toMatchObject([
    { confirmations: 9n },
  ])
})

it('without a majority of the destination nothing goes on, without one of a source what that one sent', async () => {
  const split = chain(101, node(1n), node(7n), node(undefined))
  const destination = chain(102, node(4n))
  expect(await asked(destination, split, chain(103, node(5n)))).toEqual([
    undefined,
    { confirmations: 5n, verifiers: [VERIFIER] },
  ])
  await expect(asked(chain(102, node(4n), node(undefined)), chain(103, node(5n)))).rejects.toThrow(
    RetryableError,
  )
})

it('a source is silent only where so many nodes are out of reach that no majority is left', async () => {
  const gone = () => node(undefined, VERIFIER, new HttpRequestError({ url: 'http://127.0.0.1' }))
  const refusing = () => node(undefined, VERIFIER, new BaseError('execution reverted'))
  const destination = chain(102, node(4n))
  for (const [source, answers] of [
    [chain(101, gone(), gone(), node(1n)), false],
    [chain(101, gone(), node(1n), node(1n)), true],
    // Whatever a receiver or its path answers, it says nothing of the others.
    [chain(101, refusing(), gone(), refusing()), true],
    [chain(101, node(1n), node(7n), gone()), true],
  ] as const) {
    await asked(destination, source)
    expect(noted).toEqual([[101, answers]])
  }
})
