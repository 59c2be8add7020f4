import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createLogger, forgetQueues, queueNamespace, systemClock } from '@clearspan/shared'
import type { RelayerConfigInput, RelayerStatus } from '../../packages/relayer/src/index.js'
import { clearspan, type Run } from '../../test/clearspan.js'
import type { Stage } from './stage.js'

/** As many of the Attestor's three operators as must sign. */
const OPERATORS = 2
const BLOCK_MS = 500

/** URLs by chain id, instead of the chains' own. */
export type RpcUrls = Record<string, string[]>

/** What runs: messages alone; prices and the keeper beside it in a process of their own; or all in one. */
export type Processes = 'messages' | 'apart' | 'together'

/** A relayer as its operator runs it, processes of their own, with operators of the Attestor that are processes too. */
export interface Ours {
  /** Of whoever carries messages. */
  status(): Promise<RelayerStatus>
  /** Of whoever brings prices and liquidates. */
  keeper(): Promise<RelayerStatus>
  /** Unix ms at which the process that carries messages was started last. */
  startedAt(): number
  /** Ends the process that carries messages as a crash would; the others go on. */
  kill(): Promise<void>
  /** Deletes its queue and nonce ledger. */
  forget(): Promise<void>
  /** Starts it again where it lay. */
  start(): Promise<void>
  stop(): Promise<void>
}

export interface OursOptions {
  stage: Stage
  /** Made, or emptied. */
  directory: string
  processes: Processes
  /** How many keys send deliveries. */
  signers: number
  redisUrl: string | undefined
  rpcUrls?: RpcUrls
}

export async function startOurs(options: OursOptions): Promise<Ours> {
  const { stage, directory, processes, redisUrl, rpcUrls = {} } = options
  const { network, roles } = stage.on
  rmSync(directory, { recursive: true, force: true })
  mkdirSync(directory)
  const file = (name: string, content: unknown) =>
    writeFileSync(join(directory, name), JSON.stringify(content))
  file('network.json', network)
  const started: Run[] = []
  const run = async (name: string, config: object, env: Record<string, string>) => {
    file(`${name}.json`, { name, logLevel: 'error', ...config })
    const one = clearspan(directory, ['run', `${name}.json`, '--supervised'], env, 'open')
    started.push(one)
    const ready = JSON.parse(await one.line(/^\{"ready"/)) as { urls: string[]; attestUrl?: string }
    return { one, ready }
  }
  const stop = async () => {
    for (const { child } of started) child.kill('SIGTERM')
    await Promise.all(started.map(({ exited }) => exited))
  }

  async function startOperator(index: number) {
    const { key, account } = roles.attestors[index]!
    const attest = {
      network: 'network.json',
      config: {
        askers: [roles.relayer.peer.account.address],
        rpcUrls,
        http: { host: '127.0.0.1', port: 0 },
      },
      key: { env: 'KEY' },
    }
    const { ready } = await run(`operator-${index}`, { attest }, { KEY: key })
    return { url: ready.attestUrl!, address: account.address }
  }

  async function startRelayer(name: 'relayer' | 'keeper', config: RelayerConfigInput) {
    const keys = keysOf(options, name)
    const relayer = {
      network: 'network.json',
      queueDir: `queue-${name}`,
      ledgerDir: `nonces-${name}`,
      config: {
        blockMs: BLOCK_MS,
        stuckAfterMs: 10_000,
        heartbeatSeconds: 0,
        maxForeignPackets: 20_000,
        logRange: 10,
        startBlocks,
        rpcUrls,
        http: { host: '127.0.0.1', port: 0 },
        ...config,
      },
      keys: keys.specs,
    }
    const startedAt = Date.now()
    const redis = redisUrl === undefined ? {} : { REDIS_URL: redisUrl }
    const { one, ready } = await run(name, { relayer }, { ...keys.env, ...redis })
    return { one, url: ready.urls[0]!, startedAt }
  }

  const statusOf = async (url: string) => (await fetch(`${url}/status`)).json() as Promise<RelayerStatus>
  // What was before it is nobody's business.
  const startBlocks = Object.fromEntries(
    await Promise.all(
      stage.on.chains.map(async ({ chainId, client }) => [chainId, Number(await client.getBlockNumber())]),
    ),
  )
  try {
    const operators = await Promise.all(Array.from({ length: OPERATORS }, (_, i) => startOperator(i)))
    const roles: RelayerConfigInput['roles'] = processes === 'together' ? ['relayer', 'keeper'] : ['messages']
    const startMessages = () => startRelayer('relayer', { roles, operators })
    let [relayer, keeper] = await Promise.all([
      startMessages(),
      processes === 'apart' ? startRelayer('keeper', { roles: ['prices', 'keeper'] }) : undefined,
    ])
    return {
      status: () => statusOf(relayer.url),
      keeper: () => statusOf((keeper ?? relayer).url),
      startedAt: () => relayer.startedAt,
      async kill() {
        relayer.one.child.kill('SIGKILL')
        await relayer.one.exited
      },
      async forget() {
        for (const data of ['queue-relayer', 'nonces-relayer'])
          rmSync(join(directory, data), { recursive: true, force: true })
        if (redisUrl === undefined) return
        const logger = createLogger({ name: 'bench', level: 'silent' })
        const namespace = queueNamespace(network.networkId)
        await forgetQueues(redisUrl, { namespace, clock: systemClock, logger })
      },
      async start() {
        relayer = await startMessages()
      },
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

/** Keys of a process, by the names of variables that it gets. */
function keysOf({ stage, processes, signers }: OursOptions, name: 'relayer' | 'keeper') {
  const { price, bulk, urgent, peer, keeper } = stage.on.roles.relayer
  const urgents = { price: price.key, urgent: urgent.key }
  const messages = { peer: peer.key, bulk: [bulk.key, ...stage.moreSigners].slice(0, signers) }
  const own =
    name === 'keeper'
      ? { ...urgents, bulk: [keeper.key] }
      : { ...messages, ...(processes === 'together' && urgents) }
  const env: Record<string, string> = {}
  const given = (variable: string, key: string) => {
    env[variable] = key
    return { env: variable }
  }
  const specs = Object.fromEntries(
    Object.entries(own).map(([use, keys]) => [
      use,
      Array.isArray(keys) ? keys.map((key, i) => given(`KEY_${use}_${i}`, key)) : given(`KEY_${use}`, keys),
    ]),
  )
  return { env, specs }
}
