import { WebSocket } from 'ws'

/** A WebSocket client that keeps every frame until it is asked for. For tests only. */
export interface TestSocket {
  socket: WebSocket
  send(message: object | string): void
  /** The first frame, old or still to come, that fits; it is taken out. */
  next(fits: (frame: Record<string, unknown>) => boolean): Promise<Record<string, unknown>>
  /** Frames that arrived and were not taken. */
  pending(): Record<string, unknown>[]
}

export async function openSocket(url: string, opened: Set<WebSocket>): Promise<TestSocket> {
  const socket = new WebSocket(url)
  opened.add(socket)
  let frames: Record<string, unknown>[] = []
  const waiting = new Set<() => void>()
  socket.on('message', (data) => {
    // OKX answers a ping with a word that is no JSON.
    if (data.toString() !== 'pong') frames.push(JSON.parse(data.toString()))
    for (const wake of waiting) wake()
  })
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject))
  return {
    socket,
    send: (message) => socket.send(typeof message === 'string' ? message : JSON.stringify(message)),
    async next(fits) {
      for (;;) {
        const found = frames.find(fits)
        if (found !== undefined) {
          frames = frames.filter((frame) => frame !== found)
          return found
        }
        await new Promise<void>((resolve) => waiting.add(resolve))
        waiting.clear()
      }
    },
    pending: () => frames,
  }
}

/** The shape of JSON: its keys with the type of each value; of an array its first element. */
export function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.length === 0 ? [] : [shapeOf(value[0])]
  if (typeof value !== 'object' || value === null) return typeof value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, shapeOf(inner)]))
}
