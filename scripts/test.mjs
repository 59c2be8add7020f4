// `pnpm test [--full] [FILTER...]`: build, type-check of tests, contract tests, TypeScript tests, and one closing count.
// `--full` adds long fuzz runs and soaks. A filter names test files of TypeScript, and leaves the contracts out.
// What the machine lacks is printed and its tests are counted as skipped; under CI=true its absence fails.
import { randomBytes } from 'node:crypto'
import { accessSync, constants, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build, requireTools } from './build.mjs'
import { run } from './children.mjs'
import { forge } from './forge.mjs'

const SLOWEST_SHOWN = 5

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const args = process.argv.slice(2).filter((arg) => arg !== '--')
const full = args.includes('--full')
const filters = args.filter((arg) => arg !== '--full')
const shared = resolve(process.env.CLEARSPAN_SHARED || join(root, '../shared'))
const total = { passed: 0, failed: 0, skipped: 0 }
const say = (line) => process.stdout.write(`${line}\n`)

/** What some tests need and a machine may lack, with the way to get it. */
const needs = [
  {
    missing: !onPath('redis-server'),
    line: 'redis-server is not installed, so the queue is not tested on Redis',
  },
  {
    missing: !hasFiles(join(shared, 'data'), '.csv') || !hasFiles(join(shared, 'fixtures'), '.json'),
    line: `${shared} has no recorded prices and frames (CLEARSPAN_SHARED sets its place), so nothing is tested against them`,
  },
].filter(({ missing }) => missing)

function hasFiles(directory, ending) {
  return existsSync(directory) && readdirSync(directory).some((name) => name.endsWith(ending))
}

function onPath(program) {
  return (process.env.PATH ?? '').split(delimiter).some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

/** Runs one step, adds its counts to the total, and tells whether it held. A failure that no test stands for counts as one. */
async function step(name, work) {
  say(`\n=== ${name}`)
  const started = Date.now()
  const { status, passed = 0, failed = 0, skipped = 0 } = await work()
  total.passed += passed
  total.failed += failed === 0 && status !== 0 ? 1 : failed
  total.skipped += skipped
  const holds = status === 0 && failed === 0
  say(`=== ${name}: ${holds ? 'ok' : 'failed'} in ${((Date.now() - started) / 1000).toFixed(0)} s`)
  return holds
}

function close() {
  const nothing = total.passed + total.failed === 0
  if (nothing) say('\nno test ran')
  say(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`)
  process.exit(nothing || total.failed > 0 ? 1 : 0)
}

async function contractTests() {
  const seed = `0x${randomBytes(8).toString('hex')}`
  const env = full ? { FOUNDRY_PROFILE: 'full', FOUNDRY_FUZZ_SEED: seed } : {}
  if (full) say(`FOUNDRY_FUZZ_SEED=${seed}`)
  const { status, stdout } = await forge(['test', '--json'], { env, stdio: ['ignore', 'pipe', 2] })
  const counts = { status, passed: 0, failed: 0, skipped: 0 }
  const failed = []
  let suites
  try {
    suites = JSON.parse(stdout)
  } catch {
    say(stdout)
    return { ...counts, status: status || 1 }
  }
  for (const [suite, { test_results }] of Object.entries(suites)) {
    const results = Object.entries(test_results)
    const of = (wanted) => results.filter(([, { status }]) => status === wanted)
    counts.passed += of('Success').length
    counts.failed += of('Failure').length
    counts.skipped += of('Skipped').length
    say(`${of('Failure').length > 0 ? ' ✗' : ' ✓'} ${suite} (${results.length} tests)`)
    for (const [test, { reason }] of of('Skipped')) say(`   skipped: ${test}: ${reason ?? 'no reason given'}`)
    for (const [test, { reason }] of of('Failure')) {
      say(`   failed: ${test}: ${reason ?? ''}`)
      failed.push(test.slice(0, test.indexOf('(')))
    }
  }
  // Once more for the reader: the traces of what failed.
  if (failed.length > 0) await forge(['test', '--match-test', `^(${failed.join('|')})\\(`, '-vvv'], { env })
  return counts
}

async function packageTests() {
  const directory = mkdtempSync(join(tmpdir(), 'clearspan-test-'))
  const file = join(directory, 'vitest.json')
  try {
    const vitest = join(dirname(createRequire(import.meta.url).resolve('vitest/package.json')), 'vitest.mjs')
    const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${file}`]
    const { status } = await run(process.execPath, [vitest, 'run', ...reporters, ...filters], {
      cwd: root,
      env: { ...process.env, CLEARSPAN_SHARED: shared, ...(full && { CLEARSPAN_TEST_FULL: '1' }) },
    })
    return existsSync(file)
      ? { status, ...tally(JSON.parse(readFileSync(file, 'utf8'))) }
      : { status: status || 1 }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

/** Counts of a vitest report. A file that failed outside its tests, by its imports say, counts as one failure. */
function tally({ testResults, numPassedTests, numFailedTests, numPendingTests, numTodoTests }) {
  const broken = testResults.filter(
    ({ status, assertionResults }) =>
      status === 'failed' && !assertionResults.some((result) => result.status === 'failed'),
  )
  const seconds = ({ startTime, endTime }) => (endTime - startTime) / 1000
  const slowest = testResults.sort((a, b) => seconds(b) - seconds(a)).slice(0, SLOWEST_SHOWN)
  say('slowest files:')
  for (const result of slowest)
    say(`  ${seconds(result).toFixed(1).padStart(6)} s  ${relative(root, result.name)}`)
  return {
    passed: numPassedTests,
    failed: numFailedTests + broken.length,
    skipped: numPendingTests + numTodoTests,
  }
}

const tsc = requireTools()
for (const { line } of needs) say(`${process.env.CI === 'true' ? 'failed' : 'skipped'}: ${line}`)
if (process.env.CI === 'true' && needs.length > 0) {
  total.failed += needs.length
  close()
}
if (!(await step('build', async () => ({ status: await build() })))) close()
await step('types of the tests', () => run(process.execPath, [tsc, '-p', join(root, 'tsconfig.tests.json')]))
// Together: the tests of packages mostly wait, for blocks and slots, and leave a core to the contracts.
await Promise.all([
  ...(filters.length === 0 ? [step('contracts', contractTests)] : []),
  step('packages', packageTests),
])
for (const { line } of needs) say(`skipped: ${line}`)
close()
