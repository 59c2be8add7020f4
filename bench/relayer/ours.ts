import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Hex } from 'viem'
import type { RelayerConfigInput, RelayerStatus } from '../../packages/relayer/src/index.js'
import { clearspan, type Run } from '../../test/clearspan.js'
import type { Stage } from './stage.js'

/** As many of the Attestor's three operators as must sign. */
const OPERATORS = 2
const BLOCK_MS = 500

/** URLs by chain id, instead of the chains' own. */
export type RpcUrls = Record<string, string[]>

/** A relayer as its operator runs it, a process of its own, with operators of the Attestor that are processes too. */
export interface Ours {
  status(): Promise<RelayerStatus>
  /** Unix ms at which the relayer's process was started last. */
  startedAt(): number
  /** Ends the relayer as a crash would; operators go on. */
  kill(): Promise<void>
  /** Starts it again where it lay. */
  start(): Promise<void>
  stop(): Promise<void>
}

export interface OursOptions {
  stage: Stage
  directory: string
  /** How many keys send deliveries. */
  signers: number
  redisUrl: string | undefined
  rpcUrls?: RpcUrls
}

export async function startOurs({
  stage,
  directory,
  signers,
  redisUrl,
  rpcUrls = {},
}: OursOptions): Promise<Ours> {
  const { network, roles } = stage.on
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

  async function startRelayer(operators: { url: string; address: Hex }[]) {
    const { price, bulk, urgent, peer } = roles.relayer
    const bulkKeys = [bulk.key, ...stage.moreSigners].slice(0, signers)
    const config: RelayerConfigInput = {
      roles: ['relayer'],
      blockMs: BLOCK_MS,
      stuckAfterMs: 10_000,
      heartbeatSeconds: 0,
      maxForeignPackets: 20_000,
      logRange: 10,
      operators,
      rpcUrls,
      http: { host: '127.0.0.1', port: 0 },
    }
    const relayer = {
      network: 'network.json',
      queueDir: 'queue',
      ledgerDir: 'nonces',
      config,
      keys: {
        price: { env: 'KEY_PRICE' },
        urgent: { env: 'KEY_URGENT' },
        peer: { env: 'KEY_PEER' },
        bulk: bulkKeys.map((_, i) => ({ env: `KEY_BULK_${i}` })),
      },
    }
    const startedAt = Date.now()
    const { one, ready } = await run(
      'relayer',
      { relayer },
      {
        KEY_PRICE: price.key,
        KEY_URGENT: urgent.key,
        KEY_PEER: peer.key,
        ...Object.fromEntries(bulkKeys.map((key, i) => [`KEY_BULK_${i}`, key])),
        ...(redisUrl !== undefined && { REDIS_URL: redisUrl }),
      },
    )
    return { one, url: ready.urls[0]!, startedAt }
  }

  try {
    const operators = await Promise.all(Array.from({ length: OPERATORS }, (_, i) => startOperator(i)))
    let relayer = await startRelayer(operators)
    return {
      status: async () => (await fetch(`${relayer.url}/status`)).json() as Promise<RelayerStatus>,
      startedAt: () => relayer.startedAt,
      async kill() {
        relayer.one.child.kill('SIGKILL')
        await relayer.one.exited
      },
      async start() {
        relayer = await startRelayer(operators)
      },
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}
