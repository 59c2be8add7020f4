/** One way to a price, and what it fails together with: `venue:binance`, `vendor:pyth`, `leg:USDT`. */
export interface Vote {
  source: string
  tags: readonly string[]
}

/** Joins votes that share a tag, directly or through others. Groups fail independently of each other: one group, one vote. */
export function independentGroups(votes: readonly Vote[]): string[][] {
  let groups: { tags: Set<string>; sources: string[] }[] = []
  for (const { source, tags } of votes) {
    const joined = groups.filter((group) => tags.some((tag) => group.tags.has(tag)))
    groups = groups.filter((group) => !joined.includes(group))
    groups.push({
      tags: new Set([...tags, ...joined.flatMap((group) => [...group.tags])]),
      sources: [...joined.flatMap((group) => group.sources), source],
    })
  }
  return groups.map(({ sources }) => sources)
}
