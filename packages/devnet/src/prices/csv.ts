import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { UserError } from '@clearspan/shared'
import { CsvError, parse } from 'csv-parse/sync'
import { createTape, LEGS, type PriceBar, type PriceTape, type RawSeries } from './tape.js'

const COLUMNS = ['timestamp_ms', 'source', 'symbol', 'open', 'high', 'low', 'close', 'volume'] as const
type Column = (typeof COLUMNS)[number]

/** The on-chain feed list and the margin matrix are sized for so many. */
const MAX_MARKETS = 16

/** Only these have a way to USD: directly or through a leg's feed. */
const QUOTES: readonly string[] = ['USD', ...LEGS]

/** Names of the two services through which Pyth's prices come. */
const RESERVED: readonly string[] = ['hermes', 'price-service', 'pyth-hermes', 'pyth-price-service']

/** Timestamps outside 2009..2100 are in another unit. */
const EARLIEST_MS = Date.UTC(2009, 0, 1)
const LATEST_MS = Date.UTC(2100, 0, 1)

/**
 * Reads recorded prices from a CSV of `timestamp_ms,source,symbol,open,high,low,close,volume`: rows and columns in any order,
 * 1 to 16 markets, blank open, high or low mean the close. Timestamps are the bar's opening in unix ms; prices are in the quote,
 * which is USD, USDT or USDC. Volume may be blank and is only checked.
 * @throws UserError naming `file:line column` and the fix.
 */
export async function loadPriceTape(csvPath: string): Promise<PriceTape> {
  const file = basename(csvPath)
  const text = await readFile(csvPath, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new UserError(csvPath, unreadable(error.code))
  })
  return parsePriceTape(text, file)
}

function unreadable(code: string | undefined): string {
  if (code === 'ENOENT') return 'no such file; check the path'
  if (code === 'EISDIR') return 'is a directory; name a CSV file in it'
  return `cannot be read (${code ?? 'unknown error'}); check its permissions`
}

/** loadPriceTape on text that is already in memory; `file` names it in errors. */
export function parsePriceTape(text: string, file: string): PriceTape {
  const [header, ...rows] = parseRows(text, file)
  if (header === undefined) throw new UserError(file, `is empty; its first line must be ${COLUMNS.join(',')}`)
  const place = readHeader(header, file)
  if (rows.length === 0) throw new UserError(file, 'has a header but no rows; add price rows')

  const seen = new Map<string, number>()
  const series = new Map<string, RawSeries>()
  const markets = new Set<string>()
  for (const row of rows) {
    if (row.cells.length !== header.cells.length)
      throw new UserError(
        `${file}:${row.line}`,
        `has ${row.cells.length} columns where the header has ${header.cells.length}; remove the row or mend it`,
      )
    const { source, symbol, bar } = readRow(row, place, file)
    const key = `${source} ${symbol}`
    const first = seen.get(`${key} ${bar.timeMs}`)
    if (first !== undefined)
      throw new UserError(
        `${file}:${row.line} timestamp_ms`,
        `repeats ${symbol} of ${source} at ${bar.timeMs} from line ${first}; keep one of the two rows`,
      )
    seen.set(`${key} ${bar.timeMs}`, row.line)
    const base = symbol.slice(0, symbol.indexOf('-'))
    if (!LEGS.includes(base)) markets.add(base)
    if (markets.size > MAX_MARKETS)
      throw new UserError(
        `${file}:${row.line} symbol`,
        `${base} is market number ${MAX_MARKETS + 1}; at most ${MAX_MARKETS} fit, remove some`,
      )
    const one = series.get(key)
    if (one === undefined) series.set(key, { source, symbol, bars: [bar] })
    else one.bars.push(bar)
  }
  return createTape(file, false, [...series.values()])
}

interface Row {
  line: number
  cells: string[]
}

function parseRows(text: string, file: string): Row[] {
  try {
    const records = parse(text, {
      bom: true,
      info: true,
      relax_column_count: true,
      skip_empty_lines: true,
      trim: true,
    })
    return (records as unknown as { info: { lines: number }; record: string[] }[]).map(
      ({ info, record }) => ({
        line: info.lines,
        cells: record,
      }),
    )
  } catch (error) {
    if (!(error instanceof CsvError)) throw error
    const line = typeof error.lines === 'number' ? `:${error.lines}` : ''
    throw new UserError(
      `${file}${line}`,
      `is not valid CSV (${error.code}); mend the quotes around this line`,
    )
  }
}

