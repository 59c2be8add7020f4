import { createParser } from 'eventsource-parser'
import type { Clock } from './clock.js'
import { RetryableError } from './errors.js'

/** A report's event is some 5 kB; a stream without an end of event is cut off. */
const MAX_EVENT_CHARS = 64 * 1024
const CONNECT_TIMEOUT_MS = 5_000

/** Reads one server-sent event stream to its end, or until it falls silent. @throws RetryableError when it can't be opened or an event is too long; what `onData` throws. */
export async function readEventStream(
  url: string,
  {
    fetch,
    clock,
    idleMs,
    signal,
  }: { fetch: typeof globalThis.fetch; clock: Clock; idleMs: number; signal: AbortSignal },
  onData: (data: string) => Promise<void>,
): Promise<void> {
  const opening = new AbortController()
  const over = new AbortController()
  let end = () => opening.abort()
  const abort = () => end()
  let deadline = clock.now() + CONNECT_TIMEOUT_MS
  const watch = async () => {
    while (!over.signal.aborted) {
      const left = deadline - clock.now()
      if (left <= 0) return end()
      await clock.sleep(left, over.signal).catch(() => {})
    }
  }
  signal.addEventListener('abort', abort, { once: true })
  void watch()
  try {
    const headers = { accept: 'text/event-stream' }
    const response = await fetch(url, { signal: opening.signal, headers, redirect: 'error' })
    if (!response.ok || response.body === null) throw new RetryableError(`${url} answered ${response.status}`)
    const reader = response.body.getReader()
    // Node 20 holds a fetch's abort by a weak reference, which a collection may take: an open stream is ended by its reader.
    end = () => void reader.cancel().catch(() => {})
    const alive = () => {
      deadline = clock.now() + idleMs
    }
    alive()
    if (!signal.aborted) await readEvents(reader, url, onData, alive)
  } finally {
    over.abort()
    signal.removeEventListener('abort', abort)
    end()
  }
}

async function readEvents(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  url: string,
  onData: (data: string) => Promise<void>,
  alive: () => void,
): Promise<void> {
  const waiting: string[] = []
  const parser = createParser({
    onEvent: ({ data }) => void waiting.push(data),
    onError: (error) => {
      if (error.type === 'max-buffer-size-exceeded') throw new RetryableError(`${url} sent too long an event`)
    },
    maxBufferSize: MAX_EVENT_CHARS,
  })
  const decoder = new TextDecoder()
  for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) {
    alive()
    parser.feed(decoder.decode(chunk.value, { stream: true }))
    // Only the newest of those that came together matters.
    const last = waiting.splice(0).at(-1)
    if (last !== undefined) await onData(last)
  }
}
