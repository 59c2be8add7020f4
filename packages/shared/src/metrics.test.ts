import { expect, test } from 'vitest'
import { createMetrics } from './metrics.js'

test('the same name is the same metric, and registries are apart', async () => {
  const a = createMetrics()
  const b = createMetrics({ prefix: 'b_' })
  a.counter('jobs_total', 'Jobs', ['lane']).inc({ lane: 'price' }, 2)
  a.counter('jobs_total', 'Jobs', ['lane']).inc({ lane: 'price' })
  b.gauge('depth', 'Depth').set(4)
  expect(await a.text()).toContain('clearspan_jobs_total{lane="price"} 3')
  expect(await a.text()).not.toContain('depth')
  expect(await b.text()).toContain('b_depth 4')
})

test('one name with two types is a mistake', () => {
  const metrics = createMetrics()
  metrics.counter('x', 'x')
  expect(() => metrics.gauge('x', 'x')).toThrow(TypeError)
})
