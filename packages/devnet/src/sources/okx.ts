import type { WebSocket } from 'ws'
import {
  bookAround,
  formatPrice,
  type LiveTick,
  type SimulatorParameters,
  type SourceSimulator,
} from './feed.js'
import { fieldsOf, send, startSocketServer } from './server.js'

/** The venue hangs up after 30 s without a word in either direction. In heartbeats of one real second. */
const IDLE_BEATS = 30

interface Client {
  instruments: Set<string>
  lastWord: number
}

/** OKX v5 public WebSocket: channel `tickers` of spot instruments; text `ping` is answered by text `pong`. */
export async function startOkx({ markets, latest }: SimulatorParameters): Promise<SourceSimulator> {
  const instruments = new Set(markets.map(({ symbol }) => symbol))
  let beats = 0
  const server = await startSocketServer<Client>({
    path: '/ws/v5/public',
    connect(socket) {
      const client = { instruments: new Set<string>(), lastWord: beats }
      socket.on('message', (data) => {
        client.lastWord = beats
        if (data.toString() === 'ping') send(socket, 'pong')
      })
      return client
    },
    receive(message, socket, client) {
      // No JSON: the text `ping`, or nothing that the venue understands; it is silent on neither, but the first is answered above.
      if (message === undefined) return
      const { op, args } = fieldsOf(message)
      if ((op !== 'subscribe' && op !== 'unsubscribe') || !Array.isArray(args))
        return complain(socket, '60012', `Invalid request: ${JSON.stringify(message)}`)
      for (const arg of args) {
        const { channel, instId } = fieldsOf(arg)
        if (channel !== 'tickers' || typeof instId !== 'string' || !instruments.has(instId)) {
          const wanted = `channel:${String(channel)},instId:${String(instId)}`
          complain(socket, '60018', `Wrong URL or ${wanted} doesn't exist.`)
          continue
        }
        if (op === 'subscribe') client.instruments.add(instId)
        else client.instruments.delete(instId)
        send(socket, { event: op, arg: { channel, instId }, connId: 'a4d3ae55' })
        const tick = op === 'subscribe' ? latest(instId) : undefined
        if (tick !== undefined) send(socket, ticker(tick))
      }
    },
  })
  return {
    url: `${server.origin}/ws/v5/public`,
    push(ticks) {
      if (server.clients.size === 0) return
      for (const tick of ticks) {
        const frame = JSON.stringify(ticker(tick))
        for (const [socket, client] of server.clients) {
          if (!client.instruments.has(tick.market.symbol)) continue
          client.lastWord = beats
          send(socket, frame)
        }
      }
    },
    heartbeat() {
      beats++
      for (const [socket, { lastWord }] of server.clients) if (beats - lastWord > IDLE_BEATS) socket.close()
    },
    stop: server.stop,
  }
}

function complain(socket: WebSocket, code: string, msg: string): void {
  send(socket, { event: 'error', code, msg, connId: 'a4d3ae55' })
}

function ticker({ market, price, eventMs, open, high, low }: LiveTick): object {
  const { bid, ask } = bookAround(price)
  const data = {
    instType: 'SPOT',
    instId: market.symbol,
    last: formatPrice(price),
    lastSz: '1',
    askPx: formatPrice(ask),
    askSz: '1',
    bidPx: formatPrice(bid),
    bidSz: '1',
    open24h: formatPrice(open),
    high24h: formatPrice(high),
    low24h: formatPrice(low),
    sodUtc0: formatPrice(open),
    sodUtc8: formatPrice(open),
    volCcy24h: '0',
    vol24h: '0',
    ts: String(eventMs),
  }
  return { arg: { channel: 'tickers', instId: market.symbol }, data: [data] }
}
