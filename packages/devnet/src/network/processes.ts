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
import type { LocalRoles } from './roles.js'
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

/** Relayer and keeper in one process, on the embedded queue or on Redis. */
export function startRelayer(
  options: ChildOptions & { config: RelayerConfigInput; redisUrl: string | undefined },
): Promise<ManagedProcess> {
  const { run, network, roles, config, redisUrl } = options
  const { price, bulk, urgent, peer, dvnSigners } = roles.relayer
  const relayer = {
    network: writeManifest(run, network),
    config,
    queueDir: run.dataDirectory('queue'),
    ledgerDir: run.dataDirectory('nonces'),
    keys: {
      price: { env: 'CLEARSPAN_PRICE_KEY' },
      bulk: { env: 'CLEARSPAN_BULK_KEY' },
      urgent: { env: 'CLEARSPAN_URGENT_KEY' },
      peer: { env: 'CLEARSPAN_PEER_KEY' },
      dvnSigners: dvnSigners.map((_, index) => ({ env: `CLEARSPAN_DVN_KEY_${index}` })),
    },
  }
  return startRole(
    options,
    'relayer',
    { relayer },
    {
      CLEARSPAN_PRICE_KEY: price.key,
      CLEARSPAN_BULK_KEY: bulk.key,
      CLEARSPAN_URGENT_KEY: urgent.key,
      CLEARSPAN_PEER_KEY: peer.key,
      ...Object.fromEntries(dvnSigners.map(({ key }, index) => [`CLEARSPAN_DVN_KEY_${index}`, key])),
      ...(redisUrl === undefined ? {} : { REDIS_URL: redisUrl }),
    },
  )
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
