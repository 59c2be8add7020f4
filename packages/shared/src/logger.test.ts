import { closeSync, openSync } from 'node:fs'
import { expect, test } from 'vitest'
import { createLogger, lineStream } from './logger.js'

const SECRET = `0x${'ab'.repeat(32)}`

function capture() {
  const lines: string[] = []
  return { lines, destination: { write: (line: string) => void lines.push(line) } }
}

test('secrets never reach the line: fields, nested, arrays, child bindings, errors, URLs', () => {
  const { lines, destination } = capture()
  const logger = createLogger({ name: 'node', level: 'info', destination })
  logger.info({ privateKey: SECRET, deep: { a: { mnemonic: SECRET } }, signerKeys: [SECRET, SECRET] }, 'x')
  logger.child({ api_key: SECRET }).warn('y')
  logger.error({ err: Object.assign(new Error('z'), { signingKey: SECRET }) })
  logger.info({ redis: 'redis://user:hunter2@host:6379/0' })
  logger.info({ weird: { password: 'quo"te' } })
  expect(lines).toHaveLength(5)
  const text = lines.join('')
  expect(text).not.toContain('abab')
  expect(text).not.toContain('hunter2')
  expect(text).not.toContain('te"}')
  for (const line of lines) expect(JSON.parse(line)).toMatchObject({ name: 'node' })
})

test('what is not secret stays: hashes, bigints, names', () => {
  const { lines, destination } = capture()
  createLogger({ name: 'n', level: 'debug', destination }).debug({
    hash: SECRET,
    nonce: 7n,
    url: 'http://h:1/p',
  })
  expect(JSON.parse(lines[0]!)).toMatchObject({ hash: SECRET, nonce: 7, url: 'http://h:1/p' })
})

test('pretty lines are redacted too, and the level holds', () => {
  const { lines, destination } = capture()
  const logger = createLogger({ name: 'n', level: 'warn', pretty: true, destination })
  logger.info('silent')
  logger.warn({ secret: SECRET }, 'loud')
  expect(lines.join('')).toContain('loud')
  expect(lines.join('')).not.toContain('abab')
  expect(lines.join('')).not.toContain('silent')
})

test.skipIf(process.platform !== 'linux')(
  'a full disk behind standard error loses lines and nothing else',
  () => {
    const fd = openSync('/dev/full', 'w')
    const logger = createLogger({ name: 'n', level: 'info', destination: lineStream(fd) })
    logger.info('lost')
    logger.info('lost too')
    closeSync(fd)
  },
)
