import {
  bookAround,
  formatPrice,
  isoMicroseconds,
  type LiveTick,
  type SimulatorParameters,
  type SourceSimulator,
} from './feed.js'
import { fieldsOf, send, startSocketServer, stringsOf } from './server.js'

const CHANNELS = ['ticker', 'heartbeat'] as const
type Channel = (typeof CHANNELS)[number]
type Client = Record<Channel, Set<string>>

/** Coinbase Exchange WebSocket feed: channels `ticker` and `heartbeat` (each second for every product). */
export async function startCoinbase({ markets, latest, now }: SimulatorParameters): Promise<SourceSimulator> {
  const products = new Set(markets.map(({ symbol }) => symbol))
  const server = await startSocketServer<Client>({
    connect: () => ({ ticker: new Set(), heartbeat: new Set() }),
    receive(message, socket, client) {
      const { type, product_ids, channels } = fieldsOf(message)
      if (type !== 'subscribe' && type !== 'unsubscribe')
        return send(socket, failure('Malformed JSON', 'type must be subscribe or unsubscribe'))
      const wanted = readChannels(channels, stringsOf(product_ids) ?? [], products)
      if (typeof wanted === 'string') return send(socket, failure('Failed to subscribe', wanted))
      for (const { channel, ids } of wanted)
        for (const id of ids) {
          if (type === 'subscribe') client[channel].add(id)
          else client[channel].delete(id)
        }
      send(socket, subscriptions(client))
      if (type === 'unsubscribe') return
      for (const { ids } of wanted.filter(({ channel }) => channel === 'ticker'))
        for (const id of ids) {
          const tick = latest(id)
          if (tick !== undefined) send(socket, ticker(tick))
        }
    },
  })
  return {
    url: server.origin,
    push(ticks) {
      if (server.clients.size === 0) return
      for (const tick of ticks) {
        const frame = JSON.stringify(ticker(tick))
        for (const [socket, client] of server.clients)
          if (client.ticker.has(tick.market.symbol)) send(socket, frame)
      }
    },
    heartbeat() {
      const time = isoMicroseconds(now())
      for (const [socket, client] of server.clients)
        for (const product_id of client.heartbeat) {
          const sequence = latest(product_id)?.sequence ?? 0
          send(socket, { type: 'heartbeat', sequence, last_trade_id: sequence, product_id, time })
        }
    },
    stop: server.stop,
  }
}

function failure(message: string, reason: string): object {
  return { type: 'error', message, reason }
}

/** Channels are names, which take the message's products, or `{name, product_ids}`. A string is the venue's complaint. */
function readChannels(
  channels: unknown,
  products: readonly string[],
  known: ReadonlySet<string>,
): { channel: Channel; ids: readonly string[] }[] | string {
  if (!Array.isArray(channels) || channels.length === 0) return 'channels is required'
  const wanted: { channel: Channel; ids: readonly string[] }[] = []
  for (const item of channels) {
    const name = typeof item === 'string' ? item : fieldsOf(item).name
    const channel = CHANNELS.find((one) => one === name)
    if (channel === undefined) return `${String(name)} is not a valid channel`
    const ids = [...products, ...(stringsOf(fieldsOf(item).product_ids) ?? [])]
    if (ids.length === 0) return `no products given for channel ${channel}`
    const unknown = ids.find((id) => !known.has(id))
    if (unknown !== undefined) return `${unknown} is not a valid product`
    wanted.push({ channel, ids })
  }
  return wanted
}

function subscriptions(client: Client): object {
  const channels = CHANNELS.filter((channel) => client[channel].size > 0)
  return {
    type: 'subscriptions',
    channels: channels.map((name) => ({ name, product_ids: [...client[name]] })),
  }
}

function ticker({ market, price, eventMs, sequence, open, high, low }: LiveTick): object {
  const { bid, ask } = bookAround(price)
  return {
    type: 'ticker',
    sequence,
    product_id: market.symbol,
    price: formatPrice(price),
    open_24h: formatPrice(open),
    volume_24h: '0.00000000',
    low_24h: formatPrice(low),
    high_24h: formatPrice(high),
    volume_30d: '0.00000000',
    best_bid: formatPrice(bid),
    best_bid_size: '1.00000000',
    best_ask: formatPrice(ask),
    best_ask_size: '1.00000000',
    side: 'buy',
    time: isoMicroseconds(eventMs),
    trade_id: sequence,
    last_size: '1.00000000',
  }
}
