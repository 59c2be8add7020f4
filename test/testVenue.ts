import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { Clock } from '@clearspan/shared'
import { WebSocketServer } from 'ws'

/** Real ms between ticks. */
const TICK_MS = 200

/** A venue in the plain replay format that quotes whatever it is asked for, each connection at the same prices. */
export interface TestVenue {
  url: string
  stop(): Promise<void>
}

/** @param price In USD, by symbol such as `ETH-USD`. */
export async function startTestVenue(clock: Clock, price: (symbol: string) => number): Promise<TestVenue> {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
  await once(server, 'listening')
  server.on('connection', (socket) => {
    socket.on('error', () => {})
    socket.once('message', (data) => {
      const { symbols } = JSON.parse(String(data)) as { symbols: string[] }
      let seq = 0
      const timer = setInterval(() => {
        seq += 1
        for (const symbol of symbols)
          socket.send(
            JSON.stringify({ type: 'tick', symbol, price: price(symbol).toFixed(4), ts: clock.now(), seq }),
          )
      }, TICK_MS)
      socket.on('close', () => clearInterval(timer))
    })
  })
  return {
    url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async stop() {
      for (const client of server.clients) client.terminate()
      server.close()
      await once(server, 'close')
    },
  }
}
