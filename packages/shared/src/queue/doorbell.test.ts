import { expect, test } from 'vitest'
import { type Random, seededRandom } from '../random.js'
import type { BackendQueue } from './backend.js'
import { ringDoorbell } from './doorbell.js'

/** A queue whose deduplicating job is in the given states, one per look; it records what is asked of it. */
function scripted(states: string[], random: Random = seededRandom(1)) {
  const calls: string[] = []
  const ids: (string | undefined)[] = []
  const queue: Pick<BackendQueue, 'add'> = {
    add: async (_key, data, options) => {
      calls.push(`add ${data.upTo}`)
      ids.push(options?.jobId)
      const state = states.shift()
      const id = state === undefined ? options?.jobId : 'existing'
      return {
        id,
        updateData: async (next: { upTo: string }) => {
          calls.push(`update ${next.upTo}`)
          if (state === 'gone') throw Object.assign(new Error('missing'), { code: -1 })
        },
        getState: async () => state,
      } as unknown as Awaited<ReturnType<BackendQueue['add']>>
    },
  }
  return { calls, ids, ring: () => ringDoorbell(queue, 'path', { upTo: '2' }, random) }
}

test.each([
  ['nothing is queued: one add', [], ['add 2']],
  ['waiting: its data is replaced', ['waiting'], ['add 2', 'update 2']],
  ['waiting for a retry: its data is replaced', ['delayed'], ['add 2', 'update 2']],
  [
    'started between add and update: rung again, now surely while active',
    ['active', 'active'],
    ['add 2', 'update 2', 'add 2', 'update 2'],
  ],
  ['ended between add and update: a new job', ['gone'], ['add 2', 'update 2', 'add 2']],
  ['failed between add and update: a new job', ['failed'], ['add 2', 'update 2', 'add 2']],
])('%s', async (_, states, expected) => {
  const { calls, ring } = scripted([...states])
  await ring()
  expect(calls).toEqual(expected)
})

test('a job is named by the randomness that is given, never alike twice, and by no number', async () => {
  const names = async (random: Random) => {
    const { ids, ring } = scripted([], random)
    for (let i = 0; i < 3; i++) await ring()
    return ids
  }
  const ids = await names(seededRandom(7))
  expect(new Set(ids).size).toBe(3)
  expect(await names(seededRandom(7))).toEqual(ids)
  expect(await names(seededRandom(8))).not.toEqual(ids)
  // BullMQ refuses an id that is a whole number, even where randomness ends in one.
  for (const id of await names({ next: () => 0 })) expect(`${Number.parseInt(id ?? '', 10)}`).not.toBe(id)
})
