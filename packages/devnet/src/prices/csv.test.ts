import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { UserError } from '@clearspan/shared'
import { expect, test } from 'vitest'
import { loadPriceTape, parsePriceTape } from './csv.js'

const HEADER = 'timestamp_ms,source,symbol,open,high,low,close,volume'
const T = 1583712000000
const parse = (...lines: string[]) => parsePriceTape([HEADER, ...lines].join('\n'), 'p.csv')

function errorOf(run: () => unknown): UserError {
  try {
    run()
  } catch (error) {
    expect(error).toBeInstanceOf(UserError)
    return error as UserError
  }
  throw new Error('was accepted')
}

test('rows and columns in any order, blank prices mean the close, names are normalised', () => {
  const tape = parsePriceTape(
    [
      '\ufeffclose,symbol,source,timestamp_ms,volume,low,high,open,note',
      `102,eth-usdt,Binance,${T + 60_000},,,,,late`,
      '',
      ` 101 ,ETH-USDT,binance,${T}, 5,99,103,100,`,
      `1.5e-3,LUNA-USD,x,${T},0,,,,`,
    ].join('\r\n'),
    'p.csv',
  )
  expect(tape.markets).toEqual(['ETH', 'LUNA'])
  expect(tape.series[0]).toMatchObject({
    source: 'binance',
    symbol: 'ETH-USDT',
    barMs: 60_000,
    bars: [
      { timeMs: T, open: 100, high: 103, low: 99, close: 101 },
      { timeMs: T + 60_000, open: 102, high: 102, low: 102, close: 102 },
    ],
  })
  expect(tape.price('x', 'LUNA-USD', T)).toBe(0.0015)
})

test('legs are markets only when there is nothing else; sixteen markets fit', () => {
  expect(parse(`${T},kraken,USDC-USD,,,,1,`, `${T},kraken,USDT-USD,,,,1,`).markets).toEqual(['USDC', 'USDT'])
  const sixteen = Array.from({ length: 16 }, (_, i) => `${T},v,M${i}-USD,,,,1,`)
  expect(parse(...sixteen, `${T},v,USDT-USD,,,,1,`).markets).toHaveLength(16)
  expect(errorOf(() => parse(...sixteen, `${T},v,ONE-USD,,,,1,`)).message).toContain('market number 17')
})

const good = `${T},binance,ETH-USDT,10,12,9,11,5`
const malformed: [string, string[], string, string][] = [
  ['text price', [`${T},b,ETH-USD,10,12,9,abc,5`], 'p.csv:2 close', 'not a number'],
  ['hex price', [`${T},b,ETH-USD,10,12,9,0x10,5`], 'p.csv:2 close', 'not a number'],
  ['blank close', [`${T},b,ETH-USD,10,12,9,,5`], 'p.csv:2 close', 'blank'],
  ['zero price', [good, `${T},b,ETH-USD,0,12,9,11,5`], 'p.csv:3 open', 'greater than 0'],
  ['negative price', [`${T},b,ETH-USD,10,12,-9,11,5`], 'p.csv:2 low', 'greater than 0'],
  ['infinite price', [`${T},b,ETH-USD,10,1e999,9,11,5`], 'p.csv:2 high', 'not a number'],
  ['high below low', [`${T},b,ETH-USD,,8,9,8.5,5`], 'p.csv:2 high', 'below the low'],
  ['high below close', [`${T},b,ETH-USD,10,10.5,9,11,5`], 'p.csv:2 high', 'below the close'],
  ['low above open', [`${T},b,ETH-USD,10,12,10.5,11,5`], 'p.csv:2 low', 'above the open'],
  ['bad volume', [`${T},b,ETH-USD,10,12,9,11,-1`], 'p.csv:2 volume', 'at least 0'],
  ['symbol without -', [`${T},b,ETHUSD,10,12,9,11,5`], 'p.csv:2 symbol', 'BASE-QUOTE'],
  ['symbol with two -', [`${T},b,ETH-USD-PERP,10,12,9,11,5`], 'p.csv:2 symbol', 'BASE-QUOTE'],
  ['no base', [`${T},b,-USD,10,12,9,11,5`], 'p.csv:2 symbol', 'no market'],
  ['unknown quote', [`${T},b,ETH-EUR,10,12,9,11,5`], 'p.csv:2 symbol', 'no way to USD'],
  ['quoted in itself', [`${T},b,USDT-USDT,,,,1,5`], 'p.csv:2 symbol', 'no way to USD'],
  ['inverted leg', [`${T},b,USDT-USDC,,,,1,5`], 'p.csv:2 symbol', 'write USDC-USDT'],
  ['Pyth in USDT', [`${T},pyth,ETH-USDT,10,12,9,11,5`], 'p.csv:2 symbol', 'USD only'],
  ['a service as a venue', [`${T},hermes,ETH-USD,10,12,9,11,5`], 'p.csv:2 source', 'write pyth'],
  ['no source', [`${T},,ETH-USD,10,12,9,11,5`], 'p.csv:2 source', 'no venue name'],
  ['seconds', ['1583712000,b,ETH-USD,10,12,9,11,5'], 'p.csv:2 timestamp_ms', 'milliseconds'],
  ['a date', ['2020-03-12,b,ETH-USD,10,12,9,11,5'], 'p.csv:2 timestamp_ms', 'whole number'],
  ['missing column', [good, `${T},b,ETH-USD,10,12,9,11`], 'p.csv:3', '7 columns'],
  ['duplicate', [good, '', good], 'p.csv:4 timestamp_ms', 'from line 2'],
  ['open quote', [good, `${T},"b,ETH-USD,10,12,9,11,5`], 'p.csv:3', 'not valid CSV'],
]

test.each(malformed)('malformed: %s', (_name, lines, field, words) => {
  const error = errorOf(() => parse(...lines))
  expect(error.field).toBe(field)
  expect(error.message).toContain(words)
  expect(error.message).not.toContain('\n')
})

test('header: absent, incomplete, without rows', () => {
  expect(errorOf(() => parsePriceTape('', 'p.csv')).message).toContain('is empty')
  expect(errorOf(() => parsePriceTape(`${good}\n`, 'p.csv')).field).toBe('p.csv:1 timestamp_ms')
  expect(
    errorOf(() => parsePriceTape('timestamp_ms,source,symbol,open,high,low,volume', 'p.csv')).field,
  ).toBe('p.csv:1 close')
  expect(errorOf(() => parse()).message).toContain('no rows')
})

test('unreadable files', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'clearspan-prices-'))
  try {
    await expect(loadPriceTape(join(directory, 'none.csv'))).rejects.toThrow('no such file')
    await expect(loadPriceTape(directory)).rejects.toThrow('is a directory')
    await expect(loadPriceTape(join(directory, 'none.csv'))).rejects.toBeInstanceOf(UserError)
  } finally {
    await rm(directory, { recursive: true })
  }
})
