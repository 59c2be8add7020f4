import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { UserError } from '@clearspan/shared'

/**
 * Path of the anvil binary in the package for this platform. Not the package's `bin`, which is a Node wrapper: one
 * would end the wrapper, and anvil would live on.
 *
 * Throws UserError when the package is not installed or there is none for this platform.
 */
export function anvilBinary(platform: string = process.platform, arch: string = process.arch): string {
  const packageName = `@foundry-rs/anvil-${platform}-${arch === 'x64' ? 'amd64' : arch}`.replace(
    'win32-arm64',
    'win32-amd64',
  )
  const missing = new UserError(
    'anvil',
    `${packageName} is not installed; run \`npx -y pnpm@12 install\` with optional dependencies`,
  )
  try {
    // It is an optional dependency of @foundry-rs/anvil, so only that package can resolve it.
    const anvil = createRequire(import.meta.url).resolve('@foundry-rs/anvil/package.json')
    const root = dirname(createRequire(anvil).resolve(`${packageName}/package.json`))
    const binary = join(root, 'bin', platform === 'win32' ? 'anvil.exe' : 'anvil')
    if (existsSync(binary)) return binary
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') throw error
  }
  throw missing
}
