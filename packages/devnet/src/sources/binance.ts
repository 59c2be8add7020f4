import type { WebSocket } from 'ws'
import { bookAround, type LiveTick, type SourceSimulator } from './feed.js'
import { fieldsOf, send, startSocketServer, stringsOf } from './server.js'

/** Binance pings every 20 s and drops a client that has not answered for a minute. Both in heartbeats of one real second. */
const PING_EVERY = 20
const PONG_WITHIN = 60

const METHODS = ['SUBSCRIBE', 'UNSUBSCRIBE', 'LIST_SUBSCRIPTIONS'] as const

interface Client {
  streams: Set<string>
  /** Connected at /stream: every event comes wrapped as {stream, data}. */
  combined: boolean
  lastPong: number
}

/**
 * Binance spot market streams: `/ws` and `/ws/STREAM` send raw events, `/stream?streams=A/B` wrapped ones; streams `aggTrade` and
 * `bookTicker`. Like Binance it accepts a stream of an unknown symbol and then stays silent on it.
 */
export async function startBinance(): Promise<SourceSimulator> {
  let beats = 0
  const server = await startSocketServer<Client>({
    connect(socket, requestUrl) {
      const { pathname, searchParams } = new URL(requestUrl, 'http://localhost')
      const combined = pathname.startsWith('/stream')
      const names = combined ? (searchParams.get('streams') ?? '') : pathname.replace(/^\/ws\/?/, '')
      const client = { streams: new Set(names.split('/').filter(Boolean)), combined, lastPong: beats }
      socket.on('pong', () => {
        client.lastPong = beats
      })
      return client
    },
    receive: (message, socket, client) => send(socket, answer(message, client)),
  })
  return {
    url: `${server.origin}/ws`,
    push(ticks) {
      if (server.clients.size === 0) return
      for (const tick of ticks) {
        for (const [stream, data] of eventsOf(tick)) {
          const raw = JSON.stringify(data)
          const wrapped = `{"stream":"${stream}","data":${raw}}`
          for (const [socket, { streams, combined }] of server.clients)
            if (streams.has(stream)) send(socket, combined ? wrapped : raw)
        }
      }
    },
    heartbeat() {
      beats++
      for (const [socket, { lastPong }] of server.clients) {
        if (beats - lastPong > PONG_WITHIN) socket.terminate()
        else if (beats % PING_EVERY === 0) ping(socket)
      }
    },
    stop: server.stop,
  }
}

function ping(socket: WebSocket): void {
  if (socket.readyState === socket.OPEN) socket.ping()
}

function answer(message: unknown, client: Client): object {
  if (message === undefined)
    return { error: { code: 3, msg: 'Invalid JSON: expected value at line 1 column 1' } }
  const { method, params, id } = fieldsOf(message)
  const fail = (msg: string) => ({ error: { code: 2, msg: `Invalid request: ${msg}` }, id: id ?? null })
  if (typeof method !== 'string') return fail('missing field `method`')
  if (method === 'LIST_SUBSCRIPTIONS') return { result: [...client.streams], id: id ?? null }
  if (method !== 'SUBSCRIBE' && method !== 'UNSUBSCRIBE')
    return fail(
      `unknown variant \`${method}\`, expected one of ${METHODS.map((name) => `\`${name}\``).join(', ')}`,
    )
  const streams = stringsOf(params)
  if (streams === undefined) return fail('missing field `params`')
  if (typeof id !== 'number' && typeof id !== 'string') return fail('request ID must be an unsigned integer')
  for (const stream of streams) {
    if (method === 'SUBSCRIBE') client.streams.add(stream)
    else client.streams.delete(stream)
  }
  return { result: null, id }
}

function eventsOf({ market, price, eventMs, sequence }: LiveTick): [stream: string, data: object][] {
  const symbol = market.symbol
  const { bid, ask } = bookAround(price)
  const name = symbol.toLowerCase()
  const trade = {
    e: 'aggTrade',
    E: eventMs,
    s: symbol,
    a: sequence,
    p: price.toFixed(8),
    q: '1.00000000',
    f: sequence,
    l: sequence,
    T: eventMs,
    m: false,
    M: true,
  }
  const book = {
    u: sequence,
    s: symbol,
    b: bid.toFixed(8),
    B: '1.00000000',
    a: ask.toFixed(8),
    A: '1.00000000',
  }
  // The book first: a trade then carries the spread of its own moment.
  return [
    [`${name}@bookTicker`, book],
    [`${name}@aggTrade`, trade],
  ]
}
