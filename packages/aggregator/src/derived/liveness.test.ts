import { describe, expect, it } from 'vitest'
import { type Aggregate, toObserved } from '../aggregation/aggregate.js'
import { NOW, parameters, priceOf } from '../aggregation/scene.test-util.js'
import type { Quote } from '../sources/types.js'

const FEED = 'ALPHA.TIME/S'
const now = NOW / 1000

/** The feed of nodes (RPCs) that tell these block times, unix seconds. */
function told(times: readonly number[], change: (quote: Quote) => Partial<Quote> = () => ({})) {
  const nodes = Object.fromEntries(times.map((time, at) => [`rpc${at}`, { [FEED]: `${time}` }]))
  return toObserved(priceOf(nodes, { feed: FEED, change }), 0)
}

describe('the block time of a chain', () => {
  it.each([
    ['0', 0],
    ['the day after', now + 86_400],
    ['the largest that a node can say', 2 ** 40 - 1],
    ['an hour that is over', now - 3_600],
  ])('lies between honest nodes when another says %s', (_, lie) => {
    const seconds = told([now - 3, now - 2, now - 1, lie])
    if ('hold' in seconds) throw new Error(seconds.hold)
    expect(Number(seconds.price)).toBeGreaterThanOrEqual(now - 3)
    expect(Number(seconds.price)).toBeLessThanOrEqual(now - 1)
  })

  it('stays what it was on a chain that stands still, while its nodes answer', () => {
    const stopped = now - 7_200
    expect(told([stopped, stopped, stopped])).toMatchObject({ price: BigInt(stopped) })
  })

  it('is held, not guessed, when a node of three no longer answers: an outage of ours is none of theirs', () => {
    const late = parameters.maxReceiveAgeMs + 1
    const silent = ({ source }: Quote): Partial<Quote> =>
      source === 'rpc0' ? { eventTime: NOW - late, receiveTime: NOW - late } : {}
    expect(told([now, now, now], silent)).toEqual({ hold: 'no_honest_majority' } satisfies Aggregate)
  })
})
