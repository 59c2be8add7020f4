/** n = 3f + 1: how many of `nodes` may lie or be silent. */
export function faultyNodes(nodes: number): number {
  return Math.floor((nodes - 1) / 3)
}

/** 2f + 1 of `nodes` = 3f + 1: values a feed needs, observations a proposal needs, signatures a report needs. Any two quorums share an honest node. */
export function quorumOf(nodes: number): number {
  return 2 * faultyNodes(nodes) + 1
}
