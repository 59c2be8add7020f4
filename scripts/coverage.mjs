// `pnpm coverage [--json]`: lines and branches of margin's twin that its tests reach. For people: no test asks for a number. vitest says what it
// does on stderr; stdout has the table, or JSON.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { run } from './children.mjs'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const directory = join(root, 'coverage')
const stdio = ['ignore', 2, 2]
const MARGIN = 'packages/shared/src/margin'
/** What needs no chain; on one the twin is compared with the contracts. */
const TWIN_TESTS = [MARGIN, 'packages/aggregator/src/derived/black76Twin.test.ts']

function readArguments() {
  try {
    const args = process.argv.slice(2).filter((arg) => arg !== '--')
    return parseArgs({ args, options: { json: { type: 'boolean' } } }).values
  } catch (error) {
    process.stderr.write(`error: ${error.message.split('.')[0]} (usage: coverage [--json])\n`)
    process.exit(2)
  }
}

async function twin() {
  const vitest = join(dirname(createRequire(import.meta.url).resolve('vitest/package.json')), 'vitest.mjs')
  const coverage = [
    'enabled',
    'provider=v8',
    'reporter=lcovonly',
    `reportsDirectory=${directory}`,
    `include=${MARGIN}/*.ts`,
    `exclude=${MARGIN}/*.test*.ts`,
  ].map((option) => `--coverage.${option}`)
  const { status } = await run(process.execPath, [vitest, 'run', ...TWIN_TESTS, ...coverage], {
    cwd: root,
    stdio,
  })
  return status === 0 ? summary('lcov.info') : process.exit(status)
}

/** Of an lcov file. */
function summary(name) {
  const records = readFileSync(join(directory, name), 'utf8').split('end_of_record').slice(0, -1)
  return records.map((record) => {
    const field = (key) => new RegExp(`^${key}:(.*)$`, 'm').exec(record)?.[1] ?? '0'
    const count = (key) => ({ hit: Number(field(`${key}H`)), of: Number(field(`${key}F`)) })
    return { file: field('SF'), lines: count('L'), branches: count('BR') }
  })
}

function total(rows) {
  const sum = (key) => ({
    hit: rows.reduce((all, row) => all + row[key].hit, 0),
    of: rows.reduce((all, row) => all + row[key].of, 0),
  })
  return { file: 'all', lines: sum('lines'), branches: sum('branches') }
}

function table(rows) {
  const width = Math.max(...rows.map(({ file }) => file.length))
  const share = ({ hit, of }) =>
    `${(of === 0 ? 100 : (100 * hit) / of).toFixed(1)} % (${hit}/${of})`.padStart(20)
  const header = `${'File'.padEnd(width)}${'Lines'.padStart(20)}${'Branches'.padStart(20)}`
  return [
    header,
    ...rows.map(({ file, lines, branches }) => file.padEnd(width) + share(lines) + share(branches)),
  ]
}

const { json } = readArguments()
const files = await twin()
const rows = [...files, total(files)]
process.stdout.write(json ? `${JSON.stringify(rows, null, 2)}\n` : `${table(rows).join('\n')}\n`)
