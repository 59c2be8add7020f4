import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type RawData, type WebSocket, WebSocketServer } from 'ws'

const HOST = '127.0.0.1'
const MAX_FRAME_BYTES = 1 << 20

/** A client that lets so much pile up is dropped, as venues do. */
const MAX_BUFFERED_BYTES = 8 << 20

/** A WebSocket server with a state of its own for each client. */
export interface SocketServer<Client> {
  /** `ws://127.0.0.1:PORT`, without a path. */
  origin: string
  clients: ReadonlyMap<WebSocket, Client>
  stop(): Promise<void>
}

export interface SocketServerParameters<Client> {
  /** Only this path is served; any path when absent. */
  path?: string
  /** An HTTP server that already listens; by default one of its own on a free port. */
  server?: Server
  /** State of a new client. `requestUrl` is the path and query it connected to. */
  connect(socket: WebSocket, requestUrl: string): Client
  /** A text message as JSON; undefined when it is none. */
  receive(message: unknown, socket: WebSocket, client: Client): void
}

/** Listens on loopback. Given a server, stopping ends the clients and leaves that server to its owner. */
export async function startSocketServer<Client>({
  path,
  server,
  connect,
  receive,
}: SocketServerParameters<Client>): Promise<SocketServer<Client>> {
  const http = server ?? createServer((_request, response) => void response.writeHead(426).end())
  const sockets = new WebSocketServer({
    server: http,
    maxPayload: MAX_FRAME_BYTES,
    ...(path ? { path } : {}),
  })
  const clients = new Map<WebSocket, Client>()
  sockets.on('connection', (socket, request) => {
    const client = connect(socket, request.url ?? '/')
    clients.set(socket, client)
    socket.on('message', (data) => receive(parseJson(data), socket, client))
    // A reset connection ends in `close` all the same.
    socket.on('error', () => socket.terminate())
    socket.on('close', () => clients.delete(socket))
  })
  if (server === undefined) {
    http.listen(0, HOST)
    await once(http, 'listening')
  }
  return {
    origin: `ws://${HOST}:${(http.address() as AddressInfo).port}`,
    clients,
    async stop() {
      for (const socket of clients.keys()) socket.terminate()
      await new Promise((resolve) => sockets.close(resolve))
      if (server === undefined) {
        http.closeAllConnections()
        await new Promise((resolve) => http.close(resolve))
      }
    },
  }
}

function parseJson(data: RawData): unknown {
  try {
    return JSON.parse(data.toString())
  } catch {
    return undefined
  }
}

/** Sends JSON, or ready text, to a client that can keep up. */
export function send(socket: WebSocket, message: object | string): void {
  if (socket.readyState !== socket.OPEN) return
  if (socket.bufferedAmount > MAX_BUFFERED_BYTES) socket.terminate()
  else socket.send(typeof message === 'string' ? message : JSON.stringify(message))
}

/** The fields of a JSON object; none for anything else. */
export function fieldsOf(message: unknown): Record<string, unknown> {
  return typeof message === 'object' && message !== null && !Array.isArray(message)
    ? (message as Record<string, unknown>)
    : {}
}

/** The array when every element is a string, else undefined. */
export function stringsOf(value: unknown): string[] | undefined {
  return Array.isArray(value) && value.every((item) => typeof item === 'string') ? value : undefined
}
