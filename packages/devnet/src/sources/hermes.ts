import type { ServerResponse } from 'node:http'
import Fastify from 'fastify'
import type { SimulatorParameters, SourceSimulator } from './feed.js'
import { createPythFeeds, hermesUpdate, readQuery, sortIds } from './pyth.js'

/** A stream whose reader lags so far behind is closed. */
const MAX_BUFFERED_BYTES = 8 << 20

interface Stream {
  response: ServerResponse
  ids: readonly string[]
  encoding: 'hex' | 'base64'
  parsed: boolean
}

/**
 * Pyth Hermes v2: GET /v2/updates/price/latest, the same as server-sent events at /v2/updates/price/stream, GET /v2/price_feeds.
 * A stream gets one event per round with every feed that it asked for; seconds are the resolution of time.
 */
export async function startHermes({ markets, latest }: SimulatorParameters): Promise<SourceSimulator> {
  const feeds = createPythFeeds()
  feeds.update(markets.map(({ symbol }) => latest(symbol)).filter((tick) => tick !== undefined))
  const streams = new Set<Stream>()
  const app = Fastify({ forceCloseConnections: true })

  app.get('/v2/price_feeds', async (request) => {
    const filter = (readQuery(request.url).text('query') ?? '').toLowerCase()
    const kind = readQuery(request.url).text('asset_type') ?? 'crypto'
    return markets
      .map(({ base, symbol }) => ({ id: symbol, attributes: attributesOf(base) }))
      .filter(({ attributes }) => kind === 'crypto' && attributes.symbol.toLowerCase().includes(filter))
  })
  app.get('/v2/updates/price/latest', async (request, reply) => {
    const asked = readRequest(request.url)
    if ('status' in asked) return reply.code(asked.status).type('text/plain').send(asked.message)
    return hermesUpdate(feeds, asked.ids, asked.encoding, asked.parsed)
  })
  app.get('/v2/updates/price/stream', async (request, reply) => {
    const asked = readRequest(request.url)
    if ('status' in asked) return reply.code(asked.status).type('text/plain').send(asked.message)
    reply.hijack()
    const response = reply.raw
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' })
    const stream = { response, ...asked }
    streams.add(stream)
    response.on('close', () => streams.delete(stream))
    write(response, eventOf(stream))
    return reply
  })

  function readRequest(url: string): { status: number; message: string } | Omit<Stream, 'response'> {
    const query = readQuery(url)
    const { known, missing, malformed } = sortIds(query.ids, feeds)
    if (query.ids.length === 0)
      return { status: 400, message: 'Failed to deserialize query string. Error: missing field `ids`' }
    if (malformed !== undefined)
      return {
        status: 400,
        message: `Failed to deserialize query string. Error: "${malformed}" is no price feed id`,
      }
    if (missing.length > 0 && !query.flag('ignore_invalid_price_ids', false))
      return { status: 404, message: `Price ids not found: ${missing.join(', ')}` }
    const encoding = query.text('encoding') === 'base64' ? 'base64' : 'hex'
    return { ids: known.map(({ id }) => id), encoding, parsed: query.flag('parsed', true) }
  }

  function eventOf({ ids, encoding, parsed }: Omit<Stream, 'response'>): string {
    return `data:${JSON.stringify(hermesUpdate(feeds, ids, encoding, parsed))}\n\n`
  }

  return {
    url: await app.listen({ host: '127.0.0.1', port: 0 }),
    push(ticks) {
      feeds.update(ticks)
      if (ticks.length === 0) return
      // Every node asks for the same feeds, so one encoding serves them all.
      const events = new Map<string, string>()
      for (const stream of streams) {
        const key = `${stream.encoding} ${stream.parsed} ${stream.ids.join()}`
        const event = events.get(key) ?? eventOf(stream)
        events.set(key, event)
        write(stream.response, event)
      }
    },
    heartbeat() {
      for (const { response } of streams) write(response, ':\n\n')
    },
    stop: () => app.close(),
  }
}

function write(response: ServerResponse, text: string): void {
  if (response.writableLength > MAX_BUFFERED_BYTES) response.destroy()
  else response.write(text)
}

function attributesOf(base: string) {
  return {
    asset_type: 'Crypto',
    base,
    description: `${base} / US DOLLAR`,
    display_symbol: `${base}/USD`,
    generic_symbol: `${base}USD`,
    quote_currency: 'USD',
    symbol: `Crypto.${base}/USD`,
  }
}
