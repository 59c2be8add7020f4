import Fastify, { type FastifyInstance } from 'fastify'
import type { z } from 'zod'
import type { MessageKind } from './observation/message.js'
import { messagePaths, type Unverified } from './observation/verify.js'
import { wireSchemas } from './observation/wire.js'

/** 48 feeds of 31 nodes are some 60 kB. */
const MAX_BODY_BYTES = 256 * 1024

/** What became of a peer's message; every rejection is an HTTP error, an ignored one is not. */
export type Receipt =
  | { status: 'accepted' }
  | { status: 'ignored'; reason: string }
  | { status: 'rejected'; reason: string }

export interface HttpParameters {
  feeds: number
  nodes: number
  receive(message: Unverified): Promise<Receipt>
  /** Counts a body that is no such message. */
  onInvalid(kind: MessageKind): void
  /** Newest finished report as JSON text, or null before the first. */
  latest(): FinishedJson | null
  /** Calls back for every finished report until the returned function is called. */
  subscribe(listener: (report: FinishedJson) => void): () => void
  health(): { healthy: boolean; body: object }
  metrics(): Promise<string>
}

/** A finished report, ready to be sent. */
export interface FinishedJson {
  seq: string
  json: string
}

/** A node's HTTP interface; `listen` is left to the caller. */
export function createHttp(parameters: HttpParameters): FastifyInstance {
  const server = Fastify({ bodyLimit: MAX_BODY_BYTES, forceCloseConnections: true })
  addMessageRoutes(server, parameters)
  addReportRoutes(server, parameters)
  server.get('/health', (_, reply) => {
    const { healthy, body } = parameters.health()
    return reply.code(healthy ? 200 : 503).send(body)
  })
  server.get('/metrics', async (_, reply) =>
    reply.type('text/plain; version=0.0.4').send(await parameters.metrics()),
  )
  return server
}

function addMessageRoutes(server: FastifyInstance, { feeds, nodes, receive, onInvalid }: HttpParameters) {
  const schemas = wireSchemas(feeds, nodes)
  function route<Kind extends MessageKind>(kind: Kind, schema: (typeof schemas)[Kind]) {
    server.post(messagePaths[kind], async (request, reply) => {
      const parsed = (schema as z.ZodType).safeParse(request.body)
      if (!parsed.success) {
        onInvalid(kind)
        return reply.code(400).send({ status: 'rejected', reason: 'invalid_body' })
      }
      const receipt = await receive({ kind, message: parsed.data } as Unverified)
      return reply.code(receipt.status === 'rejected' ? 403 : 202).send(receipt)
    })
  }
  route('observation', schemas.observation)
  route('proposal', schemas.proposal)
  route('signature', schemas.signature)
}

function addReportRoutes(server: FastifyInstance, { latest, subscribe }: HttpParameters) {
  server.get('/reports/latest', (_, reply) => {
    const report = latest()
    if (!report) return reply.code(404).send({ error: 'no report yet' })
    return reply.type('application/json').send(report.json)
  })
  server.get('/reports/stream', (request, reply) => {
    reply.hijack()
    const stream = reply.raw
    stream.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
    const write = ({ seq, json }: FinishedJson) => {
      // A reader that doesn't keep up is cut off and reconnects: it needs the newest report, never a backlog.
      if (stream.writableNeedDrain) stream.destroy()
      else stream.write(`id: ${seq}\ndata: ${json}\n\n`)
    }
    stream.flushHeaders()
    const newest = latest()
    if (newest) write(newest)
    const unsubscribe = subscribe(write)
    request.raw.on('close', unsubscribe)
    stream.on('error', unsubscribe)
    stream.on('close', unsubscribe)
  })
}
