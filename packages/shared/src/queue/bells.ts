import { isDeepStrictEqual } from 'node:util'
import type { QueueJobData } from './backend.js'

/** Rings of one key that the queue is asked for, or needn't be. */
interface Bell {
  /** How often its work has started since the bell was made. */
  starts: number
  /** What is being asked of the queue. */
  asking?: Promise<void>
  /** Rung since: asked for afterwards, once, with the last data. */
  next?: { data: QueueJobData; asked: Promise<void> }
  /** Data with which its work waits to start. */
  waiting?: QueueJobData
}

export interface Bells {
  ring(key: string, data: QueueJobData): Promise<void>
  /** The key's work starts, or never will: from now on a ring asks again. */
  started(key: string): void
}

/**
 * Asks the queue once for what was rung many times: every block rings every lane, and on a busy machine the queue would be busier with rings
 * than with their work. While one request of a key is under way, all further rings of it share the next.
 * @param ask Resolves when the queue holds the request.
 * @param seesAll Every start of the lane's work is told here, since no other process takes any of it: then what waits with the same data is
 * not asked for again either.
 */
export function createBells(
  ask: (key: string, data: QueueJobData) => Promise<void>,
  { seesAll }: { seesAll: boolean },
): Bells {
  const bells = new Map<string, Bell>()

  function forget(key: string, bell: Bell): void {
    if (bell.asking === undefined && bell.next === undefined && bell.waiting === undefined) bells.delete(key)
  }

  async function request(key: string, bell: Bell, data: QueueJobData): Promise<void> {
    const { starts } = bell
    delete bell.waiting
    try {
      await ask(key, data)
      // Else the start in between may have been this request's, and have missed what is rung from now on.
      if (seesAll && bell.starts === starts) bell.waiting = data
    } finally {
      delete bell.asking
      forget(key, bell)
    }
  }

  function start(key: string, bell: Bell, data: QueueJobData): Promise<void> {
    bell.asking = request(key, bell, data)
    return bell.asking
  }

  function ring(key: string, data: QueueJobData): Promise<void> {
    const bell = bells.get(key) ?? { starts: 0 }
    bells.set(key, bell)
    if (bell.next !== undefined) {
      bell.next.data = data
      return bell.next.asked
    }
    if (bell.asking === undefined)
      return isDeepStrictEqual(bell.waiting, data) ? Promise.resolve() : start(key, bell, data)
    const next = { data, asked: Promise.resolve() }
    next.asked = bell.asking
      .catch(() => {}) // whoever asked first is told
      .then(() => {
        delete bell.next
        return start(key, bell, next.data)
      })
    bell.next = next
    return next.asked
  }

  return {
    ring,
    started(key) {
      const bell = bells.get(key)
      if (bell === undefined) return
      bell.starts++
      delete bell.waiting
      forget(key, bell)
    },
  }
}
