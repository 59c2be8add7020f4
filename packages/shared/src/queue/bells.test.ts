import { expect, test } from 'vitest'
import { createBells } from './bells.js'

/** A queue that answers when the test says so. */
function slowQueue() {
  const asked: { key: string; data: Record<string, string>; answer: (error?: Error) => void }[] = []
  const ask = (key: string, data: Record<string, string>) =>
    new Promise<void>((resolve, reject) => {
      asked.push({ key, data, answer: (error) => (error ? reject(error) : resolve()) })
    })
  const answer = async (index: number, error?: Error) => {
    asked[index]!.answer(error)
    await new Promise((resolve) => setImmediate(resolve))
  }
  return { asked, ask, answer, times: () => asked.map(({ key, data }) => `${key} ${data.upTo}`) }
}

test('rings during a request share one more, with the last data; other keys wait for nothing', async () => {
  const { ask, answer, times } = slowQueue()
  const bells = createBells(ask, { seesAll: false })
  const rings = ['1', '2', '3', '4'].map((upTo) => bells.ring('path', { upTo }))
  void bells.ring('other', { upTo: '1' })
  expect(times()).toEqual(['path 1', 'other 1'])
  await answer(0)
  expect(times()).toEqual(['path 1', 'other 1', 'path 4'])
  let resolved = 0
  for (const ring of rings) void ring.then(() => resolved++)
  await answer(1)
  expect(resolved).toBe(1)
  await answer(2)
  expect(resolved).toBe(4)
  expect(times()).toHaveLength(3)
})

test('work that waits is not asked for again before it starts, unless its data is new', async () => {
  const { ask, answer, times } = slowQueue()
  const bells = createBells(ask, { seesAll: true })
  void bells.ring('path', { upTo: '1' })
  await answer(0)
  await bells.ring('path', { upTo: '1' })
  expect(times()).toEqual(['path 1'])
  void bells.ring('path', { upTo: '2' })
  await answer(1)
  expect(times()).toEqual(['path 1', 'path 2'])
  bells.started('path')
  void bells.ring('path', { upTo: '2' })
  expect(times()).toEqual(['path 1', 'path 2', 'path 2'])
})

test('a start while a request is under way may have missed what is rung after it', async () => {
  const { ask, answer, times } = slowQueue()
  const bells = createBells(ask, { seesAll: true })
  void bells.ring('path', { upTo: '1' })
  bells.started('path')
  await answer(0)
  void bells.ring('path', { upTo: '1' })
  expect(times()).toEqual(['path 1', 'path 1'])
})

test('where another process may take the work, every ring is asked for', async () => {
  const { ask, answer, times } = slowQueue()
  const bells = createBells(ask, { seesAll: false })
  void bells.ring('path', { upTo: '1' })
  await answer(0)
  void bells.ring('path', { upTo: '1' })
  expect(times()).toHaveLength(2)
})

test('a failed request is told to those that it was for, and the next is asked all the same', async () => {
  const { ask, answer, times } = slowQueue()
  const bells = createBells(ask, { seesAll: true })
  const first = bells.ring('path', { upTo: '1' }).catch((error: Error) => error.message)
  const second = bells.ring('path', { upTo: '1' })
  await answer(0, new Error('no queue'))
  expect(await first).toBe('no queue')
  expect(times()).toHaveLength(2)
  await answer(1)
  await second
})
