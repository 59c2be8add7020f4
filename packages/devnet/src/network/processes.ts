import { writeFileSync } from 'node:fs'
import type { Server } from 'node:net'
import { join } from 'node:path'
import {
  configuredRules,
  type OracleNodeConfigInput,
  parseOracleNodeConfig,
  rulesHash,
} from '@clearspan/aggregator'
import type { AttestServiceOptions, RelayerConfigInput } from '@clearspan/relayer'
import type { Network, OracleNetwork } from '@clearspan/shared'
import type { Hex } from 'viem'
import type { SourceConfig } from '../prices/index.js'
import { INHERITED_FD, type ManagedProcess, type RunDirectory } from '../processes/index.js'
import type { DerivedFeeds } from './derivedFeeds.js'
import type { LocalKey, LocalRoles } from './roles.js'
import { portOf } from './sockets.js'
import type { Timing } from './timing.js'

/** Real ms; the embedded queue's database takes three seconds to boot on a quiet machine. */
const READY_TIMEOUT_MS = 180_000

/** How to start this very program again: `run --supervised FILE` follows the arguments. */
export interface Program {
  command: string
  args: readonly string[]
}

interface ChildOptions {
  run: RunDirectory
  program: Program
  network: Network
  roles: LocalRoles
  timing: Timing
  /** Passed on to children; keys are added one by one. */
  env: Readonly<Record<string, string | undefined>>
}

/** How to ask an operator of the Attestor. */
type OperatorUrl = NonNullable<RelayerConfigInput['operators']>[number]

/**
 * Oracle nodes as processes with a key, a data directory and a listening socket of their own. Where the network has an Attestor, the first of
 * them also play its operators, each with another key.
 */
export async function startOracleNodes(
  options: ChildOptions & {
    sources: readonly (SourceConfig & { url: string })[]
    derived: DerivedFeeds['config']
    sockets: readonly Server[]
  },
): Promise<{ nodes: ManagedProcess[]; operators: OperatorUrl[] }> {
  const { network, roles, sockets } = options
  const attestors = network.chains.some(({ layerzero }) => layerzero.attestor) ? roles.attestors : []
  const nodes = await allOrNone(
    roles.observers.map(({ key }, index) => {
      const name = `oracle-${index}`
      const socket = sockets[index]!
      const [hub] = network.chains
      const node: OracleNodeConfigInput = {
        ...nodeRules({ ...options, networkId: network.networkId }),
        clock: network.clock,
        index,
        oracle: network.oracle,
        ...(hub && { anchor: { url: hub.rpcUrls[0]!, priceOracle: hub.contracts.priceOracle } }),
        listen: { host: '127.0.0.1', port: portOf(socket), fd: INHERITED_FD },
        dataDir: options.run.dataDirectory(name),
      }
      const operator = attestors[index]
      return startRole(
        options,
        name,
        {
          oracle: { node, key: { env: 'CLEARSPAN_KEY' } },
          ...(operator && { attest: attestRole(options) }),
        },
        { CLEARSPAN_KEY: key, ...(operator && { CLEARSPAN_ATTEST_KEY: operator.key }) },
        socket,
      )
    }),
  )
  const operators = attestors.flatMap(({ account: { address } }, index) => {
    const url = nodes[index] && (JSON.parse(nodes[index].readyLine) as { attestUrl?: string }).attestUrl
    return url === undefined ? [] : [{ url, address }]
  })
  return { nodes, operators }
}

/** An operator that answers the relayer alone. */
function attestRole({ run, network, roles }: ChildOptions) {
  const config: AttestServiceOptions['config'] = {
    askers: [roles.relayer.peer.account.address],
    // A day of network time may be seconds.
    maxLifetimeSeconds: 86_400,
    http: { host: '127.0.0.1', port: 0 },
  }
  return { network: writeManifest(run, network), config, key: { env: 'CLEARSPAN_ATTEST_KEY' } }
}

function writeManifest(run: RunDirectory, network: Network): string {
  const manifest = join(run.path, 'network.json')
  writeFileSync(manifest, `${JSON.stringify(network, null, 2)}\n`)
  return manifest
}

interface RulesOptions {
  networkId: Hex
  timing: Timing
  sources: readonly OracleNodeConfigInput['sources'][number][]
  derived: DerivedFeeds['config']
}

/** What every node of a local network has in common. */
function nodeRules({ networkId, timing, sources, derived }: RulesOptions) {
  return {
    networkId,
    sources: [...sources],
    ...derived,
    maxClockSkewMs: timing.skew * 1000,
    maxEventAgeMs: timing.sourceAge * 1000,
    maxReceiveAgeMs: timing.sourceAge * 1000,
  }
}

