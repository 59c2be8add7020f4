// Runs forge from its npm platform package, in packages/contracts. The package's own launcher is one process more.
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { run } from './children.mjs'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')

/** Path of the forge binary for this platform. */
function forgeBinary() {
  const require = createRequire(join(root, 'package.json'))
  const launcher = createRequire(require.resolve('@foundry-rs/forge/package.json'))
  const name = `@foundry-rs/forge-${process.platform}-${process.arch === 'x64' ? 'amd64' : process.arch}`
  try {
    return join(
      dirname(launcher.resolve(`${name}/package.json`)),
      'bin',
      process.platform === 'win32' ? 'forge.exe' : 'forge',
    )
  } catch {
    process.stderr.write(
      `error: ${name} is not installed: run \`npx -y pnpm@12 install\` (optional packages must not be switched off)\n`,
    )
    process.exit(1)
  }
}

/** Runs forge to its end, as `run` does. */
export function forge(args, options = {}) {
  return run(forgeBinary(), args, {
    ...options,
    cwd: join(root, 'packages/contracts'),
    env: { ...process.env, FOUNDRY_DISABLE_NIGHTLY_WARNING: '1', ...options.env },
  })
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { status } = await forge(process.argv.slice(2))
  process.exitCode = status
}
