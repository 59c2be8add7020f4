/** A counter as its owner and its receiver have it, in token units. */
export interface CounterState<K> {
  key: K
  owned: bigint
  received: bigint
}

/** When a counter's value was last sent, in real ms. */
export interface LastSent {
  value: bigint
  at: number
  /** Of the packet that carries it, where there is one. */
  nonce?: bigint | undefined
}

/**
 * Counters that must be sent: the receiver has another value, and this one has not been sent within `resendMs` (it may be on its way), or by a
 * packet whose nonce was used up before the receiver was asked: then another packet has had it.
 * Smaller or larger makes no difference: after a reorg the newest value is the truth.
 */
export function dueCounters<K>(
  states: readonly CounterState<K>[],
  lastSent: (key: K) => LastSent | undefined,
  now: number,
  resendMs: number,
  usedUp: ReadonlySet<bigint> = new Set(),
): CounterState<K>[] {
  return states.filter(({ key, owned, received }) => {
    if (owned === received) return false
    const last = lastSent(key)
    if (last?.nonce !== undefined && usedUp.has(last.nonce)) return true
    return last === undefined || last.value !== owned || now - last.at >= resendMs
  })
}

/** Consecutive groups of at most `size`. */
export function batches<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) =>
    items.slice(i * size, (i + 1) * size),
  )
}

/** Takes `size` of a list at a time, and next time those that follow: what stays in front keeps no other from its turn. */
export function createTurns(size: number) {
  let next = 0
  return <T>(list: readonly T[]): T[] => {
    const from = list.length === 0 ? 0 : next % list.length
    const turn = [...list.slice(from), ...list.slice(0, from)].slice(0, size)
    next = from + turn.length
    return turn
  }
}

/**
 * Keys that may differ between two chains. All known keys are dirty after `markAll`; a key is clean once both sides were seen equal and nothing
 * has touched it since.
 */
export function createDirtyKeys<K>() {
  const known = new Map<string, K>()
  const dirty = new Map<string, { touched: number; dueAt: number | undefined }>()
  const sent = new Map<string, LastSent>()
  let touches = 0
  const markAll = (): void => {
    for (const id of known.keys()) if (!dirty.has(id)) dirty.set(id, { touched: ++touches, dueAt: undefined })
  }
  return {
    /** `dueAt` (real ms): since when the work is known; undefined for a mere check. */
    touch(id: string, key: K, dueAt: number | undefined): void {
      known.set(id, key)
      dirty.set(id, { touched: ++touches, dueAt: dirty.get(id)?.dueAt ?? dueAt })
    },
    markAll,
    /** What was sent may be undone: everything is compared, and sent, again. */
    forgetSent(): void {
      sent.clear()
      markAll()
    },
    /** Whatever has waited longest since it was last taken: keys that stay dirty, as a payout that always fails does, starve no other. */
    take(limit: number): { id: string; key: K; touched: number; dueAt: number | undefined }[] {
      return [...dirty].slice(0, limit).flatMap(([id, state]) => {
        dirty.delete(id)
        dirty.set(id, state)
        const key = known.get(id)
        return key === undefined ? [] : [{ id, key, ...state }]
      })
    },
    /** Both sides are equal; a touch since `touched` keeps it dirty. */
    clean(id: string, touched: number): void {
      if (dirty.get(id)?.touched === touched) dirty.delete(id)
      sent.delete(id)
    },
    markSent(id: string, last: LastSent): void {
      sent.set(id, last)
      const state = dirty.get(id)
      if (state) dirty.set(id, { ...state, dueAt: undefined })
    },
    lastSent: (id: string) => sent.get(id),
    size: () => dirty.size,
  }
}
