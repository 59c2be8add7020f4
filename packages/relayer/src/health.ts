/** What /health judges by: the oldest that may still be the newest. */
export interface HealthLimits {
  /** Since a chain's head was read, in real ms. */
  headMs: number
  /** Since the slot of the newest report, in slots. */
  reportSlots: number
}

export interface HealthView {
  /** `readAt`: when a new head was last read, in unix real ms; undefined before the first. */
  chains: readonly { name: string; readAt: number | undefined }[]
  /** What keeps parts of this process from working, a line each. */
  problems?: readonly string[]
  /** null: this process follows no prices. */
  newest: { seq: bigint; observedAt: number } | undefined | null
  /** Unix real ms. */
  now: number
  /** Unix ms of network time. */
  networkNow: number
  slotMs: number
}

export interface Health {
  healthy: boolean
  /** What the probe is answered. */
  body: { status: 'ok' | 'unhealthy'; problems: string[]; reportSeq: string | null }
}

/** Whether a relayer sees its chains and the network's prices; each thing it doesn't see is one line of `problems`. */
export function judgeHealth(
  { chains, problems: told = [], newest, now, networkNow, slotMs }: HealthView,
  { headMs, reportSlots }: HealthLimits,
): Health {
  const problems = [...told]
  for (const { name, readAt } of chains) {
    if (readAt === undefined) problems.push(`${name}: no block read yet`)
    else if (now - readAt > headMs)
      problems.push(`${name}: no new block read for ${Math.round((now - readAt) / 1000)} s`)
  }
  const slots = newest ? Math.floor((networkNow - newest.observedAt) / slotMs) : null
  if (newest === undefined) problems.push('prices: no report received yet')
  else if (slots !== null && slots > reportSlots)
    problems.push(`prices: the newest report is ${slots} slots old`)
  const healthy = problems.length === 0
  return {
    healthy,
    body: { status: healthy ? 'ok' : 'unhealthy', problems, reportSeq: newest?.seq.toString() ?? null },
  }
}
