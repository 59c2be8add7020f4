import {
  bookAround,
  formatPrice,
  type LiveTick,
  type SimulatorParameters,
  type SourceSimulator,
} from './feed.js'
import { fieldsOf, send, startSocketServer, stringsOf } from './server.js'

/** Without a ping for so long the venue hangs up. In heartbeats of one real second. */
const PING_WITHIN = 60

/** Most topics of one spot request. */
const MAX_TOPICS = 10

interface Client {
  topics: Set<string>
  lastPing: number
}

/** Bybit v5 public spot WebSocket: topic `orderbook.1.SYMBOL`, each push a snapshot; `{"op":"ping"}` is answered. */
export async function startBybit({ markets, latest }: SimulatorParameters): Promise<SourceSimulator> {
  const known = new Set(markets.map(({ symbol }) => `orderbook.1.${symbol}`))
  let beats = 0
  const server = await startSocketServer<Client>({
    path: '/v5/public/spot',
    connect: () => ({ topics: new Set(), lastPing: beats }),
    receive(message, socket, client) {
      const { op, args, req_id = '' } = fieldsOf(message)
      const answer = (success: boolean, ret_msg: string) =>
        send(socket, { success, ret_msg, conn_id: '2324d924-aa4d-45b0-a858-7b8be29ab52b', req_id, op })
      if (op === 'ping') {
        client.lastPing = beats
        return answer(true, 'pong')
      }
      const topics = stringsOf(args)
      if ((op !== 'subscribe' && op !== 'unsubscribe') || topics === undefined)
        return answer(false, 'error:invalid op or args')
      if (topics.length > MAX_TOPICS) return answer(false, `args size >${MAX_TOPICS}`)
      const unknown = topics.find((topic) => !known.has(topic))
      if (unknown !== undefined) return answer(false, `error:handler not found,topic:${unknown}`)
      for (const topic of topics) {
        if (op === 'subscribe') client.topics.add(topic)
        else client.topics.delete(topic)
      }
      answer(true, op)
      if (op === 'unsubscribe') return
      for (const topic of topics) {
        const tick = latest(topic.slice(topic.lastIndexOf('.') + 1))
        if (tick !== undefined) send(socket, frameOf(tick))
      }
    },
  })
  return {
    url: `${server.origin}/v5/public/spot`,
    push(ticks) {
      if (server.clients.size === 0) return
      for (const tick of ticks) {
        const message = frameOf(tick)
        const frame = JSON.stringify(message)
        for (const [socket, { topics }] of server.clients) if (topics.has(message.topic)) send(socket, frame)
      }
    },
    heartbeat() {
      beats++
      for (const [socket, { lastPing }] of server.clients) if (beats - lastPing > PING_WITHIN) socket.close()
    },
    stop: server.stop,
  }
}

function frameOf({ market, price, eventMs, sequence }: LiveTick) {
  const { bid, ask } = bookAround(price)
  const [b, a] = [[[formatPrice(bid), '1']], [[formatPrice(ask), '1']]]
  const data = { s: market.symbol, b, a, u: sequence, seq: sequence }
  return { topic: `orderbook.1.${market.symbol}`, ts: eventMs, type: 'snapshot', data, cts: eventMs }
}
