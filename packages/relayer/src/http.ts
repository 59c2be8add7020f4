import { type Metrics, UserError } from '@clearspan/shared'
import Fastify, { type FastifyInstance } from 'fastify'
import type { Health } from './health.js'

export interface HttpOptions {
  metrics: Metrics
  /** Everything that an operator may see; bigint-free. */
  status(): Promise<object>
  health(): Health
}

/** The relayer's HTTP interface: /health for probes, /metrics for Prometheus, /status for people and reports. */
export function createHttp({ metrics, status, health }: HttpOptions): FastifyInstance {
  const server = Fastify({ forceCloseConnections: true })
  server.get('/health', (_, reply) => {
    const { healthy, body } = health()
    return reply.code(healthy ? 200 : 503).send(body)
  })
  server.get('/metrics', async (_, reply) =>
    reply.type('text/plain; version=0.0.4').send(await metrics.text()),
  )
  server.get('/status', () => status())
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
