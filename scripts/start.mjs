// `pnpm start`: build, then run the local network in this process's place.
import { spawn } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from './build.mjs'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const status = build()
if (status !== 0) process.exit(status)

const child = spawn(
  process.execPath,
  [join(root, 'packages/cli/dist/main.js'), 'start', ...process.argv.slice(2)],
  {
    stdio: 'inherit',
  },
)
// The terminal sends Ctrl-C to the whole group; a signal sent to this process alone is passed on.
process.on('SIGINT', () => {})
process.on('SIGTERM', () => child.kill('SIGTERM'))
child.on('exit', (code, signal) => process.exit(code ?? (signal === 'SIGINT' ? 130 : 1)))
