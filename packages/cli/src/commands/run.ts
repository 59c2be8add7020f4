import { dirname, resolve } from 'node:path'
import {
  createOracleNode,
  createRemoteSigner,
  createSigner,
  oracleNodeConfigSchema,
  remoteSignerSchema,
} from '@clearspan/aggregator'
import {
  attestConfigSchema,
  createRelayer,
  relayerConfigSchema,
  startAttestService,
} from '@clearspan/relayer'
import {
  createLogger,
  createMetrics,
  createQueueBackend,
  createShutdown,
  type KeyUse,
  keySpecSchema,
  loadKey,
  loadToken,
  networkClockOf,
  networkSchema,
  onSignals,
  queueNamespace,
  readJson,
  systemClock,
  systemRandom,
  UserError,
} from '@clearspan/shared'
import type { Command } from 'commander'
import { privateKeyToAccount } from 'viem/accounts'
import { z } from 'zod'

type Environment = Readonly<Record<string, string | undefined>>

const secretSpecSchema = z.union([z.strictObject({ env: z.string() }), z.strictObject({ file: z.string() })])

/** A key of an oracle node: here, or at a service that signs by it. */
const nodeKeySchema = z.union([keySpecSchema, z.strictObject({ remote: remoteSignerSchema })])

/** One key, or several that share the work. */
const signersSchema = z.union([keySpecSchema, z.array(keySpecSchema).min(1).max(32)])

/** One process: the roles that it plays, and where its keys lie. Paths are relative to the file. */
const processConfigSchema = z.strictObject({
  name: z.string().min(1),
  logLevel: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
  oracle: z
    .strictObject({
      node: oracleNodeConfigSchema,
      key: nodeKeySchema,
      /** Speaks to the other nodes; `key` without it. */
      peerKey: nodeKeySchema.optional(),
      /** API keys of sources, by source id. */
      accessTokens: z.record(z.string(), secretSpecSchema).default({}),
    })
    .optional(),
  relayer: z
    .strictObject({
      /** The network's manifest. */
      network: z.string(),
      config: relayerConfigSchema,
      /** Directory of the embedded queue; absent: in memory. Not used when REDIS_URL is set. */
      queueDir: z.string().optional(),
      /** Directory of the nonce ledgers; absent: in memory, on a local network only. */
      ledgerDir: z.string().optional(),
      /** Those that the configured roles send by; a key belongs to one process. */
      keys: z.strictObject({
        price: signersSchema.optional(),
        bulk: signersSchema.optional(),
        urgent: signersSchema.optional(),
        /** Others for single chains, by chain id. */
        chains: z
          .record(
            z.string().regex(/^[1-9]\d*$/, 'must be a chain id'),
            z.strictObject({
              price: signersSchema.optional(),
              bulk: signersSchema.optional(),
              urgent: signersSchema.optional(),
            }),
          )
          .default({}),
        /** The stock DVN's multisig; none for a keeper alone, or where operators sign. */
        dvnSigners: z.array(keySpecSchema).default([]),
        /** Speaks to operators. */
        peer: keySpecSchema.optional(),
      }),
    })
    .optional(),
  /** An operator of the Attestor, or signer of the stock DVN. */
  attest: z
    .strictObject({
      /** The network's manifest. */
      network: z.string(),
      config: attestConfigSchema,
      key: keySpecSchema,
    })
    .optional(),
})

export function addRun(program: Command, env: Environment): void {
  program
    .command('run')
    .description(
      'play the roles of a configuration file: oracle node, relayer, keeper, operator of the Attestor',
    )
    .argument('<config>', 'JSON file: name, and any of oracle, relayer, attest')
    .option(
      '--supervised',
      'end when standard input ends, as it does when the parent process is killed',
      false,
    )
    .action((file: string, { supervised }: { supervised: boolean }) => run(resolve(file), supervised, env))
}

