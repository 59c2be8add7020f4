import { expect, test } from 'vitest'
import { createLogger } from '../logger.js'
import { openPglitePool } from './pglite-pool.js'

test('the log is cut off at intervals of the clock that is given, until the end', async () => {
  const sleeps: (() => void)[] = []
  let slept = () => {}
  const clock = {
    now: () => 0,
    sleep: (_ms: number, signal?: AbortSignal) =>
      new Promise<void>((resolve, reject) => {
        sleeps.push(resolve)
        signal?.addEventListener('abort', reject)
        slept()
      }),
  }
  const pool = await openPglitePool({
    stalledAttempts: 5,
    clock,
    logger: createLogger({ name: 'test', level: 'silent' }),
  })
  const checkpoint = async () =>
    (await pool.query<{ redo_lsn: string }>('SELECT redo_lsn FROM pg_control_checkpoint()')).rows[0]?.redo_lsn
  await pool.query('CREATE TABLE written (n integer)')
  const before = await checkpoint()
  const again = new Promise<void>((resolve) => {
    slept = resolve
  })
  sleeps[0]?.()
  await again
  expect(await checkpoint()).not.toBe(before)
  await pool.end()
})
