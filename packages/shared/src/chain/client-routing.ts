import {
  BaseError,
  createTransport,
  type EIP1193RequestFn,
  HttpRequestError,
  http,
  isHex,
  RpcRequestError,
  shouldThrow,
  type Transport,
} from 'viem'
import type { Clock } from '../clock.js'

/** Weight of the newest measurement in the average. */
const NEWEST = 0.3
/** Another backend takes over only when it needs less than this share of the first one's time: two nodes may be at different heights. */
const BETTER = 0.7
/** A backend that isn't first is measured again after so long, real ms. */
const REMEASURE_MS = 3_000
/** First and longest rest after a failure, real ms; it doubles in between. A node that says when to come back is obeyed up to the longest. */
const FIRST_REST_MS = 1_000
const MAX_REST_MS = 60_000
/** Before all are tried once more, real ms. */
const RETRY_MS = 150
/** A node so many blocks below what more than half of the nodes have told is behind. */
const BEHIND_BLOCKS = 2n
/** Cheap, alike on every node, and asked all the time: they measure. */
const MEASURING = new Set(['eth_blockNumber', 'eth_getBlockByNumber'])

/** Why a backend did not answer. What it answers, an error of JSON-RPC too, is no failure of its own. */
export type RpcFailure = 'limited' | 'unavailable'

export interface RoutingOptions {
  /** Real time. */
  clock: Clock
  /** Longest that one backend is waited for, real ms. */
  timeoutMs: number
  /** Backends, by place in the list, that are asked only when no other answers. */
  avoid?: ((index: number) => boolean) | undefined
  /** Hears of each failure of a backend, by place in the list. */
  onFailure?: ((index: number, failure: RpcFailure) => void) | undefined
}

interface Backend {
  index: number
  request: EIP1193RequestFn
  /** Average time of an answer; infinite before the first. */
  latencyMs: number
  /** In a row. */
  failures: number
  restsUntil: number
  measureAt: number
  /** Height that it has last told. */
  height: bigint
}

/**
 * A transport over several nodes of one chain that asks the fastest in good health and, when it fails, the next. Latency is measured on real
 * requests: now and then one goes to another node as well, and nobody waits for that answer, so a node that has recovered or become the
 * fastest is found without any request depending on it. No timer runs.
 */
export function routedTransport(urls: readonly string[], options: RoutingOptions): Transport<'routed'> {
  const { clock, timeoutMs } = options
  return ({ chain }) => {
    const backends = urls.map((url, index): Backend => {
      // viem's own retry would wait as long as a node's Retry-After says, be it a day.
      const { request } = http(url, { timeout: timeoutMs, retryCount: 0 })({ chain })
      return {
        index,
        request,
        latencyMs: Number.POSITIVE_INFINITY,
        failures: 0,
        restsUntil: 0,
        measureAt: 0,
        height: 0n,
      }
    })
    const ask = createAsking(options)
    const order = createOrder(backends, options)
    /** One at a time, after the answer that somebody waits for: neither is measured by the other's time. */
    const measureAnother = (args: RequestArguments, answered: Backend) => {
      if (!MEASURING.has(args.method)) return
      const [due] = backends
        .filter((other) => other !== answered && other.measureAt <= clock.now())
        .sort((a, b) => a.measureAt - b.measureAt)
      if (due !== undefined) ask(due, args).catch(() => {})
    }
    const askAll = async (args: RequestArguments, config: RequestConfig) => {
      let failure: unknown
      let isUnavailable = false
      for (const backend of order())
        try {
          const answer = await ask(backend, args, config)
          measureAnother(args, backend)
          return { answer }
        } catch (error) {
          if (config?.signal?.aborted || shouldThrow(error as Error)) throw error
          failure = error
          isUnavailable ||= failureOf(error) === 'unavailable'
        }
      return { failure, isUnavailable }
    }
    const request = async (args: RequestArguments, config?: RequestConfig) => {
      let result = await askAll(args, config)
      if (result.isUnavailable) {
        await clock.sleep(RETRY_MS, config?.signal)
        result = await askAll(args, config)
      }
      if ('failure' in result) throw result.failure
      return result.answer
    }
    return createTransport({
      key: 'routed',
      name: 'Routed JSON-RPC',
      type: 'routed',
      retryCount: 0,
      request: request as EIP1193RequestFn,
    })
  }
}

