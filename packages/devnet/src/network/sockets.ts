import { once } from 'node:events'
import { type AddressInfo, createServer, type Server } from 'node:net'

/**
 * Sockets that listen on free ports of loopback, for children to inherit: peers must know each other's ports before any of them runs, and a
 * port that is only chosen may be another's by then. They serve nobody until a child does.
 */
export async function openSockets(count: number): Promise<Server[]> {
  const sockets = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'))
  await Promise.all(sockets.map((socket) => once(socket, 'listening')))
  return sockets
}

/** The port of a listening socket. */
export function portOf(socket: Server): number {
  return (socket.address() as AddressInfo).port
}
