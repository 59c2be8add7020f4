import type { Metrics } from '@clearspan/shared'
import type { SourceStatus } from './sources/index.js'

type Counter = ReturnType<Metrics['counter']>
type Gauge = ReturnType<Metrics['gauge']>
type Histogram = ReturnType<Metrics['histogram']>

/** Everything that an oracle node counts. */
export interface NodeMetrics {
  messages: Counter
  peerFailures: Counter
  unauthenticated: Counter
  refused: Counter
  peerClockOffset: Gauge
  clockOffset: Gauge
  reports: Counter
  lastSeq: Gauge
  epoch: Gauge
  epochRevoked: Gauge
  latency: Histogram
  held: Counter
  outliers: Counter
  equivocations: Counter
  errors: Counter
  recordingFailures: Counter
  setSource(status: SourceStatus): void
}

export function createNodeMetrics(metrics: Metrics): NodeMetrics {
  const connected = metrics.gauge('oracle_source_connected', '1 while a source is connected', ['source'])
  const quotes = metrics.gauge('oracle_source_quotes', 'Quotes taken from a source since start', ['source'])
  const rejected = metrics.gauge('oracle_source_rejected', 'Frames and quotes dropped since start', [
    'source',
    'reason',
  ])
  const eventTime = metrics.gauge(
    'oracle_source_event_time_ms',
    'Newest event time of a source, network ms',
    ['source'],
  )
  return {
    messages: metrics.counter('oracle_messages_total', 'Messages from peers', ['kind', 'outcome']),
    peerFailures: metrics.counter('oracle_peer_failures_total', 'Deliveries to a peer that failed', ['peer']),
    unauthenticated: metrics.counter('oracle_auth_failures_total', 'Messages whose sender is no peer', [
      'reason',
    ]),
    refused: metrics.counter('oracle_http_refused_total', 'Requests refused before they were read', ['code']),
    peerClockOffset: metrics.gauge(
      'oracle_peer_clock_offset_seconds',
      'How far a peer is ahead of this clock',
      ['peer'],
    ),
    clockOffset: metrics.gauge(
      'oracle_clock_offset_seconds',
      "How far this clock is ahead of the network's middle",
    ),
    reports: metrics.counter('oracle_reports_total', 'Finished reports'),
    epoch: metrics.gauge('oracle_epoch', 'Signer epoch that this node is in'),
    epochRevoked: metrics.gauge('oracle_epoch_revoked', '1 once the anchor says that an epoch is revoked', [
      'epoch',
    ]),
    lastSeq: metrics.gauge('oracle_report_seq', 'Slot of the newest finished report'),
    latency: metrics.histogram(
      'oracle_report_latency_seconds',
      'Slot start to finished report, network seconds',
    ),
    held: metrics.counter('oracle_held_total', 'Feeds held in own observations', ['feed', 'reason']),
    outliers: metrics.counter('oracle_outliers_total', 'Rounds in which a source was far off', [
      'feed',
      'source',
    ]),
    equivocations: metrics.counter('oracle_equivocations_total', 'Proofs of a faulty node', ['node', 'kind']),
    errors: metrics.counter('oracle_errors_total', 'Steps of the protocol that failed', ['step']),
    recordingFailures: metrics.counter(
      'oracle_recording_failures_total',
      'Segments that were torn by the disk',
    ),
    setSource({ id, ...status }: SourceStatus) {
      connected.set({ source: id }, status.connected ? 1 : 0)
      quotes.set({ source: id }, status.quotes)
      eventTime.set({ source: id }, status.lastEventTime ?? 0)
      for (const [reason, count] of Object.entries(status.rejected)) {
        rejected.set({ source: id, reason }, count)
      }
    },
  }
}
