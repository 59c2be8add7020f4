import type { Socket } from 'node:net'
import type { Clock } from '@clearspan/shared'
import Fastify, {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
} from 'fastify'
import type { z } from 'zod'
import { limitConnections } from './connections.js'
import { HANDOVER_PATH } from './handover/message.js'
import { type AuthFailure, type PeerAuth, SESSION_PATH, type Sender } from './observation/auth.js'
import type { EvidenceStore } from './observation/evidence.js'
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

/** Real ms between comment lines of an idle stream: both ends notice a dead connection within a few of them. */
const STREAM_HEARTBEAT_MS = 5_000

/** Real ms in which a request must have come whole. */
const REQUEST_TIMEOUT_MS = 10_000

/** What is answered to a request that can't be read, by Node's code; any other is 400. */
const UNREADABLE: Readonly<Record<string, string>> = {
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  HPE_CHUNK_EXTENSIONS_OVERFLOW: '413 Payload Too Large',
}

export interface HttpParameters {
  /** At most so many connections at once; see `limitConnections`. */
  maxConnections: number
  requestTimeoutMs?: number
  realClock: Clock
  /** Epochs whose messages are read; of any other epoch a message has the shape of the first's. */
  epochs(): readonly { epoch: number; feeds: number; nodes: number }[]
  auth: Pick<PeerAuth, 'answer' | 'checkRequest'>
  receive(message: Unverified): Promise<Receipt>
  /** Takes what a peer says of the next epoch; its shape isn't checked. */
  receiveHandover(from: Sender, value: unknown): Promise<Receipt>
  /** A finished handover to an epoch, to the newest without it, as JSON text; null when there is none. */
  handover(epoch?: number): string | null
  /** Counts a body that is no such message. */
  onInvalid(kind: MessageKind | 'handover'): void
  /** Counts a message whose sender is no peer. */
  onUnauthenticated(failure: AuthFailure): void
  /** Counts a request that HTTP itself refuses: too large a body, another content type, broken headers, no such path; and a connection that is ended. */
  onRefused(code: string): void
  /** Newest finished report as JSON text, or null before the first. */
  latest(): FinishedJson | null
  /** Calls back for every finished report until the returned function is called. */
  subscribe(listener: (report: FinishedJson) => void): () => void
  /** Proofs of faulty nodes: their names, and the text of one. */
  evidence: Pick<EvidenceStore, 'names' | 'read'>
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
  const { onRefused, maxConnections, requestTimeoutMs = REQUEST_TIMEOUT_MS } = parameters
  const server = Fastify({
    bodyLimit: MAX_BODY_BYTES,
    forceCloseConnections: true,
    requestTimeout: requestTimeoutMs,
    http: { headersTimeout: requestTimeoutMs, connectionsCheckingInterval: requestTimeoutMs / 2 },
    clientErrorHandler: (error, socket) => refuseUnreadable(error.code ?? 'internal', socket, onRefused),
  })
  limitConnections(server.server, maxConnections, () => onRefused('too_many_connections'))
  // A body is looked into only once its sender is known, and the signature is over its bytes.
  server.removeAllContentTypeParsers()
  server.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_, body, done) => done(null, body))
  server.setErrorHandler((error: Partial<FastifyError>, _, reply) => {
    const status = error.statusCode !== undefined && error.statusCode >= 400 ? error.statusCode : 500
    const reason = error.code ?? 'internal'
    onRefused(reason)
    return reply.code(status).send({ status: 'rejected', reason })
  })
  server.setNotFoundHandler((_, reply) => {
    onRefused('not_found')
    return reply.code(404).send({ status: 'rejected', reason: 'not_found' })
  })
  addMessageRoutes(server, parameters)
  addReportRoutes(server, parameters)
  server.get<{ Params: { epoch: string } }>('/handover/:epoch', (request, reply) => {
    const { epoch } = request.params
    const text = parameters.handover(epoch === 'latest' ? undefined : Number(epoch))
    if (text === null) return reply.code(404).send({ error: 'no such handover' })
    return reply.type('application/json').send(text)
  })
  server.get('/evidence', () => parameters.evidence.names())
  server.get<{ Params: { name: string } }>('/evidence/:name', async (request, reply) => {
    const text = await parameters.evidence.read(request.params.name)
    if (text === null) return reply.code(404).send({ error: 'no such proof' })
    return reply.type('application/json').send(text)
  })
  server.get('/health', (_, reply) => {
    const { healthy, body } = parameters.health()
    return reply.code(healthy ? 200 : 503).send(body)
  })
  server.get('/metrics', async (_, reply) =>
    reply.type('text/plain; version=0.0.4').send(await parameters.metrics()),
  )
  return server
}

