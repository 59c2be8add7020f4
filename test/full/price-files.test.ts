import { existsSync, readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { playedStory, temporaryDirectory } from '../clearspan.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const data = join(resolve(process.env.CLEARSPAN_SHARED || join(root, '../shared')), 'data')
const files = existsSync(data) ? readdirSync(data).filter((name) => name.endsWith('.csv')) : []
if (files.length === 0) {
  if (process.env.CI === 'true') throw new Error(`${data} is missing: set CLEARSPAN_SHARED`)
  console.warn(`SKIP: recorded crashes: ${data} is absent (CLEARSPAN_SHARED sets its place)`)
}

/** The worst day in a minute and a half, and a bound for a busy machine. */
const SPEED = '960'
const TIMEOUT_MS = 900_000

describe.skipIf(files.length === 0)('every recorded crash, from deposit to report', () => {
  let dir: Awaited<ReturnType<typeof temporaryDirectory>>
  beforeEach(async () => {
    dir = await temporaryDirectory()
  })
  afterEach(() => dir.remove())

  test.each(files.length === 0 ? ['none'] : files)(
    '%s',
    async (file) => {
      const { code, report } = await playedStory(dir.path, ['--prices', join(data, file), '--speed', SPEED])
      expect(report.checks.filter(({ holds }) => !holds)).toEqual([])
      expect(code).toBe(0)
    },
    TIMEOUT_MS,
  )
})