async function run(file: string, supervised: boolean, env: Environment): Promise<void> {
  const config = await readJson(file, processConfigSchema)
  if (!config.oracle && !config.relayer && !config.attest)
    throw new UserError(file, 'has no role: add `oracle`, `relayer` or `attest`')
  const directory = dirname(file)
  const besideFile = (spec: z.infer<typeof secretSpecSchema>) =>
    'file' in spec ? { file: resolve(directory, spec.file) } : spec
  const beside = (spec: z.infer<typeof keySpecSchema>) =>
    'keystore' in spec
      ? { keystore: resolve(directory, spec.keystore), password: besideFile(spec.password) }
      : besideFile(spec)
  const logger = createLogger({ name: config.name, level: config.logLevel })
  const shutdown = createShutdown({ logger, clock: systemClock })
  const ended = new Promise<void>((done) => {
    const end = async () => {
      await shutdown.run()
      done()
    }
    onSignals(process, (_signal, times) => (times > 1 ? process.exit(130) : void end()))
    if (supervised) process.stdin.resume().once('end', () => void end())
  })
  try {
    const attestUrl = await startAttest()
    const urls = [await startOracle(), await startRelayer()].filter((url) => url !== undefined)
    process.stdout.write(`${JSON.stringify({ ready: config.name, urls, attestUrl })}\n`)
  } catch (error) {
    // An open standard input would keep the refused process, and whoever waits for its end, alive.
    process.stdin.pause()
    await shutdown.run()
    throw error
  }
  await ended
  process.exit(0)

  async function startOracle(): Promise<string | undefined> {
    if (!config.oracle) return undefined
    const tokens = Object.entries(config.oracle.accessTokens).map(
      async ([id, spec]) => [id, await loadToken(besideFile(spec), env)] as const,
    )
    const { networkId, clock } = config.oracle.node
    const signerOf = async (spec: z.infer<typeof nodeKeySchema>, purpose: KeyUse['purpose']) =>
      'remote' in spec
        ? createRemoteSigner(spec.remote, { realClock: systemClock, fetch })
        : createSigner(await loadKey(beside(spec), env, { purpose, networkId, local: clock !== null }))
    const { key, peerKey } = config.oracle
    const node = createOracleNode({
      config: { ...config.oracle.node, dataDir: resolve(directory, config.oracle.node.dataDir) },
      networkClock: networkClockOf(config.oracle.node.clock),
      realClock: systemClock,
      random: systemRandom,
      logger,
      signer: await signerOf(key, 'observe'),
      ...(peerKey && { peerSigner: await signerOf(peerKey, 'peer') }),
      accessTokens: Object.fromEntries(await Promise.all(tokens)),
    })
    shutdown.add('oracle', () => node.stop())
    return (await node.start()).url
  }

  async function startAttest(): Promise<string | undefined> {
    if (!config.attest) return undefined
    const network = await readJson(resolve(directory, config.attest.network), networkSchema)
    const { networkId, clock } = network
    const key = await loadKey(beside(config.attest.key), env, {
      purpose: 'attest',
      networkId,
      local: clock !== null,
    })
    const service = await startAttestService({
      network,
      config: config.attest.config,
      account: privateKeyToAccount(key),
      clock: systemClock,
      logger,
      metrics: createMetrics(),
    })
    shutdown.add('attest', () => service.stop())
    return service.url
  }

  async function startRelayer(): Promise<string | undefined> {
    if (!config.relayer) return undefined
    const { keys } = config.relayer
    const network = await readJson(resolve(directory, config.relayer.network), networkSchema)
    const { networkId, clock } = network
    const account = async (spec: z.infer<typeof keySpecSchema>, purpose: KeyUse['purpose'] = 'send') =>
      privateKeyToAccount(await loadKey(beside(spec), env, { purpose, networkId, local: clock !== null }))
    const signers = async (spec: z.infer<typeof signersSchema>) =>
      Promise.all([spec].flat().map((one) => account(one)))
    const optional = (spec?: z.infer<typeof signersSchema>) => spec && signers(spec)
    const chains = await Promise.all(
      Object.entries(keys.chains).map(async ([chainId, { price, bulk, urgent }]) => {
        const own = {
          price: await optional(price),
          bulk: await optional(bulk),
          urgent: await optional(urgent),
        }
        return [chainId, own] as const
      }),
    )
    const backend = await createQueueBackend({
      redisUrl: env.REDIS_URL || undefined,
      dataDir: config.relayer.queueDir && resolve(directory, config.relayer.queueDir),
      namespace: queueNamespace(network.networkId),
      clock: systemClock,
      logger,
    })
    shutdown.add('queue', () => backend.close())
    const relayer = createRelayer({
      network,
      config: config.relayer.config,
      keys: {
        price: await optional(keys.price),
        bulk: await optional(keys.bulk),
        urgent: await optional(keys.urgent),
        chains: Object.fromEntries(chains),
        dvnSigners: await Promise.all(keys.dvnSigners.map((spec) => account(spec, 'attest'))),
        ...(keys.peer && { peer: await account(keys.peer, 'peer') }),
      },
      clock: systemClock,
      networkClock: networkClockOf(network.clock),
      logger,
      metrics: createMetrics(),
      backend,
      random: systemRandom,
      fetch,
      ledgerDir: config.relayer.ledgerDir && resolve(directory, config.relayer.ledgerDir),
    })
    shutdown.add('relayer', () => relayer.stop())
    const started = await relayer.start()
    return started.url
  }
}
