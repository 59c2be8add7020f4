// Builds everything: contracts, their typed ABIs, then every TypeScript package.
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { writeAbis } from './abi.mjs'
import { forge } from './forge.mjs'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const require = createRequire(join(root, 'package.json'))

/** Builds; returns an exit status. Says what it does on stderr, so that stdout stays the caller's. */
export function build({ quiet = false } = {}) {
  const say = (line) => quiet || process.stderr.write(`${line}\n`)
  const started = Date.now()
  say('build: contracts')
  const contracts = forge(['build', '--skip', 'test', '--skip', 'script', '--quiet'], {
    stdio: ['ignore', 2, 2],
  })
  if (contracts !== 0) return contracts
  writeAbis()
  say('build: packages')
  const tsc = join(dirname(require.resolve('typescript/package.json')), 'bin/tsc')
  const { status } = spawnSync(process.execPath, [tsc, '-b', root], { stdio: ['ignore', 2, 2] })
  if (status === 0) say(`build: done in ${((Date.now() - started) / 1000).toFixed(1)} s`)
  return status ?? 1
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exit(build())
