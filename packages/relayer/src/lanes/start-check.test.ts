import { createLogger, RetryableError, UserError } from '@clearspan/shared'
import { expect, it } from 'vitest'
import { createStartCheck } from './start-check.js'

const log = createLogger({ name: 'test', level: 'silent' })
const down = new RetryableError('down')
const wrong = new UserError('rpcUrls.1', 'is of another chain')

/** A check that ends in these ways, one after another; undefined: it holds. */
function checking(...ends: (Error | undefined)[]) {
  let asked = 0
  const check = async () => {
    const error = ends[asked++]
    if (error !== undefined) throw error
  }
  return { opened: () => createStartCheck('hub', check, log), asked: () => asked }
}

it('what does not hold at once is refused, what holds is asked once', async () => {
  await expect(checking(wrong).opened()).rejects.toThrow(UserError)
  const { opened, asked } = checking(undefined)
  const check = await opened()
  expect([await check.holds(), await check.holds(), check.problem(), asked()]).toEqual([
    true,
    true,
    undefined,
    1,
  ])
})

it('an outage refuses nobody: it is asked again until the chain tells, and nothing is done before', async () => {
  const { opened, asked } = checking(down, down, undefined)
  const check = await opened()
  expect(check.problem()).toMatch(/^hub: its nodes don't answer/)
  await expect(check.holds()).rejects.toThrow(RetryableError)
  expect([await check.holds(), check.problem()]).toEqual([true, undefined])
  await check.holds()
  expect(asked()).toBe(3)
})

it('what comes to light after an outage stops the work, and says why', async () => {
  const { opened, asked } = checking(down, wrong)
  const check = await opened()
  expect([await check.holds(), await check.holds()]).toEqual([false, false])
  expect([check.problem(), asked()]).toEqual([wrong.message, 2])
})
