import { type Logger, type Metrics, UserError, wordSchema } from '@clearspan/shared'
import Fastify, { type FastifyError, type FastifyInstance, type FastifyReply } from 'fastify'
import type { Hex } from 'viem'
import type { Health } from './health.js'

export interface HttpOptions {
  metrics: Metrics
  /** Everything that an operator may see; bigint-free. */
  status(): Promise<object>
  health(): Health
  /** Packets and compose calls that are not delivered, by destination. */
  packets(): object
  /** Tries one again at once; false when there is none of this guid. */
  replay(guid: Hex): boolean
  logger: Logger
}

/** No request needs a body. */
const MAX_BODY_BYTES = 1_024

/**
 * The relayer's HTTP interface: /health for probes, /metrics for Prometheus, /status for people and reports, /packets for what is stuck. It is for
 * its operator alone.
 */
export function createHttp({
  metrics,
  status,
  health,
  packets,
  replay,
  logger,
}: HttpOptions): FastifyInstance {
  const refuse = (err: Partial<FastifyError>, _: unknown, reply: FastifyReply) => {
    const code = err.statusCode ?? 500
    if (code < 500) return void reply.code(code).send({ error: err.code })
    // Its text stays in the log: an error of a node may name the node's URL with its key.
    logger.error({ err }, 'a request failed')
    return void reply.code(code).send({ error: 'internal' })
  }
  const server = Fastify({
    forceCloseConnections: true,
    bodyLimit: MAX_BODY_BYTES,
    frameworkErrors: refuse,
  })
  server.removeAllContentTypeParsers()
  server.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, _body, done) => done(null))
  server.setErrorHandler(refuse)
  server.setNotFoundHandler((_, reply) => reply.code(404).send({ error: 'no such path' }))
  server.get('/health', (_, reply) => {
    const { healthy, body } = health()
    return reply.code(healthy ? 200 : 503).send(body)
  })
  server.get('/metrics', async (_, reply) =>
    reply.type('text/plain; version=0.0.4').send(await metrics.text()),
  )
  server.get('/status', () => status())
  server.get('/packets', () => packets())
  server.post<{ Params: { guid: string } }>('/packets/:guid/replay', ({ params: { guid } }, reply) => {
    const parsed = wordSchema.safeParse(guid)
    if (!parsed.success) return reply.code(400).send({ error: 'a guid is 0x and 64 hex digits' })
    const found = replay(parsed.data.toLowerCase() as Hex)
    return reply.code(found ? 202 : 404).send({ status: found ? 'tried again' : 'no such packet waits here' })
  })
  return server
}

/** Answers the URL. @throws UserError when the port is taken. */
export async function listen(
  server: FastifyInstance,
  { host, port }: { host: string; port: number },
): Promise<string> {
  return server.listen({ host, port }).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE')
      throw new UserError('http.port', `${port} on ${host} is in use; free it or choose another`)
    throw error
  })
}
