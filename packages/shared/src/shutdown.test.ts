import { EventEmitter } from 'node:events'
import { expect, test } from 'vitest'
import { systemClock } from './clock.js'
import { createLogger } from './logger.js'
import { createShutdown, onSignals } from './shutdown.js'

const logger = createLogger({ name: 'test', level: 'silent' })

test('runs in reverse order, once, past failures and hangs', async () => {
  const order: string[] = []
  const shutdown = createShutdown({ logger, clock: systemClock, timeoutMs: 30 })
  shutdown.add('first', () => order.push('first'))
  shutdown.add('throws', () => {
    order.push('throws')
    throw new Error('no')
  })
  shutdown.add('hangs', () => {
    order.push('hangs')
    return new Promise(() => {})
  })
  shutdown.add('last', async () => order.push('last'))
  const [one, two] = await Promise.all([shutdown.run(), shutdown.run()])
  expect(order).toEqual(['last', 'hangs', 'throws', 'first'])
  expect(one).toEqual(['hangs', 'throws'])
  expect(two).toBe(one)
})

test('what is opened after shutdown began is closed at once', async () => {
  const shutdown = createShutdown({ logger, clock: systemClock })
  await shutdown.run()
  await new Promise<void>((resolve) => shutdown.add('late', resolve))
})

test('signals are counted until listening stops', () => {
  const source = new EventEmitter()
  const seen: [string, number][] = []
  const stop = onSignals(source, (signal, times) => seen.push([signal, times]))
  source.emit('SIGINT', 'SIGINT')
  source.emit('SIGTERM', 'SIGTERM')
  stop()
  source.emit('SIGINT', 'SIGINT')
  expect(seen).toEqual([
    ['SIGINT', 1],
    ['SIGTERM', 2],
  ])
})
