import { UserError } from '@clearspan/shared'
import { describe, expect, it } from 'vitest'
import { type PlanSource, planFeeds } from './plan.js'

const source = (id: string, tags: string[], ...pairs: string[]): PlanSource => ({
  id,
  tags,
  markets: pairs.map((pair) => {
    const [base = '', quote = ''] = pair.split('/')
    return { symbol: pair, base, quote }
  }),
})
const feeds = (...names: string[]) => names.map((name) => ({ name, exponent: -8 }))
const list = (names: string[], sources: PlanSource[], faultyTags = 1, capped: string[] = []) =>
  planFeeds({ feeds: feeds(...names), sources, faultyTags, capped })
const groupsOf = (sources: PlanSource[], name = 'ETH/USD', faultyTags = 1) =>
  list([name], sources, faultyTags, [name])
    .listings[0]?.groups.map((group) => group.join(' '))
    .sort()

const usd = ['coinbase', 'kraken', 'gemini'].map((id) => source(id, [id], 'ETH/USD', 'USDT/USD'))

describe('listing', () => {
  it('gives sources that share a tag one vote', () => {
    const sources = [...usd, source('hermes', ['pyth'], 'ETH/USD'), source('v1', ['pyth'], 'ETH/USD')]
    expect(groupsOf(sources)).toEqual([
      'coinbase:ETH/USD',
      'gemini:ETH/USD',
      'hermes:ETH/USD v1:ETH/USD',
      'kraken:ETH/USD',
    ])
    expect(list(['ETH/USD'], sources).listings[0]).toMatchObject({ toleratedFaults: 1, capped: false })
  })

  it('makes one group of all venues that one leg converts', () => {
    const sources = [...usd, source('binance', ['binance'], 'ETH/USDT'), source('okx', ['okx'], 'ETH/USDT')]
    expect(groupsOf(sources)).toContain('binance:ETH/USDT okx:ETH/USDT')
  })

  it('ties a price to the sources of a leg that one liar can move', () => {
    const [coinbase, kraken] = usd
    if (!coinbase || !kraken) throw new Error('missing source')
    const bare = source('coinbase', ['coinbase'], 'ETH/USD')
    const sources = [bare, kraken, source('binance', ['binance'], 'ETH/USDT')]
    // Kraken alone quotes USDT/USD: its lie would be two of three votes.
    expect(groupsOf(sources)).toEqual(['coinbase:ETH/USD', 'kraken:ETH/USD binance:ETH/USDT'])
    expect(() => list(['ETH/USD'], sources)).toThrow(UserError)
  })

  it('takes one way from each source: the direct market before a converted one', () => {
    const sources = [...usd.slice(1), source('coinbase', ['coinbase'], 'ETH/USDT', 'ETH/USD', 'USDT/USD')]
    expect(groupsOf(sources)).toContain('coinbase:ETH/USD')
  })

  it('has no price where the leg is missing', () => {
    const sources = [source('binance', ['binance'], 'ETH/USDT'), source('okx', ['okx'], 'ETH/USDT')]
    expect(() => list(['ETH/USD'], sources)).toThrow(
      expect.objectContaining({ field: 'sources (feed ETH/USD)', fix: expect.stringContaining('leg') }),
    )
  })

  it('lists a weak feed only when told to, and says so', () => {
    const sources = usd.slice(0, 2)
    expect(() => list(['ETH/USD'], sources)).toThrow(/can't outvote 1 lying/)
    expect(list(['ETH/USD'], sources, 1, ['ETH/USD']).listings[0]).toMatchObject({
      toleratedFaults: 0,
      capped: true,
    })
    expect(() => list(['ETH/USD'], usd, 1, ['BTC/USD'])).toThrow(expect.objectContaining({ field: 'capped' }))
  })

  it('ends on legs that convert each other', () => {
    const sources = [
      ...['a', 'b', 'c'].map((id) => source(id, [id], 'USDC/USD')),
      source('binance', ['binance'], 'USDC/USDT', 'USDT/USDC'),
      source('d', ['d'], 'USDT/USDC'),
    ]
    expect(groupsOf(sources, 'USDC/USD')).toHaveLength(3)
    expect(groupsOf(sources, 'USDT/USD')).toEqual(['binance:USDT/USDC d:USDT/USDC'])
  })
})
