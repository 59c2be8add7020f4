import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const repository = join(dirname(fileURLToPath(import.meta.url)), '../../../..')
const fixtures = join(process.env.CLEARSPAN_SHARED ?? join(repository, '../shared'), 'fixtures')

/** Whether recorded payloads are there; on CI their absence is an error. For tests only. */
export function hasFixtures(what: string): boolean {
  if (existsSync(fixtures)) return true
  if (process.env.CI === 'true') throw new Error(`no fixtures at ${fixtures}: set CLEARSPAN_SHARED`)
  console.warn(`skipped: ${what}, because ${fixtures} is absent (set CLEARSPAN_SHARED)`)
  return false
}

export function fixture(name: string) {
  return JSON.parse(readFileSync(join(fixtures, name), 'utf8'))
}

export function frames(list: { raw: string }[]): string[] {
  return list.map(({ raw }) => raw)
}
