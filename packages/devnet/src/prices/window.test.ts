import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { UserError } from '@clearspan/shared'
import { describe, expect, test } from 'vitest'
import { builtInTape } from './builtIn.js'
import { loadPriceTape } from './csv.js'
import { createTape, type PriceBar, seriesPrice, walk } from './tape.js'
import { sharedDirectory } from './testData.js'
import { deepestFall, selectWindow } from './window.js'

const HOUR = 3_600_000
const T = Date.UTC(2020, 2, 9)
const flat = (timeMs: number, price: number): PriceBar => ({
  timeMs,
  open: price,
  high: price,
  low: price,
  close: price,
})
const hourly = (prices: number[]) =>
  createTape('t', false, [
    { source: 'a', symbol: 'ETH-USD', bars: prices.map((p, i) => flat(T + i * HOUR, p)) },
  ])

test('a bar is walked open, nearer extreme, other extreme, close', () => {
  expect(walk({ timeMs: 0, open: 10, high: 11, low: 5, close: 6 })).toEqual([10, 11, 5, 6])
  expect(walk({ timeMs: 0, open: 10, high: 15, low: 9, close: 14 })).toEqual([10, 9, 15, 14])
  expect(walk({ timeMs: 0, open: 10, high: 12, low: 8, close: 11 })).toEqual([10, 8, 12, 11])
  expect(walk({ timeMs: 0, open: 10, high: 12, low: 8, close: 9 })).toEqual([10, 12, 8, 9])
})

test('prices follow the walk, hold the close over one missing bar, and end with the data', () => {
  const bar = { timeMs: T, open: 10, high: 11, low: 5, close: 6 }
  const tape = createTape('t', false, [
    {
      source: 'a',
      symbol: 'ETH-USD',
      bars: [flat(T + 5 * HOUR, 7), bar, flat(T + HOUR, 6), flat(T + 2 * HOUR, 8)],
    },
  ])
  const at = (hours: number) => tape.price('a', 'ETH-USD', T + hours * HOUR)
  expect(at(-0.01)).toBeUndefined()
  expect(at(0)).toBe(10)
  expect(at(1 / 6)).toBeCloseTo(10.5)
  expect(at(1 / 3)).toBeCloseTo(11)
  expect(at(0.5)).toBeCloseTo(8)
  expect(at(2 / 3)).toBeCloseTo(5)
  expect(at(0.999999)).toBeCloseTo(6)
  expect(at(1)).toBe(6)
  expect(at(3.5)).toBe(8)
  expect(at(4.5)).toBeUndefined()
  expect(at(5)).toBe(7)
  expect(at(7.5)).toBeUndefined()
  expect(tape.price('b', 'ETH-USD', T)).toBeUndefined()
  expect(tape.range).toEqual({ startMs: T, endMs: T + 6 * HOUR })
})

test('a single row borrows the bar length of the others', () => {
  const tape = createTape('t', false, [
    { source: 'a', symbol: 'ETH-USD', bars: [flat(T, 1)] },
    { source: 'b', symbol: 'ETH-USD', bars: [flat(T, 1), flat(T + 60_000, 1)] },
  ])
  expect(tape.series[0]!.barMs).toBe(60_000)
})

test('the worst stretch holds the deepest fall, in time order, with the slack around it', () => {
  // Falls 50 % over four hours; a rise from a low to a later high is no fall.
  const tape = hourly([50, 100, 100, 90, 80, 60, 50, 55, 56, 57, 200, 190])
  const window = selectWindow(tape, '8h')
  expect(window.worst).toMatchObject({ depth: 0.5, troughMs: T + 6 * HOUR })
  expect(window.endMs - window.startMs).toBe(8 * HOUR)
  expect(window.startMs).toBeLessThanOrEqual(window.worst!.peakMs)
  expect(window.endMs).toBeGreaterThanOrEqual(window.worst!.troughMs)
  // Within two hours the deepest fall is another: 90, which holds to the end of its bar, to 50.
  expect(selectWindow(tape, '2h').worst!.depth).toBeCloseTo(1 - 50 / 90)
  // Shorter than a day: all of it.
  expect(selectWindow(tape)).toMatchObject(tape.range)
})

