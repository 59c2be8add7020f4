import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import {
  type Abi,
  type Address,
  decodeFunctionData,
  encodeErrorResult,
  encodeFunctionResult,
  type Hex,
  parseAbi,
  toHex,
} from 'viem'
import type { Cleanups } from './venue.test-util.js'

export const CHAIN_ID = 31_337

/** A contract whose every call reverts, or of which some do. */
export const REVERTS = Symbol('reverts')

/** What the functions of a contract answer; a function of its arguments where they matter. */
export interface TestContract {
  abi: Abi
  answers: Record<string, unknown>
}

/** A block: its time in unix seconds, and the contracts as they are in it, by address. */
export interface TestBlock {
  number: bigint
  timestamp: bigint
  contracts: Record<string, TestContract>
}

/** Answers a request in place of the chain: true when it did. */
export type Twist = (method: string, response: ServerResponse, id: number) => boolean

export const reply = (response: ServerResponse, id: number, content: object) =>
  response
    .writeHead(200, { 'content-type': 'application/json' })
    .end(JSON.stringify({ jsonrpc: '2.0', id, ...content }))

/** An RPC on loopback of a chain that a test makes block by block. Every block stays to be asked for, as each reading names its own. */
export async function startRpc(cleanups: Cleanups, port = 0) {
  const blocks = new Map<bigint, TestBlock>()
  let head: TestBlock | undefined
  const state = {
    twist: undefined as Twist | undefined,
    /** Makes something else of an answer's text. */
    spoil: undefined as ((text: string) => string | Buffer) | undefined,
    requests: [] as { method: string; headers: IncomingHttpHeaders }[],
  }

  function result(method: string, params: [{ to: string; data: Hex }, Hex]): object {
    if (method === 'eth_chainId') return { result: toHex(CHAIN_ID) }
    if (method === 'eth_getBlockByNumber' && head) {
      const [number, timestamp] = [toHex(head.number), toHex(head.timestamp)]
      return { result: { number, timestamp, hash: toHex(head.number, { size: 32 }), transactions: [] } }
    }
    if (method !== 'eth_call') return { error: { code: -32_601, message: 'method not found' } }
    const [{ to, data }, tag] = params
    const block = blocks.get(BigInt(tag))
    if (!block) return { error: { code: -32_001, message: 'header not found' } }
    const contract = block.contracts[to.toLowerCase()]
    return contract ? callOf(contract, data) : { result: '0x' }
  }

  const http = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk) => {
      body += chunk
    })
    request.on('end', () => {
      const { method, id, params } = JSON.parse(body)
      state.requests.push({ method, headers: request.headers })
      if (state.twist?.(method, response, id)) return
      const text = JSON.stringify({ jsonrpc: '2.0', id, ...result(method, params) })
      response.writeHead(200, { 'content-type': 'application/json' }).end(state.spoil?.(text) ?? text)
    })
  })
  http.listen(port, '127.0.0.1')
  await once(http, 'listening')
  const stop = () =>
    new Promise<void>((done) => {
      http.close(() => done())
      http.closeAllConnections()
    })
  cleanups.add(stop)
  const { port: taken } = http.address() as AddressInfo
  return Object.assign(state, {
    url: `http://127.0.0.1:${taken}`,
    port: taken,
    stop,
    endConnections: () => http.closeAllConnections(),
    /** The chain's newest block from now on; an older number is an RPC that has fallen behind. */
    mine(block: TestBlock) {
      blocks.set(block.number, block)
      head = block
    },
  })
}
/** A server that nothing may reach, and the revert of each of these contracts that would have a client ask it (EIP-3668). */
export async function startLookup(cleanups: { add(end: () => unknown): unknown }) {
  const asked: string[] = []
  const http = createServer((request, response) => {
    asked.push(request.url ?? '')
    response.end('{}')
  }).listen(0, '127.0.0.1')
  await once(http, 'listening')
  cleanups.add(
    () =>
      new Promise<void>((done) => {
        http.close(() => done())
        http.closeAllConnections()
      }),
  )
  const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}/looked-up`
  const abi = parseAbi(['error OffchainLookup(address, string[], bytes, bytes4, bytes)'])
  const revertOf = (contract: Address) => ({
    code: 3,
    message: 'execution reverted',
    data: encodeErrorResult({ abi, args: [contract, [url], '0x', '0x12345678', '0x'] }),
  })
  return { asked, revertOf }
}

export type TestRpc = Awaited<ReturnType<typeof startRpc>>

function callOf({ abi, answers }: TestContract, data: Hex): object {
  const { functionName, args } = decodeFunctionData({ abi, data })
  const answer = answers[functionName] ?? REVERTS
  const value = typeof answer === 'function' ? answer(...(args ?? [])) : answer
  if (value === REVERTS) return { error: { code: 3, message: 'execution reverted', data: '0x' } }
  return { result: encodeFunctionResult({ abi, functionName, result: value }) }
}