type RequestArguments = Parameters<EIP1193RequestFn>[0]
type RequestConfig = Parameters<EIP1193RequestFn>[1]

/** Asks one backend, and notes how it did. */
function createAsking({ clock, onFailure }: RoutingOptions) {
  return async (backend: Backend, args: RequestArguments, config?: RequestConfig): Promise<unknown> => {
    const startedAt = clock.now()
    const isMeasuring = MEASURING.has(args.method)
    if (isMeasuring) backend.measureAt = startedAt + REMEASURE_MS
    try {
      const answer = await backend.request(args as never, config)
      if (isMeasuring) {
        backend.height = heightOf(args, answer) ?? backend.height
        const tookMs = clock.now() - startedAt
        const isFirst = backend.latencyMs === Number.POSITIVE_INFINITY
        backend.latencyMs = isFirst ? tookMs : backend.latencyMs + NEWEST * (tookMs - backend.latencyMs)
      }
      Object.assign(backend, { failures: 0, restsUntil: 0 })
      return answer
    } catch (error) {
      const failure = failureOf(error)
      if (failure !== undefined && !config?.signal?.aborted) {
        const restMs = restOf(error, ++backend.failures, clock.now())
        backend.restsUntil = clock.now() + restMs
        backend.measureAt = backend.restsUntil
        onFailure?.(backend.index, failure)
      }
      throw error
    }
  }
}

/** The height that an answer tells, if any. @throws when it is no answer to such a request. */
function heightOf({ method, params }: RequestArguments, answer: unknown): bigint | undefined {
  const isHead = method === 'eth_blockNumber' || (params as readonly unknown[] | undefined)?.[0] === 'latest'
  if (!isHead && answer === null) return undefined
  const told = method === 'eth_blockNumber' ? answer : (answer as { number?: unknown } | undefined)?.number
  if (!isHex(told)) throw new TypeError(`${method} was answered by something else`)
  return isHead ? BigInt(told) : undefined
}

/** Those in good health by latency, then those behind the height that more than half have reached, then those whose last request failed by the end of their rest, then those to avoid. */
function createOrder(backends: readonly Backend[], { avoid = () => false }: RoutingOptions) {
  let first = backends[0]
  const latencyOf = (one: Backend) => (one === first ? one.latencyMs * BETTER : one.latencyMs)
  return (): Backend[] => {
    const heights = backends.map(({ height }) => height).sort((a, b) => (a > b ? -1 : 1))
    const reached = heights[Math.floor(heights.length / 2)] ?? 0n
    const isBehind = ({ height }: Backend) => height + BEHIND_BLOCKS < reached
    const ordered = [...backends].sort(
      (a, b) =>
        Number(avoid(a.index)) - Number(avoid(b.index)) ||
        a.restsUntil - b.restsUntil ||
        Number(isBehind(a)) - Number(isBehind(b)) ||
        Number(latencyOf(a) > latencyOf(b)) - Number(latencyOf(a) < latencyOf(b)) ||
        a.index - b.index,
    )
    first = ordered[0]
    return ordered
  }
}

/** Undefined for an answer, be it an error. */
function failureOf(error: unknown): RpcFailure | undefined {
  const answered = find(error, RpcRequestError)
  if (answered !== undefined) return isLimit(answered.status, answered.code) ? 'limited' : undefined
  return isLimit(find(error, HttpRequestError)?.status) ? 'limited' : 'unavailable'
}

/** -32005 is EIP-1474's; providers have a code of their own, or send HTTP's in the body. */
function isLimit(status: number | undefined, code?: number): boolean {
  return status === 429 || code === 429 || code === -32_005 || code === -32_007
}

function restOf(error: unknown, failures: number, now: number): number {
  const backoff = FIRST_REST_MS * 2 ** Math.min(failures - 1, 10)
  const headers = (find(error, HttpRequestError) ?? find(error, RpcRequestError))?.headers
  const after = headers?.get('retry-after')
  const asked =
    after == null ? Number.NaN : /^\d+$/.test(after) ? Number(after) * 1_000 : Date.parse(after) - now
  return Math.min(MAX_REST_MS, Number.isNaN(asked) ? backoff : Math.max(asked, backoff))
}

function find<E extends Error>(error: unknown, kind: new (...args: never[]) => E): E | undefined {
  const found = error instanceof BaseError ? error.walk((inner) => inner instanceof kind) : undefined
  return found instanceof kind ? found : undefined
}
