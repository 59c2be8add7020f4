// `pnpm coverage [--contracts] [--json]`: lines and branches of margin's twin that its tests reach, and with `--contracts` of the contracts of
// margin, hub and libraries, which takes minutes. For people: no test asks for a number. vitest and forge say what they do on stderr; stdout has
// the table, or JSON.
import { mkdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { run } from './children.mjs'
import { forge } from './forge.mjs'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const directory = join(root, 'coverage')
const stdio = ['ignore', 2, 2]
const MARGIN = 'packages/shared/src/margin'
/** What needs no chain; on one the twin is compared with the contracts. */
const TWIN_TESTS = [MARGIN, 'packages/aggregator/src/derived/black76Twin.test.ts']
const CONTRACTS = /^src\/(hub|libraries|margin)\//
/** Gas and code size hold of optimised code only, and invariants take long. */
const NOT_COVERED = '^invariant_|_gas|CodeSizeLimit'

function readArguments() {
  try {
    const args = process.argv.slice(2).filter((arg) => arg !== '--')
    return parseArgs({ args, options: { contracts: { type: 'boolean' }, json: { type: 'boolean' } } }).values
  } catch (error) {
    process.stderr.write(`error: ${error.message.split('.')[0]} (usage: coverage [--contracts] [--json])\n`)
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

/** forge compiles all of them anew, without the optimizer, and keeps nothing. */
async function contracts() {
  mkdirSync(directory, { recursive: true })
  const report = ['--report', 'lcov', '--report-file', join(directory, 'contracts.info'), '--exclude-tests']
  const tests = ['--match-path', 'test/{hub,margin}/**', '--no-match-test', NOT_COVERED]
  const env = { FOUNDRY_GAS_SNAPSHOT_EMIT: 'false' }
  const { status } = await forge(['coverage', ...report, ...tests], { stdio, env })
  if (status !== 0) process.exit(status)
  return summary('contracts.info').filter(({ file }) => CONTRACTS.test(file))
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

function total(name, rows) {
  const sum = (key) => ({
    hit: rows.reduce((all, row) => all + row[key].hit, 0),
    of: rows.reduce((all, row) => all + row[key].of, 0),
  })
  return { file: name, lines: sum('lines'), branches: sum('branches') }
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

const options = readArguments()
const parts = { twin: await twin(), ...(options.contracts && { contracts: await contracts() }) }
const rows = Object.entries(parts).flatMap(([name, files]) => [...files, total(`all of ${name}`, files)])
process.stdout.write(options.json ? `${JSON.stringify(rows, null, 2)}\n` : `${table(rows).join('\n')}\n`)
