import { Counter, Gauge, Histogram, Registry } from 'prom-client'

/** Seconds, from a local round trip to a slow finality. */
const SECONDS_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]

/** A process's metrics. Asking twice for a name gives the same metric, so every lane can ask for its own. */
export interface Metrics {
  counter(name: string, help: string, labelNames?: string[]): Counter
  gauge(name: string, help: string, labelNames?: string[]): Gauge
  /** Histogram in seconds. */
  histogram(name: string, help: string, labelNames?: string[]): Histogram
  /** Everything in the Prometheus text format. */
  text(): Promise<string>
  readonly registry: Registry
}

/** Metrics on a registry of their own; `prefix` comes before every name. */
export function createMetrics({ prefix = 'clearspan_' }: { prefix?: string } = {}): Metrics {
  const registry = new Registry()
  const known = new Map<string, Counter | Gauge | Histogram>()
  function once<M extends Counter | Gauge | Histogram>(
    kind: abstract new (...args: never[]) => M,
    name: string,
    make: (common: { name: string; registers: Registry[] }) => M,
  ): M {
    const existing = known.get(name)
    if (existing instanceof kind) return existing
    if (existing) throw new TypeError(`metric ${name} exists with another type`)
    const metric = make({ name: prefix + name, registers: [registry] })
    known.set(name, metric)
    return metric
  }
  return {
    registry,
    counter: (name, help, labelNames = []) =>
      once(Counter, name, (common) => new Counter({ ...common, help, labelNames })),
    gauge: (name, help, labelNames = []) =>
      once(Gauge, name, (common) => new Gauge({ ...common, help, labelNames })),
    histogram: (name, help, labelNames = []) =>
      once(
        Histogram,
        name,
        (common) => new Histogram({ ...common, help, labelNames, buckets: SECONDS_BUCKETS }),
      ),
    text: () => registry.metrics(),
  }
}
