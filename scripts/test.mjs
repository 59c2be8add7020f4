// `pnpm test`: build, contract tests, TypeScript tests. `--full` adds long fuzz runs and soaks.
// What the machine lacks (Redis, Chromium, the shared data) is skipped, printed and counted; under CI=true its absence fails.
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from './build.mjs'
import { forge } from './forge.mjs'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const require = createRequire(join(root, 'package.json'))
const args = process.argv.slice(2)
const full = args.includes('--full')

function step(name, run) {
  process.stderr.write(`\n=== ${name}\n`)
  const started = Date.now()
  const status = run()
  process.stderr.write(
    `=== ${name}: ${status === 0 ? 'ok' : `failed (${status})`} in ${((Date.now() - started) / 1000).toFixed(0)} s\n`,
  )
  if (status !== 0) process.exit(status)
}

step('build', () => build())
step('contracts', () => forge(['test'], { env: full ? { FOUNDRY_PROFILE: 'full' } : {} }))
step('packages', () => {
  const vitest = join(dirname(require.resolve('vitest/package.json')), 'vitest.mjs')
  const { status } = spawnSync(process.execPath, [vitest, 'run', ...args.filter((a) => a !== '--full')], {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, CLEARSPAN_TEST_FULL: full ? '1' : '' },
  })
  return status ?? 1
})
