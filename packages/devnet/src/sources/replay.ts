import { formatPrice, type LiveTick, type SimulatorParameters, type SourceSimulator } from './feed.js'
import { fieldsOf, send, startSocketServer, stringsOf } from './server.js'

/**
 * Clearspan's own plain feed, for venues without an adapter: a client sends `{"type":"subscribe","symbols":["BTC-USD"]}` and gets
 * `{"type":"tick","symbol":"BTC-USD","price":"5301.14","ts":1583712000000,"seq":1}`, at once and with every new price. Prices are
 * decimal text in the quote, `ts` is unix ms. A symbol that is not served is answered with `{"type":"error","message":...}`;
 * `{"type":"heartbeat"}` comes each second.
 */
export async function startReplay({ markets, latest }: SimulatorParameters): Promise<SourceSimulator> {
  const symbols = new Set(markets.map(({ symbol }) => symbol))
  const server = await startSocketServer<Set<string>>({
    connect: () => new Set(),
    receive(message, socket, client) {
      const { type, symbols: wanted } = fieldsOf(message)
      const list = stringsOf(wanted)
      if (type !== 'subscribe' || list === undefined)
        return send(socket, { type: 'error', message: 'expected {"type":"subscribe","symbols":[...]}' })
      for (const symbol of list) {
        if (!symbols.has(symbol)) {
          send(socket, { type: 'error', message: `unknown symbol ${symbol}` })
          continue
        }
        client.add(symbol)
        const tick = latest(symbol)
        if (tick !== undefined) send(socket, encode(tick))
      }
    },
  })
  return {
    url: server.origin,
    push(ticks) {
      if (server.clients.size === 0) return
      for (const tick of ticks) {
        const frame = JSON.stringify(encode(tick))
        for (const [socket, client] of server.clients) if (client.has(tick.market.symbol)) send(socket, frame)
      }
    },
    heartbeat() {
      for (const socket of server.clients.keys()) send(socket, { type: 'heartbeat' })
    },
    stop: server.stop,
  }
}

function encode({ market, price, eventMs, sequence }: LiveTick): object {
  return { type: 'tick', symbol: market.symbol, price: formatPrice(price), ts: eventMs, seq: sequence }
}
