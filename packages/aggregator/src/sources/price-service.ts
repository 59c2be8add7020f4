import { PriceServiceConnection } from '@pythnetwork/price-service-client'
import { type Attempt, type ConnectionParameters, keepConnected } from './connection.js'
import { rejected } from './decimal.js'
import { decodePythPrice } from './pyth.js'

/**
 * Runs a Pyth Price Service v1 subscription (WebSocket by the vendor's client) until aborted. Market symbols are price feed ids.
 * The client reconnects by itself with an unbounded backoff, so the silence watch replaces the whole client in the end.
 */
export function runPriceService(parameters: ConnectionParameters, signal: AbortSignal): Promise<void> {
  return keepConnected(parameters, (attempt) => subscribeOnce(parameters, attempt), signal)
}

async function subscribeOnce(
  { url, markets, book, networkClock, logger }: ConnectionParameters,
  attempt: Attempt,
): Promise<void> {
  const ignore = () => {}
  const log = (...details: unknown[]) =>
    logger.debug({ details: details.map(String) }, 'price service client')
  const client = new PriceServiceConnection(url, {
    logger: { trace: ignore, debug: ignore, info: ignore, warn: log, error: log },
    priceFeedRequestConfig: { verbose: true },
  })
  try {
    await new Promise<void>((resolve, reject) => {
      attempt.signal.addEventListener('abort', () => resolve(), { once: true })
      if (attempt.signal.aborted) resolve()
      // The default handler ends the process. An error of the system ends this connection; all others are frames that the client
      // can't read, or the service's complaints, and it goes on after them.
      client.onWsError = (error) => {
        if (attempt.signal.aborted) return
        if ('code' in error) reject(error)
        else
          book.take(
            rejected(error instanceof SyntaxError ? 'malformed' : 'unexpected_shape'),
            networkClock.now(),
          )
      }
      const ids = markets.map(({ symbol }) => symbol)
      client
        .subscribePriceFeedUpdates(ids, (feed) => {
          attempt.alive()
          book.setConnected(true)
          const tick = decodePythPrice(toWire(feed))
          book.take(
            typeof tick === 'string' ? rejected(tick) : { kind: 'ticks', ticks: [tick] },
            networkClock.now(),
          )
        })
        .catch(reject)
    })
  } finally {
    client.closeWebSocket()
  }
}

/** The client hands on unchecked JSON under typed names; it goes through the same decoder as every other Pyth price. */
function toWire(feed: Parameters<Parameters<PriceServiceConnection['subscribePriceFeedUpdates']>[1]>[0]) {
  const { price, conf, expo, publishTime } = feed.getPriceUnchecked()
  return {
    id: feed.id,
    price: { price, conf, expo, publish_time: publishTime },
    metadata: { slot: feed.metadata?.slot },
  }
}