test('brute force agrees with the sliding maximum', () => {
  const tape = builtInTape()
  const series = tape.series[0]!
  const times = series.bars.map(({ timeMs }) => timeMs)
  let deepest = 0
  for (const [i, from] of times.entries())
    for (const to of times.slice(i).filter((time) => time - from <= 2 * HOUR))
      deepest = Math.max(deepest, 1 - seriesPrice(series, to)! / seriesPrice(series, from)!)
  expect(deepestFall([series], 2 * HOUR, tape.range)!.depth).toBeCloseTo(deepest, 9)
})

test('an explicit stretch in ISO or ms, always UTC', () => {
  const tape = hourly(Array.from({ length: 48 }, (_, i) => 100 - i))
  const expected = { startMs: T + 12 * HOUR, endMs: T + 24 * HOUR }
  expect(selectWindow(tape, '2020-03-09T12:00..2020-03-10')).toMatchObject(expected)
  expect(selectWindow(tape, '2020-03-09T13:00+01:00..2020-03-10T00:00:00.000Z')).toMatchObject(expected)
  expect(selectWindow(tape, `${expected.startMs}..${expected.endMs}`)).toMatchObject(expected)
})

test.each([
  '3',
  'h',
  '-3h',
  '3 h',
  '0h',
  '49h',
  '..',
  '2020-03-09..',
  '2020-03-10..2020-03-09',
  '2020-03-08..2020-03-10',
  '2020-03-09..2020-03-10..2020-03-11',
  'March..April',
])('bad window %s', (spec) => {
  const run = () => selectWindow(hourly(Array.from({ length: 48 }, (_, i) => 100 - i)), spec)
  expect(run).toThrow(UserError)
  expect(run).toThrow(/^--window: /)
})

test('the built-in crash has its shape, and the same one each time', () => {
  const tape = builtInTape()
  expect(tape).toMatchObject({ builtIn: true, markets: ['BTC', 'ETH'] })
  expect(builtInTape().series).toEqual(tape.series)
  const fall = (symbol: string, hours: number) =>
    deepestFall(
      tape.series.filter((one) => one.source === 'coinbase' && one.symbol === symbol),
      hours * HOUR,
      tape.range,
    )!
  expect(fall('ETH-USD', 24).depth).toBeCloseTo(0.43, 2)
  expect(fall('ETH-USD', 3).depth).toBeCloseTo(0.3, 2)
  expect(fall('BTC-USD', 24).depth).toBeCloseTo(0.4, 2)
  const { troughMs } = fall('ETH-USD', 24)
  const prices = tape.series.filter(({ base }) => base === 'ETH').map((one) => seriesPrice(one, troughMs)!)
  expect(Math.max(...prices) / Math.min(...prices) - 1).toBeCloseTo(0.065, 3)
  const window = selectWindow(tape)
  expect(window.endMs - window.startMs).toBe(24 * HOUR)
  expect(window.endMs - window.worst!.troughMs).toBeGreaterThan(HOUR)
})

const data = sharedDirectory('data')
describe.skipIf(data === undefined)('recorded crashes', () => {
  const files = data === undefined ? [] : readdirSync(data).filter((file) => file.endsWith('.csv'))

  test.each(files)('%s', async (file) => {
    const tape = await loadPriceTape(join(data!, file))
    expect(tape.markets.length).toBeGreaterThan(0)
    const window = selectWindow(tape)
    expect(window.endMs - window.startMs).toBe(Math.min(24 * HOUR, tape.range.endMs - tape.range.startMs))
    expect(window.startMs).toBeGreaterThanOrEqual(tape.range.startMs)
    expect(window.endMs).toBeLessThanOrEqual(tape.range.endMs)
    // A crash file holds a crash, and it lies inside the window.
    expect(window.worst!.depth).toBeGreaterThan(0.08)
    expect(window.worst!.peakMs).toBeGreaterThanOrEqual(window.startMs)
    expect(window.worst!.troughMs).toBeLessThanOrEqual(window.endMs)
  })

  test('12 March 2020: ETH loses 40 % and more in a day; the frozen venue is left as it was', async () => {
    const tape = await loadPriceTape(join(data!, '2020-03-black-thursday_1h.csv'))
    expect(tape.markets).toEqual(['BTC', 'ETH', 'LTC'])
    expect(selectWindow(tape).worst!.depth).toBeGreaterThan(0.4)
    expect(tape.price('gemini', 'BTC-USD', Date.UTC(2020, 2, 13, 4, 30))).toBe(5301.14)
  })
})