/** A connection whose bytes are no request: counted, answered and closed, once. */
function refuseUnreadable(code: string, socket: Socket, onRefused: (code: string) => void): void {
  // It has gone by itself, or was refused before: one reading may hold several faults.
  if (!socket.writable) return
  onRefused(code)
  const status = UNREADABLE[code] ?? '400 Bad Request'
  socket.write(`HTTP/1.1 ${status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`)
  socket.destroySoon()
}

function addMessageRoutes(server: FastifyInstance, parameters: HttpParameters) {
  const { epochs, receive, auth } = parameters
  const schemas = new Map<string, ReturnType<typeof wireSchemas>>()

  /** The shapes of an epoch's messages; making a schema costs more than reading a message by it. */
  function schemasOf(epoch: unknown) {
    const known = epochs()
    const { feeds, nodes } = known.find((one) => one.epoch === epoch) ?? known[0] ?? { feeds: 0, nodes: 0 }
    const key = `${feeds} ${nodes}`
    const made = schemas.get(key) ?? wireSchemas(feeds, nodes)
    schemas.set(key, made)
    return made
  }

  const bytesOf = ({ body }: FastifyRequest) => (body instanceof Uint8Array ? body : new Uint8Array())
  function refuse(reply: FastifyReply, reason: AuthFailure) {
    parameters.onUnauthenticated(reason)
    return reply.code(401).send({ status: 'rejected', reason })
  }
  server.post(SESSION_PATH, async (request, reply) => {
    const answer = await auth.answer(bytesOf(request))
    if ('failure' in answer) return refuse(reply, answer.failure)
    return reply.type('application/json').send(answer.body)
  })

  function route(
    kind: MessageKind | 'handover',
    path: string,
    take: (from: Sender, value: unknown) => Promise<Receipt>,
  ) {
    server.post(path, async (request, reply) => {
      const body = bytesOf(request)
      const caller = auth.checkRequest(request.headers, 'POST', path, body)
      if ('failure' in caller) return refuse(reply, caller.failure)
      const receipt = await take(caller.from, parseJson(body))
      if (receipt.status === 'rejected' && receipt.reason === 'invalid_body') parameters.onInvalid(kind)
      const answer = JSON.stringify(receipt)
      const status = statusOf(receipt)
      return reply.code(status).headers(caller.sign(status, answer)).type('application/json').send(answer)
    })
  }
  for (const kind of ['observation', 'proposal', 'signature'] as const)
    route(kind, messagePaths[kind], async (_, value) => {
      const schema: z.ZodType = schemasOf(epochOf(value))[kind]
      const parsed = schema.safeParse(value)
      if (!parsed.success) return { status: 'rejected', reason: 'invalid_body' }
      return receive({ kind, message: parsed.data } as Unverified)
    })
  route('handover', HANDOVER_PATH, parameters.receiveHandover)
}

function epochOf(value: unknown): unknown {
  return typeof value === 'object' && value !== null && 'epoch' in value ? value.epoch : undefined
}

function statusOf(receipt: Receipt): number {
  if (receipt.status !== 'rejected') return 202
  return receipt.reason === 'invalid_body' ? 400 : 403
}

function parseJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
  } catch {
    return undefined
  }
}

/** Reports are public, and a web page's transaction may carry one. */
const ANY_ORIGIN = { 'access-control-allow-origin': '*' }

function addReportRoutes(server: FastifyInstance, { latest, subscribe, realClock }: HttpParameters) {
  server.get('/reports/latest', (_, reply) => {
    reply.headers(ANY_ORIGIN)
    const report = latest()
    if (!report) return reply.code(404).send({ error: 'no report yet' })
    return reply.type('application/json').send(report.json)
  })
  // A HEAD of it would be a stream, too, that never says anything.
  server.get('/reports/stream', { exposeHeadRoute: false }, (request, reply) => {
    reply.hijack()
    const stream = reply.raw
    const closed = new AbortController()
    stream.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      ...ANY_ORIGIN,
    })
    const write = (text: string) => {
      // A reader that doesn't keep up, or is gone without a word, is cut off: it needs the newest report, never a backlog.
      if (stream.writableNeedDrain) stream.destroy()
      else stream.write(text)
    }
    const send = ({ seq, json }: FinishedJson) => write(`id: ${seq}\ndata: ${json}\n\n`)
    stream.flushHeaders()
    const newest = latest()
    // Who connects again says which it had last; anything else there is no seq of ours.
    if (newest && request.headers['last-event-id'] !== newest.seq) send(newest)
    const unsubscribe = subscribe(send)
    const end = () => {
      unsubscribe()
      closed.abort()
    }
    request.raw.on('close', end)
    stream.on('error', end)
    stream.on('close', end)
    void beat()

    async function beat() {
      while (!closed.signal.aborted) {
        await realClock.sleep(STREAM_HEARTBEAT_MS, closed.signal).catch(() => {})
        if (!closed.signal.aborted) write(': alive\n\n')
      }
    }
  })
}
