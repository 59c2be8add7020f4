import type { Pending } from './pending.js'

/** How much is taken at once. */
export interface Turn {
  /** Packets, and of others' packets. */
  limit: number
  foreignLimit: number
  /** Paths that together have so many packets are enough: the rest is left to whoever delivers beside this one. */
  enough: number
}

/** By path, in the order given. */
export function pathsOf(entries: readonly Pending[]): Map<string, Pending[]> {
  const paths = new Map<string, Pending[]>()
  for (const entry of entries) {
    const list = paths.get(entry.path)
    if (list === undefined) paths.set(entry.path, [entry])
    else list.push(entry)
  }
  return paths
}

/** A nonce can't be committed before the ones below it. */
const byNonce = (a: Pending, b: Pending) => (a.packet.nonce < b.packet.nonce ? -1 : 1)

/** Whose turn it is: paths with something fresh before those where all has failed, then by how long ago their last turn was. */
export function createTurns() {
  const lastTurn = new Map<string, number>()
  let turn = 0
  return {
    take(
      paths: ReadonlyMap<string, readonly Pending[]>,
      busy: ReadonlySet<string>,
      { limit, enough }: Pick<Turn, 'limit' | 'enough'>,
    ): Pending[] {
      const rank = (path: string) => {
        const hasFailed = paths.get(path)?.every(({ attempts }) => attempts > 0) ?? false
        return [Number(hasFailed), lastTurn.get(path) ?? 0] as const
      }
      const ranked = [...paths.keys()]
        .filter((path) => !busy.has(path))
        .sort((a, b) => {
          const [[failedA, turnA], [failedB, turnB]] = [rank(a), rank(b)]
          return failedA - failedB || turnA - turnB
        })
      const order: Pending[][] = []
      for (let packets = 0, at = 0; packets < enough && at < ranked.length; at++) {
        const list = paths.get(ranked[at]!)!
        order.push([...list].sort(byNonce))
        packets += list.length
      }
      const taken: Pending[] = []
      for (let depth = 0, more = true; more && taken.length < limit; depth++) {
        more = false
        for (const list of order) {
          const entry = list[depth]
          if (entry === undefined || taken.length >= limit) continue
          more = true
          taken.push(entry)
        }
      }
      turn++
      for (const { path } of taken) lastTurn.set(path, turn)
      for (const path of lastTurn.keys()) if (lastTurn.size > TURNS_KEPT) lastTurn.delete(path)
      return taken
    },
  }
}

/** Paths whose last turn is remembered. */
const TURNS_KEPT = 1_000
