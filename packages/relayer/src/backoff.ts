/** Says when it is time to try something again that has not helped so far. */
export interface Backoff {
  /** True at once for a new key, then after waits that double; `now` in the caller's ms. A true answer begins the next wait. */
  ready(key: string, now: number): boolean
}

export interface BackoffOptions {
  firstMs: number
  maxMs: number
  /** Keys remembered; the oldest are forgotten, and may be tried at once again. */
  keys: number
}

export function createBackoff({ firstMs, maxMs, keys }: BackoffOptions): Backoff {
  const waits = new Map<string, { until: number; next: number }>()
  return {
    ready(key, now) {
      const wait = waits.get(key) ?? { until: now, next: firstMs }
      if (now < wait.until) return false
      waits.delete(key)
      waits.set(key, { until: now + wait.next, next: Math.min(maxMs, 2 * wait.next) })
      const [oldest] = waits.keys()
      if (waits.size > keys && oldest !== undefined) waits.delete(oldest)
      return true
    },
  }
}