/** Hash of the rules that `startOracleNodes` will give to each node: the chains expect it before there are nodes. */
export function localRulesHash({ oracle, ...options }: RulesOptions & { oracle: OracleNetwork }): Hex {
  const node = parseOracleNodeConfig({
    ...nodeRules(options),
    clock: null,
    index: 0,
    oracle,
    listen: { host: '127.0.0.1', port: 0 },
    dataDir: '.',
  })
  return rulesHash(configuredRules(node))
}

/** Where relayer and keeper are reached: one process, or one for each. */
export interface RelayerUrls {
  relayerUrl: string
  keeperUrl: string
}

/**
 * Relayer and keeper. On Redis as in production: prices and the keeper in a process of their own, so that no backlog of packets delays them. On
 * the embedded queue all in one: each process would hold a database of its own, 220 MB.
 */
export async function startRelayers(
  options: ChildOptions & { config: RelayerConfigInput; redisUrl: string | undefined },
): Promise<RelayerUrls> {
  const { config, redisUrl } = options
  const { price, bulk, urgent, peer, dvnSigners, keeper } = options.roles.relayer
  const messages = { bulk, peer, dvnSigners }
  if (redisUrl === undefined) {
    const url = await startRelayer(options, 'relayer', config, { price, urgent, ...messages })
    return { relayerUrl: url, keeperUrl: url }
  }
  const start = (name: string, roles: NonNullable<RelayerConfigInput['roles']>, keys: SendingKeys) =>
    startRelayer(options, name, { ...config, roles }, keys)
  const [relayerUrl, keeperUrl] = await Promise.all([
    start('relayer', ['messages'], messages),
    start('keeper', ['prices', 'keeper'], { price, urgent, bulk: keeper }),
  ])
  return { relayerUrl, keeperUrl }
}

type SendingKeys = Partial<Record<'price' | 'bulk' | 'urgent' | 'peer', LocalKey>> & {
  dvnSigners?: readonly LocalKey[]
}

/** One process of the relayer, with its keys; answers its URL. */
async function startRelayer(
  options: ChildOptions & { redisUrl: string | undefined },
  name: string,
  config: RelayerConfigInput,
  { dvnSigners = [], ...keys }: SendingKeys,
): Promise<string> {
  const { run, network, redisUrl } = options
  const directory = (data: string) => run.dataDirectory(name === 'relayer' ? data : `${name}-${data}`)
  const env: Record<string, string> = redisUrl === undefined ? {} : { REDIS_URL: redisUrl }
  const given = (variable: string, { key }: LocalKey) => {
    env[variable] = key
    return { env: variable }
  }
  const relayer = {
    network: writeManifest(run, network),
    config,
    queueDir: directory('queue'),
    ledgerDir: directory('nonces'),
    keys: {
      ...Object.fromEntries(
        Object.entries(keys).map(([use, one]) => [use, given(`CLEARSPAN_${use.toUpperCase()}_KEY`, one)]),
      ),
      dvnSigners: dvnSigners.map((one, index) => given(`CLEARSPAN_DVN_KEY_${index}`, one)),
    },
  }
  const { readyLine } = await startRole(options, name, { relayer }, env)
  return (JSON.parse(readyLine) as { urls: string[] }).urls[0]!
}

function startRole(
  { run, program, env }: ChildOptions,
  name: string,
  roles: object,
  keys: Record<string, string>,
  inherit?: Server,
): Promise<ManagedProcess> {
  const file = join(run.path, `${name}.json`)
  writeFileSync(file, `${JSON.stringify({ name, ...roles }, null, 2)}\n`)
  // Children get no REDIS_URL and no key but their own.
  const { PATH = '', HOME = '' } = env
  return run.start({
    name,
    command: program.command,
    args: [...program.args, 'run', '--supervised', file],
    env: { PATH, HOME, NODE_OPTIONS: '--max-old-space-size=1024', ...keys },
    ...(inherit ? { inherit } : {}),
    ready: (line) => line.startsWith('{"ready":'),
    readyTimeoutMs: READY_TIMEOUT_MS,
  })
}

async function allOrNone(starts: readonly Promise<ManagedProcess>[]): Promise<ManagedProcess[]> {
  const settled = await Promise.allSettled(starts)
  const failed = settled.find((one) => one.status === 'rejected')
  if (failed) throw failed.reason
  return settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
}
