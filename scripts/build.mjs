// Builds everything: contracts, their typed ABIs, then every TypeScript package and, of their sources, the command line.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { writeAbis } from './abi.mjs'
import { run } from './children.mjs'
import { forge } from './forge.mjs'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const require = createRequire(join(root, 'package.json'))

/** A step that takes less is not worth a line. */
const WORTH_SAYING_MS = 1_000

/** The path of tsc. Ends the process with one line where Node is too old or nothing is installed. */
export function requireTools() {
  const { engines } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const wanted = engines.node.replace('>=', '')
  if (wanted.localeCompare(process.versions.node, undefined, { numeric: true }) > 0)
    fail(`Node ${process.versions.node} is too old: Clearspan needs ${wanted} or newer`)
  try {
    require.resolve('esbuild')
    return join(dirname(require.resolve('typescript/package.json')), 'bin/tsc')
  } catch {
    return fail('the dependencies are not installed: run `npx -y pnpm@12 install`')
  }
}

/** Builds; resolves with an exit status. Speaks on stderr, so that stdout stays the caller's, and only when it takes time. */
export async function build() {
  const tsc = requireTools()
  const started = Date.now()
  let spoke = false
  const step = async (name, work) => {
    const timer = setTimeout(() => {
      process.stderr.write(`build: ${name}\n`)
      spoke = true
    }, WORTH_SAYING_MS)
    const { status } = await work
    clearTimeout(timer)
    if (status !== 0) process.stderr.write(`build: ${name}: failed\n`)
    return status
  }
  const stdio = ['ignore', 2, 2]
  const contracts = await step(
    'contracts',
    forge(['build', '--skip', 'test', '--skip', 'script', '--quiet'], { stdio }),
  )
  if (contracts !== 0) return contracts
  writeAbis()
  // Only now, so that a compiler that is missing is said before it.
  const { bundle } = await import('./bundle.mjs')
  const { writeDatabase } = await import('./database.mjs')
  const statuses = await Promise.all([
    step('packages', run(process.execPath, [tsc, '-b', root], { stdio })),
    step('command line', bundle()),
    step(
      'empty database',
      writeDatabase().then(() => ({ status: 0 })),
    ),
  ])
  const status = Math.max(...statuses)
  if (status === 0 && spoke) {
    process.stderr.write(`build: done in ${((Date.now() - started) / 1000).toFixed(1)} s\n`)
  }
  return status
}

function fail(line) {
  process.stderr.write(`error: ${line}\n`)
  process.exit(1)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = await build()
