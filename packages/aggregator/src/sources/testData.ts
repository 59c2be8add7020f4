import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { GuardianSet } from './accumulator.js'

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

const NOBODY = '0x0000000000000000000000000000000000000000'

/** Wormhole's guardian sets 3 and 4, by the signatures of all captured updates; the place of whoever signed none stays empty. */
export function mainnetGuardians(): GuardianSet[] {
  const sets = new Map<number, string[]>()
  for (const { guardianSet, recoveredGuardians } of fixture('pyth_hermes_v2_updates.json').updates) {
    const addresses = sets.get(guardianSet) ?? Array<string>(19).fill(NOBODY)
    for (const guardian of recoveredGuardians) {
      const [place, address] = guardian.split(':')
      addresses[Number(place)] = address
    }
    sets.set(guardianSet, addresses)
  }
  return [...sets].map(([index, addresses]) => ({ index, addresses }))
}
