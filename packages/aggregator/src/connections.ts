import { isIPv6, type Server, type Socket } from 'node:net'

/**
 * Keeps a server's connections at `max`. One too many ends the oldest of the address that has the most, the newcomer's own where several do: who
 * opens many displaces himself, and who opens one gets in. Calls `onEnded` for each that it ends.
 */
export function limitConnections(server: Server, max: number, onEnded: () => void): void {
  const open = new Map<string, Set<Socket>>()
  let count = 0

  function leave(owner: string, socket: Socket): void {
    const sockets = open.get(owner)
    if (!sockets?.delete(socket)) return
    count -= 1
    if (sockets.size === 0) open.delete(owner)
  }

  function displace(newcomer: string): void {
    const size = (owner: string) => open.get(owner)?.size ?? 0
    const owner = [...open.keys()].reduce((most, one) => (size(one) > size(most) ? one : most), newcomer)
    const [oldest] = open.get(owner) ?? []
    if (oldest === undefined) return
    // At once: its end is heard of only later, when more may have come.
    leave(owner, oldest)
    oldest.destroy()
    onEnded()
  }

  server.on('connection', (socket) => {
    const owner = ownerOf(socket.remoteAddress ?? '')
    const sockets = open.get(owner) ?? new Set()
    open.set(owner, sockets.add(socket))
    count += 1
    socket.once('close', () => leave(owner, socket))
    if (count > max) displace(owner)
  })
}

/** Whoever has one IPv6 address has the 2^64 around it. */
function ownerOf(address: string): string {
  return isIPv6(address) && !address.includes('.') ? prefixOf(address) : address
}

/** The first four groups. */
function prefixOf(address: string): string {
  const [head = '', tail] = address.split('::')
  const groups = head.split(':').filter((group) => group !== '')
  // '::' stands for zeros, as many groups as are missing.
  const after = tail === undefined ? [] : tail.split(':').filter((group) => group !== '')
  const zeros = tail === undefined ? 0 : 8 - groups.length - after.length
  return [...groups, ...Array<string>(zeros).fill('0'), ...after].slice(0, 4).join(':')
}
