// The command line as one file: each of a network's processes would otherwise read a thousand modules, a second of a core, to begin.
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const cli = join(dirname(fileURLToPath(import.meta.url)), '../packages/cli')

/** Writes `packages/cli/dist/main.js` from the sources of all packages. Says what is wrong on stderr; resolves with a status, as a program would. */
export function bundle() {
  const done = build({
    absWorkingDir: cli,
    entryPoints: ['src/main.ts'],
    outfile: 'dist/main.js',
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    conditions: ['@clearspan/source'],
    mainFields: ['module', 'main'],
    // It reads files that lie beside it.
    external: ['@electric-sql/pglite'],
    // CommonJS within asks for Node's own modules.
    banner: {
      js: "import { createRequire as requireOf } from 'node:module'\nconst require = requireOf(import.meta.url)",
    },
    sourcemap: true,
    sourcesContent: false,
    logLevel: 'warning',
  })
  return done.then(
    () => ({ status: 0 }),
    () => ({ status: 1 }),
  )
}
