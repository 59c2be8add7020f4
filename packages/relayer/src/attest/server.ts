import { type Clock, type Logger, type Metrics, PermanentError } from '@clearspan/shared'
import Fastify, { type FastifyError, type FastifyInstance } from 'fastify'
import type { Address, Hex } from 'viem'
import { isAuthentic } from './auth.js'
import type { Operator } from './operator.js'
import { type AttestKind, attestPaths, attestRequestSchema, MAX_REQUEST_BYTES } from './wire.js'

/** Questions answered at a time: each costs requests to nodes. */
const MAX_ACTIVE = 16

export interface AttestServerOptions {
  operator: Operator
  networkId: Hex
  /** Who may ask: addresses whose keys sign requests. */
  askers: readonly Address[]
  clock: Clock
  logger: Logger
  metrics: Metrics
}

/** An operator's HTTP interface: `POST /attest/root`, `POST /attest/dvn`, `GET /health`, `GET /metrics`. */
export function createAttestServer(options: AttestServerOptions): FastifyInstance {
  const { metrics, operator } = options
  const server = Fastify({ bodyLimit: MAX_REQUEST_BYTES, forceCloseConnections: true })
  // Nothing of a body is looked into before its sender is known.
  server.removeAllContentTypeParsers()
  server.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_, body, done) => done(null, body))
  server.setErrorHandler((error: Partial<FastifyError>, _, reply) =>
    reply.code(error.statusCode ?? 500).send({ error: error.code ?? 'internal' }),
  )
  const answer = createAnswering(options)
  for (const kind of ['attestor', 'dvn'] as const)
    server.post(attestPaths[kind], async ({ headers, body }, reply) => {
      const { status, body: said } = await answer(
        kind,
        headers,
        body instanceof Uint8Array ? body : new Uint8Array(),
      )
      return reply.code(status).send(said)
    })
  server.get('/health', () => ({ status: 'ok', operator: operator.address }))
  server.get('/metrics', async (_, reply) =>
    reply.type('text/plain; version=0.0.4').send(await metrics.text()),
  )
  return server
}

function createAnswering({ operator, networkId, askers, clock, logger, metrics }: AttestServerOptions) {
  const counted = metrics.counter('attest_requests_total', 'Requests to attest packets', ['kind', 'outcome'])
  const refused = metrics.counter('attest_refused_total', 'Packets not attested', ['reason'])
  let active = 0

  return async (
    kind: AttestKind,
    headers: Readonly<Record<string, unknown>>,
    body: Uint8Array,
  ): Promise<{ status: number; body: object }> => {
    const end = (outcome: string, status: number, said: object = { error: outcome }) => {
      counted.inc({ kind, outcome })
      return { status, body: said }
    }
    const asked = { networkId, operator: operator.address, path: attestPaths[kind], body }
    if (!(await isAuthentic(headers, askers, clock, asked))) return end('unauthenticated', 401)
    const parsed = attestRequestSchema.safeParse(parseJson(body))
    if (!parsed.success) return end('invalid', 400)
    if (active >= MAX_ACTIVE) return end('busy', 503)
    active++
    try {
      const answer = await operator.answer(kind, parsed.data)
      if ('signatures' in answer) return end('signed', 200, answer)
      for (const { reason } of answer.refused) refused.inc({ reason })
      return end('refused', 200, answer)
    } catch (err) {
      logger.warn({ err, kind }, 'not attested')
      const isWrong = err instanceof PermanentError
      return isWrong ? end('wrong', 409, { error: err.message }) : end('failed', 503)
    } finally {
      active--
    }
  }
}

function parseJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
  } catch {
    return undefined
  }
}
