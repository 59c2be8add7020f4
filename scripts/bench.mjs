// `pnpm bench SUITE [--json]`: builds, then runs bench/SUITE.ts against the built packages.
// What a suite is says bench/README.md.
import { readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { build } from './build.mjs'

const directory = join(dirname(fileURLToPath(import.meta.url)), '../bench')
const BAD_INPUT = 2

const say = (line) => process.stderr.write(`${line}\n`)

function fail(line) {
  say(`error: ${line}`)
  process.exit(BAD_INPUT)
}

function readArguments() {
  try {
    const args = process.argv.slice(2).filter((arg) => arg !== '--')
    return parseArgs({ args, options: { json: { type: 'boolean' } }, allowPositionals: true })
  } catch (error) {
    return fail(`${error.message.split('.')[0]} (usage: bench SUITE [--json])`)
  }
}

/** A measurement with its ratio; throws where a suite returned something else. */
function measured({ name, value, unit, baseline, baselineIs }) {
  const given = { name, value, unit, baseline, baselineIs }
  const good =
    typeof name === 'string' &&
    typeof unit === 'string' &&
    Number.isFinite(value) &&
    (baseline === null
      ? baselineIs === null
      : Number.isFinite(baseline) && baseline !== 0 && typeof baselineIs === 'string')
  if (!good) throw new Error(`not a measurement: ${JSON.stringify(given)}`)
  return { ...given, ratio: baseline === null ? null : value / baseline }
}

const { values, positionals } = readArguments()
const suites = readdirSync(directory, { withFileTypes: true })
  .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
  .map((entry) => entry.name.slice(0, -3))
  .sort()
const known = suites.length > 0 ? `suites: ${suites.join(', ')}` : 'there is no suite yet'
if (positionals.length !== 1) fail(`bench takes one suite; ${known}`)
const [suite] = positionals
if (!suites.includes(suite)) fail(`no benchmark suite '${suite}'; ${known}`)

const status = await build()
if (status !== 0) process.exit(status)
const { tsImport } = await import('tsx/esm/api')
const { default: measure } = await tsImport(
  pathToFileURL(join(directory, `${suite}.ts`)).href,
  import.meta.url,
)
const results = (await measure(say)).map(measured)
if (values.json) process.stdout.write(`${JSON.stringify(results, null, 2)}\n`)
else console.table(results)
