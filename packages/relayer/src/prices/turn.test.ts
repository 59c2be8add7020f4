import type { Clock } from '@clearspan/shared'
import { expect, it } from 'vitest'
import { createReportTurn } from './turn.js'

/** A clock whose sleeps end when told, or by their signal. */
function clockByHand() {
  const sleeping = new Set<() => void>()
  const clock: Clock = {
    now: () => 0,
    sleep: (_, signal) =>
      new Promise((resolve, reject) => {
        sleeping.add(resolve)
        signal?.addEventListener('abort', () => {
          sleeping.delete(resolve)
          reject(signal.reason)
        })
      }),
  }
  const passes = () => {
    for (const wake of sleeping) wake()
  }
  return { clock, sleeping, passes }
}

it('leaves a report to the liquidation that carries it, and every other to the price lane', async () => {
  const { clock } = clockByHand()
  const turn = createReportTurn(clock, 2_000)
  const asked = turn.carried(7n)
  turn.decide(6n, true)
  turn.decide(7n, true)
  expect(await asked).toBe(true)
  turn.decide(8n, false)
  expect(await turn.carried(8n)).toBe(false)
})

it('takes the word on a later slot for those before it', async () => {
  const { clock } = clockByHand()
  const turn = createReportTurn(clock, 2_000)
  const asked = turn.carried(7n)
  turn.decide(9n, true)
  expect(await asked).toBe(true)
  turn.decide(8n, false)
  expect(await turn.carried(9n)).toBe(true)
})

it('does not wait for a keeper that says nothing, and leaves no timer', async () => {
  const { clock, sleeping, passes } = clockByHand()
  const turn = createReportTurn(clock, 2_000)
  const asked = turn.carried(7n)
  passes()
  expect(await asked).toBe(false)
  const other = turn.carried(7n)
  expect(sleeping.size).toBe(2)
  turn.decide(7n, false)
  expect(await other).toBe(false)
  expect(sleeping.size).toBe(1)
})

it('is the price lane’s turn again when the liquidation failed', async () => {
  const { clock } = clockByHand()
  const turn = createReportTurn(clock, 2_000)
  turn.decide(7n, true)
  expect(await turn.carried(7n)).toBe(true)
  turn.decide(7n, false)
  expect(await turn.carried(7n)).toBe(false)
})

it('nobody waits for a keeper that waits for its transaction', async () => {
  const { clock, sleeping } = clockByHand()
  const turn = createReportTurn(clock, 2_000)
  turn.decide(7n, true)
  const asked = turn.carried(8n)
  turn.setAway(true)
  expect(await asked).toBe(false)
  expect(await turn.carried(9n)).toBe(false)
  expect(await turn.carried(7n)).toBe(true)
  turn.setAway(false)
  const later = turn.carried(10n)
  turn.decide(10n, true)
  expect(await later).toBe(true)
  expect(sleeping.size).toBe(0)
})
