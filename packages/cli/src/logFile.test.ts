import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { destination } from './logFile.js'

let dir = ''
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'clearspan-log-'))
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

it('writes every line, from the first on', () => {
  const path = join(dir, 'logs', 'a.log')
  const log = destination(path, () => {})
  log.write('one\n')
  log.write('two\n')
  expect(readFileSync(path, 'utf8')).toBe('one\ntwo\n')
})

it('a place that takes no file loses lines, says so once, and writes again when it does', () => {
  const blocked = join(dir, 'blocked')
  writeFileSync(blocked, '')
  const complaints: string[] = []
  const log = destination(join(blocked, 'a.log'), (line) => complaints.push(line))
  log.write('lost\n')
  log.write('lost too\n')
  expect(complaints).toHaveLength(1)
  expect(complaints[0]).toContain('a.log')
  rmSync(blocked)
  log.write('kept\n')
  expect(readFileSync(join(blocked, 'a.log'), 'utf8')).toBe('kept\n')
})

it.skipIf(process.platform !== 'linux')('a full disk loses lines and nothing else', () => {
  const complaints: string[] = []
  const log = destination('/dev/full', (line) => complaints.push(line))
  log.write('lost\n')
  log.write('lost too\n')
  expect(complaints).toHaveLength(1)
})
