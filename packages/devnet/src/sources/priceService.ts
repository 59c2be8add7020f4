import Fastify from 'fastify'
import type { SimulatorParameters, SourceSimulator } from './feed.js'
import { createPythFeeds, priceServiceFeed, readQuery, sortIds } from './pyth.js'
import { fieldsOf, send, startSocketServer, stringsOf } from './server.js'

/** The service pings each 30 s (heartbeats of one real second) and drops a client that has not answered by the next. */
const PING_EVERY = 30

interface Options {
  verbose: boolean
  binary: boolean
}

interface Client {
  feeds: Map<string, Options>
  answered: boolean
}

/** Pyth Price Service v1: GET /api/latest_price_feeds, /api/latest_vaas and /api/price_feed_ids, and subscriptions at /ws. */
export async function startPriceService({ markets, latest }: SimulatorParameters): Promise<SourceSimulator> {
  const feeds = createPythFeeds()
  feeds.update(markets.map(({ symbol }) => latest(symbol)).filter((tick) => tick !== undefined))
  const app = Fastify({ forceCloseConnections: true })

  app.get('/api/price_feed_ids', async () => feeds.ids())
  app.get('/api/latest_price_feeds', async (request, reply) => {
    const query = readQuery(request.url)
    const { known, missing, malformed } = sortIds(query.ids, feeds)
    if (malformed !== undefined) return reply.code(400).type('text/plain').send(malformedMessage(malformed))
    if (missing.length > 0) return reply.code(404).type('text/plain').send(notFound(missing))
    const options = { verbose: query.flag('verbose', false), binary: query.flag('binary', false) }
    return known.map((feed) => priceServiceFeed(feeds, feed, options))
  })
  app.get('/api/latest_vaas', async (request, reply) => {
    const { known, missing, malformed } = sortIds(readQuery(request.url).ids, feeds)
    if (malformed !== undefined) return reply.code(400).type('text/plain').send(malformedMessage(malformed))
    if (missing.length > 0) return reply.code(404).type('text/plain').send(notFound(missing))
    return known.length === 0
      ? []
      : [
          feeds.binary(
            known.map(({ id }) => id),
            'base64',
          ),
        ]
  })

  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const sockets = await startSocketServer<Client>({
    server: app.server,
    path: '/ws',
    connect(socket) {
      const client = { feeds: new Map<string, Options>(), answered: true }
      socket.on('pong', () => {
        client.answered = true
      })
      return client
    },
    receive(message, socket, client) {
      const error =
        message === undefined ? 'expected value at line 1 column 1' : subscribe(fieldsOf(message), client)
      const status = error === undefined ? { status: 'success' } : { status: 'error', error }
      send(socket, { type: 'response', ...status })
    },
  })

  /** The service's complaint, or undefined. */
  function subscribe(message: Record<string, unknown>, client: Client): string | undefined {
    const { type, ids, verbose, binary, ignore_invalid_price_ids } = message
    if (type !== 'subscribe' && type !== 'unsubscribe')
      return type === undefined
        ? 'missing field `type`'
        : `unknown variant \`${String(type)}\`, expected \`subscribe\` or \`unsubscribe\``
    const { known, missing, malformed } = sortIds(stringsOf(ids) ?? [], feeds)
    if (stringsOf(ids) === undefined) return 'missing field `ids`'
    if (malformed !== undefined) return malformedMessage(malformed)
    if (type === 'unsubscribe') {
      for (const { id } of known) client.feeds.delete(id)
      return undefined
    }
    if (missing.length > 0 && ignore_invalid_price_ids !== true)
      return `Price feed(s) with id(s) [${missing.join(', ')}] not found`
    for (const { id } of known) client.feeds.set(id, { verbose: verbose === true, binary: binary === true })
    return undefined
  }

  let beats = 0
  return {
    url,
    push(ticks) {
      feeds.update(ticks)
      const frames = new Map<string, string>()
      for (const { market } of ticks) {
        const feed = feeds.get(market.symbol)
        for (const [socket, client] of sockets.clients) {
          const options = client.feeds.get(market.symbol)
          if (feed === undefined || options === undefined) continue
          const key = `${feed.id} ${options.verbose} ${options.binary}`
          const frame =
            frames.get(key) ??
            JSON.stringify({ type: 'price_update', price_feed: priceServiceFeed(feeds, feed, options) })
          frames.set(key, frame)
          send(socket, frame)
        }
      }
    },
    heartbeat() {
      if (++beats % PING_EVERY !== 0) return
      for (const [socket, client] of sockets.clients) {
        if (!client.answered) socket.terminate()
        else if (socket.readyState === socket.OPEN) socket.ping()
        client.answered = false
      }
    },
    async stop() {
      await sockets.stop()
      await app.close()
    },
  }
}

function notFound(missing: readonly string[]): string {
  return `Price ids not found: ${missing.join(', ')}`
}

function malformedMessage(id: string): string {
  return `"${id}" is no price feed id`
}
