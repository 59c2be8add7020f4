import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../../../', import.meta.url))

/** Where recorded test data lies, outside the repository; undefined when absent, which is an error on CI. For tests only. */
export function sharedDirectory(name: string): string | undefined {
  const directory = join(process.env.CLEARSPAN_SHARED ?? join(root, '../shared'), name)
  if (existsSync(directory) && readdirSync(directory).length > 0) return directory
  if (process.env.CI === 'true') throw new Error(`${directory} is absent or empty: set CLEARSPAN_SHARED`)
  console.warn(`skipped: ${directory} is absent or empty (set CLEARSPAN_SHARED)`)
  return undefined
}
