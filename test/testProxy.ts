import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A request as JSON-RPC has it. */
export interface RpcRequest {
  method: string
  params?: readonly unknown[]
}

/** A node in front of a chain's own that answers what `tamper` makes of the truth. */
export async function startProxy(
  rpcUrl: string,
  tamper: (request: RpcRequest, result: unknown) => unknown,
): Promise<{ url: string; close(): Promise<void> }> {
  const server = createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray()).toString()
    const answer = await fetch(rpcUrl, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json' },
    })
      .then((answered) => answered.json() as Promise<{ result?: unknown }>)
      .catch(() => undefined)
    if (answer === undefined) return void response.destroy()
    if ('result' in answer) answer.result = tamper(JSON.parse(body) as RpcRequest, answer.result)
    response.setHeader('content-type', 'application/json').end(JSON.stringify(answer))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
