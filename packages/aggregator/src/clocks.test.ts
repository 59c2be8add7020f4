import { createLogger, createMetrics } from '@clearspan/shared'
import { describe, expect, it } from 'vitest'
import { createClockWatch } from './clocks.js'
import { createNodeMetrics } from './metrics.js'

function watch() {
  const lines: { level: number; msg: string; peer?: number }[] = []
  const logger = createLogger({
    name: 'test',
    level: 'info',
    destination: { write: (line) => void lines.push(JSON.parse(line)) },
  })
  const registry = createMetrics()
  const clocks = createClockWatch({
    nodes: 4,
    quorum: 3,
    boundMs: 1_000,
    logger,
    metrics: createNodeMetrics(registry),
  })
  return { clocks, lines, text: registry.text }
}

describe('clocks of the network', () => {
  it('takes a peer within the round trip for right', () => {
    const { clocks } = watch()
    clocks.record(1, 0, 5_000, 10_000)
    expect(clocks.peers()).toEqual([null, 0, null, null])
    expect(clocks.offsetMs()).toBeNull()
  })

  it('alarms once of a peer that is beyond the bound, and says when it is right again', async () => {
    const { clocks, lines, text } = watch()
    for (let i = 0; i < 3; i++) clocks.record(2, 0, 1_600, 100)
    expect(lines.map(({ level, peer }) => [level, peer])).toEqual([[40, 2]])
    expect(await text()).toContain('oracle_peer_clock_offset_seconds{peer="2"} 1.5')
    clocks.record(2, 0, 100, 100)
    expect(lines).toHaveLength(2)
    expect(clocks.drifting()).toBe(false)
  })

  it('finds its own clock wrong by the middle of all, and one lying peer changes nothing', async () => {
    const { clocks, lines, text } = watch()
    clocks.record(1, 0, 9e9, 0)
    clocks.record(2, 0, 0, 0)
    expect(clocks.offsetMs()).toBe(0)
    clocks.record(3, 0, 1, 0)
    expect(clocks.drifting()).toBe(false)
    // Two honest peers agree that this clock is three seconds behind.
    clocks.record(2, 0, 3_000, 0)
    clocks.record(3, 0, 3_000, 0)
    expect(clocks.offsetMs()).toBe(-3_000)
    expect(clocks.drifting()).toBe(true)
    expect(lines.some(({ level, msg }) => level === 50 && msg.includes("this node's clock"))).toBe(true)
    expect(await text()).toContain('clearspan_oracle_clock_offset_seconds -3')
  })
})
