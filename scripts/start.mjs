// `pnpm start`: builds what has changed, then becomes `clearspan start`, so that its signals and exit status are ours.
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from './build.mjs'

const main = join(dirname(fileURLToPath(import.meta.url)), '../packages/cli/dist/main.js')

const status = await build()
if (status !== 0) process.exit(status)
const args = process.argv.slice(2)
process.argv = [process.execPath, main, 'start', ...(args[0] === '--' ? args.slice(1) : args)]
await import(pathToFileURL(main).href)
