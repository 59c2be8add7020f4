import {
  bookAround,
  isoMicroseconds,
  type LiveTick,
  type SimulatorParameters,
  type SourceSimulator,
} from './feed.js'
import { fieldsOf, send, startSocketServer, stringsOf } from './server.js'

type Client = Set<string>

/** Kraken WebSocket v2: channel `ticker` with a snapshot and updates, `status` on connecting, `heartbeat` once something is subscribed. */
export async function startKraken({ markets, latest, now }: SimulatorParameters): Promise<SourceSimulator> {
  const pairs = new Set(markets.map(({ symbol }) => symbol))
  let connections = 0
  const server = await startSocketServer<Client>({
    path: '/v2',
    connect(socket) {
      const data = [{ version: '2.0.9', system: 'online', api_version: 'v2', connection_id: ++connections }]
      send(socket, { channel: 'status', type: 'update', data })
      return new Set()
    },
    receive(message, socket, client) {
      const time_in = isoMicroseconds(now())
      const { method, params, req_id } = fieldsOf(message)
      const stamp = (body: object) =>
        send(socket, {
          ...body,
          ...(req_id === undefined ? {} : { req_id }),
          time_in,
          time_out: isoMicroseconds(now()),
        })
      if (method === 'ping') return stamp({ method: 'pong' })
      if (method !== 'subscribe' && method !== 'unsubscribe')
        return stamp({ error: 'Unsupported method', method: String(method), success: false })
      const { channel, symbol, event_trigger = 'trades', snapshot = true } = fieldsOf(params)
      if (channel !== 'ticker')
        return stamp({ error: `Unsupported channel ${String(channel)}`, method, success: false })
      for (const pair of stringsOf(symbol) ?? []) {
        if (!pairs.has(pair)) {
          stamp({ error: `Currency pair not supported ${pair}`, method, success: false, symbol: pair })
          continue
        }
        const result = { channel, event_trigger, snapshot, symbol: pair }
        if (method === 'unsubscribe') {
          client.delete(pair)
          stamp({ method, result: { channel, event_trigger, symbol: pair }, success: true })
          continue
        }
        client.add(pair)
        stamp({ method, result, success: true })
        const tick = latest(pair)
        if (tick !== undefined && snapshot !== false) send(socket, ticker(tick, 'snapshot'))
      }
    },
  })
  return {
    url: `${server.origin}/v2`,
    push(ticks) {
      if (server.clients.size === 0) return
      for (const tick of ticks) {
        const frame = JSON.stringify(ticker(tick, 'update'))
        for (const [socket, client] of server.clients) if (client.has(tick.market.symbol)) send(socket, frame)
      }
    },
    heartbeat() {
      for (const [socket, client] of server.clients)
        if (client.size > 0) send(socket, { channel: 'heartbeat' })
    },
    stop: server.stop,
  }
}

function ticker({ market, price, eventMs, open, high, low }: LiveTick, type: 'snapshot' | 'update'): object {
  const { bid, ask } = bookAround(price)
  const round = (value: number) => Number(value.toPrecision(9))
  const data = {
    symbol: market.symbol,
    bid: round(bid),
    bid_qty: 1,
    ask: round(ask),
    ask_qty: 1,
    last: round(price),
    volume: 0,
    vwap: round(price),
    low: round(low),
    high: round(high),
    change: round(price - open),
    change_pct: Number(((price / open - 1) * 100).toFixed(2)),
    timestamp: isoMicroseconds(eventMs),
  }
  return { channel: 'ticker', type, data: [data] }
}
