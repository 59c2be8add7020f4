import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A request as JSON-RPC has it. */
export interface RpcRequest {
  id?: unknown
  method: string
  params?: readonly unknown[]
}

/** An answer as JSON-RPC has it. */
export interface RpcAnswer {
  id?: unknown
  result?: unknown
  error?: { code: number; message: string }
}

/** What the node behind says. @throws when it doesn't answer. */
type Ask = (request: RpcRequest) => Promise<RpcAnswer>

/** How a node answers: in JSON-RPC, in other words of HTTP, half of it, or not at all. */
export type Answer =
  | RpcAnswer
  | { status: number; headers?: Record<string, string>; body?: string }
  | { half: RpcAnswer }
  | 'hang'
  | 'cut'

/** What a node makes of a request. */
export type Fault = (request: RpcRequest, ask: Ask) => Answer | Promise<Answer>

export const honest: Fault = (request, ask) => ask(request)

/** Answers what `tamper` makes of the truth. */
export function lies(tamper: (request: RpcRequest, result: unknown) => unknown): Fault {
  return async (request, ask) => {
    const answer = await ask(request)
    return 'result' in answer ? { ...answer, result: tamper(request, answer.result) } : answer
  }
}

/** Knows blocks only up to `top` of the real height, and says so as honest nodes do. */
export function lags(top: (height: bigint) => bigint): Fault {
  return async (request, ask) => {
    const { result: height } = await ask({ id: 0, method: 'eth_blockNumber', params: [] })
    const known = top(BigInt(String(height)))
    const hex = `0x${known.toString(16)}`
    const cap = (tag: unknown) =>
      typeof tag === 'string' && tag.startsWith('0x') && BigInt(tag) <= known ? tag : hex
    const { id, method, params = [] } = request
    if (method === 'eth_blockNumber') return { id, result: hex }
    if (method === 'eth_getBlockByNumber') {
      const [tag, full] = params
      if (tag === 'latest' || tag === 'pending') return ask({ ...request, params: [hex, full] })
      if (tag === 'finalized') {
        const { result } = await ask(request)
        const then = BigInt((result as { number: string }).number) - BigInt(String(height)) + known
        return ask({ ...request, params: [`0x${then.toString(16)}`, full] })
      }
    }
    if (method === 'eth_getLogs') {
      const { fromBlock, toBlock, blockHash } = params[0] as Record<string, string | undefined>
      if (blockHash !== undefined) {
        const block = await ask({ id: 0, method: 'eth_getBlockByHash', params: [blockHash, false] })
        if (block.result === null || BigInt((block.result as { number: string }).number) > known)
          return { id, error: { code: -32_000, message: 'unknown block' } }
      } else if (BigInt(fromBlock ?? 0) > known) return { id, result: [] }
      else return ask({ ...request, params: [{ ...(params[0] as object), toBlock: cap(toBlock) }] })
    }
    if (method === 'eth_call') return ask({ ...request, params: [params[0], cap(params[1])] })
    const answer = await ask(request)
    const found = answer.result as { number?: string; blockNumber?: string } | null | undefined
    const at = found?.number ?? found?.blockNumber
    return typeof at === 'string' && BigInt(at) > known ? { id, result: null } : answer
  }
}

/** Has stopped at the height that it has at its first request. */
export function freezes(): Fault {
  let at: bigint | undefined
  return lags((height) => {
    at ??= height
    return at
  })
}

/** Too many requests, in HTTP's words, or EIP-1474's. */
export function limits(how: { retryAfter?: string } | { code: number } = {}): Fault {
  if ('code' in how) return ({ id }) => ({ id, error: { code: how.code, message: 'limit exceeded' } })
  const headers = how.retryAfter === undefined ? {} : { 'retry-after': how.retryAfter }
  return () => ({ status: 429, headers })
}

export const hangs: Fault = () => 'hang'
export const cuts: Fault = () => 'cut'
export const truncates: Fault = async (request, ask) => ({ half: await ask(request) })
export const babbles: Fault = () => ({ status: 200, body: '<html>Bad gateway</html>' })
/** Answers each request as if it were the one before. */
export function mixesUp(): Fault {
  let before: RpcRequest | undefined
  return (request, ask) => {
    const asked = before ?? request
    before = request
    return ask(asked)
  }
}

export interface RpcProxy {
  url: string
  /** Methods asked for so far, in order. */
  asked: string[]
  /** From now on it answers like this. What hangs is cut. */
  set(fault: Fault): void
  close(): Promise<void>
}

/** A node in front of a chain's own. */
export async function startProxy(rpcUrl: string, first: Fault = honest): Promise<RpcProxy> {
  let fault = first
  const asked: string[] = []
  const hanging = new Set<ServerResponse>()
  const cutAll = () => {
    for (const response of hanging) response.destroy()
    hanging.clear()
  }
  const ask: Ask = async (request) => {
    const headers = { 'content-type': 'application/json' }
    const body = JSON.stringify({ jsonrpc: '2.0', ...request })
    return (await (await fetch(rpcUrl, { method: 'POST', body, headers })).json()) as RpcAnswer
  }
  const server = createServer(async (request, response) => {
    try {
      const body = JSON.parse(Buffer.concat(await request.toArray()).toString()) as RpcRequest
      asked.push(body.method)
      const answer = await fault(body, ask)
      if (answer === 'hang') hanging.add(response)
      else give(response, answer)
    } catch {
      response.destroy()
    }
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    set(next) {
      fault = next
      cutAll()
    },
    async close() {
      cutAll()
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

function give(response: ServerResponse, answer: Exclude<Answer, 'hang'>): void {
  if (answer === 'cut') return void response.destroy()
  if ('status' in answer) return void response.writeHead(answer.status, answer.headers).end(answer.body ?? '')
  const half = 'half' in answer ? answer.half : undefined
  const text = JSON.stringify({ jsonrpc: '2.0', ...(half ?? answer) })
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) })
  if (half === undefined) return void response.end(text)
  response.write(text.slice(0, text.length / 2), () => response.destroy())
}