function readHeader(header: Row, file: string): Record<Column, number> {
  const names = header.cells.map((cell) => cell.toLowerCase())
  const place = {} as Record<Column, number>
  for (const column of COLUMNS) {
    place[column] = names.indexOf(column)
    if (place[column] < 0)
      throw new UserError(
        `${file}:${header.line} ${column}`,
        `the header lacks this column; the first line must be ${COLUMNS.join(',')}`,
      )
  }
  return place
}

function readRow(row: Row, place: Record<Column, number>, file: string) {
  const at = (column: Column) => `${file}:${row.line} ${column}`
  const cell = (column: Column) => row.cells[place[column]]!
  const timeMs = readTime(cell('timestamp_ms'), at('timestamp_ms'))
  const source = cell('source').toLowerCase()
  if (!/^[a-z0-9][a-z0-9._-]*$/.test(source))
    throw new UserError(
      at('source'),
      `"${source}" is no venue name; use letters, digits, ".", "_" and "-", such as kraken`,
    )
  const symbol = readSymbol(cell('symbol'), source, at('symbol'))
  const close = readPrice(cell('close'), at('close'))
  const orClose = (column: Column) => (cell(column) === '' ? close : readPrice(cell(column), at(column)))
  const bar = { timeMs, open: orClose('open'), high: orClose('high'), low: orClose('low'), close }
  checkBar(bar, cell, at)
  const volume = cell('volume')
  if (volume !== '' && !(Number(volume) >= 0))
    throw new UserError(at('volume'), `"${volume}" is not a number of at least 0; mend it or leave it blank`)
  return { source, symbol, bar }
}

function readTime(text: string, field: string): number {
  const time = Number(text)
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(time))
    throw new UserError(field, `"${text}" is not a whole number; give the bar's opening in unix milliseconds`)
  if (time < EARLIEST_MS || time > LATEST_MS)
    throw new UserError(
      field,
      `${text} lies outside 2009 to 2100; give unix milliseconds, not seconds or nanoseconds`,
    )
  return time
}

function readSymbol(text: string, source: string, field: string): string {
  const symbol = text.toUpperCase()
  const parts = symbol.split('-')
  if (parts.length !== 2)
    throw new UserError(field, `"${text}" must be BASE-QUOTE with one "-", such as ETH-USDT`)
  const [base, quote] = parts as [string, string]
  // A feed is called BASE/USD and its name fits 32 bytes on chain.
  if (!/^[A-Z0-9.]{1,28}$/.test(base) || base === 'USD')
    throw new UserError(field, `"${base}" is no market; use up to 28 letters, digits and ".", such as ETH`)
  if (!QUOTES.includes(quote) || quote === base)
    throw new UserError(field, `quote "${quote}" has no way to USD; use another of ${QUOTES.join(', ')}`)
  // Legs are converted in one direction only, so that no conversion is a circle.
  if (LEGS.includes(base) && QUOTES.indexOf(quote) > QUOTES.indexOf(base))
    throw new UserError(
      field,
      `"${text}" is the wrong way round; write ${quote}-${base} with inverted prices`,
    )
  if (RESERVED.includes(source))
    throw new UserError(
      field.replace(/symbol$/, 'source'),
      `"${source}" is a service, not a venue; write pyth`,
    )
  if (source === 'pyth' && quote !== 'USD')
    throw new UserError(field, `Pyth quotes in USD only; write ${base}-USD`)
  return symbol
}

function readPrice(text: string, field: string): number {
  if (text === '') throw new UserError(field, 'is blank; only open, high, low and volume may be')
  const price = Number(text)
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) || !Number.isFinite(price))
    throw new UserError(field, `"${text}" is not a number; write it like 5301.14`)
  if (price <= 0)
    throw new UserError(field, `${text} must be greater than 0; remove the row or mend the price`)
  return price
}

/** A blank high or low stands for the close, so only what was written is held against the others. */
function checkBar(bar: PriceBar, cell: (column: Column) => string, at: (column: Column) => string): void {
  if (cell('high') !== '' && cell('low') !== '' && bar.high < bar.low)
    throw new UserError(at('high'), `${bar.high} is below the low ${bar.low}; swap or mend them`)
  const given = (['open', 'close'] as const).filter((column) => cell(column) !== '')
  for (const column of given) {
    if (cell('high') !== '' && bar[column] > bar.high)
      throw new UserError(at('high'), `${bar.high} is below the ${column} ${bar[column]}; mend one of them`)
    if (cell('low') !== '' && bar[column] < bar.low)
      throw new UserError(at('low'), `${bar.low} is above the ${column} ${bar[column]}; mend one of them`)
  }
}
