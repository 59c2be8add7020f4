import { access, constants, readFile, stat, writeFile } from 'node:fs/promises'
import {
  configuredRules,
  nextConfig,
  oracleNodeConfigSchema,
  replayFiles,
  rulesHash,
  verifyEvidence,
} from '@clearspan/aggregator'
import {
  createKeystore,
  keyPurposes,
  oracleConfigHash,
  parseConfig,
  readJson,
  UserError,
  wordSchema,
} from '@clearspan/shared'
import type { Command } from 'commander'
import { z } from 'zod'

/** Commands for operators of oracle nodes and for those who check on them. */
export function addOracle(program: Command): void {
  const oracle = program.command('oracle').description('check what nodes signed, hash their rules, make keys')
  oracle
    .command('evidence')
    .description('proofs against faulty nodes')
    .command('verify')
    .description('check that a file proves that one node signed two different things for one slot')
    .argument('<file>', 'a proof from GET /evidence/NAME of a node')
    .action(async (file: string) => {
      const culprit = await verifyEvidence(await readJson(file, z.unknown()), file)
      process.stdout.write(`${JSON.stringify(culprit)}\n`)
    })
  oracle
    .command('replay')
    .description('decide every tick and report of a recorded segment again, and fail at the first difference')
    .argument('<segments...>', "files of a node's dataDir/segments, in their order")
    .option(
      '--config-hash <hash>',
      "what a chain's PriceOracle.configHash(epoch) says; a segment of another is refused",
    )
    .action(async (segments: string[], options: { configHash?: string }) => {
      const configHash =
        options.configHash === undefined
          ? undefined
          : parseConfig(wordSchema, options.configHash, '--config-hash')
      for (const segment of segments) {
        const isReadable = await access(segment, constants.R_OK).then(
          async () => (await stat(segment)).isFile(),
          () => false,
        )
        if (!isReadable) throw new UserError(segment, "can't be read: check the path and its permissions")
      }
      for await (const summary of replayFiles(segments, { configHash })) {
        const { segment, lines, torn } = summary
        if (torn > 0)
          process.stderr.write(
            `${segment}:${lines + 1}: left out: ${torn} characters of a line that was cut off as it was written\n`,
          )
        process.stdout.write(`${JSON.stringify(summary)}\n`)
      }
    })
  oracle
    .command('rules')
    .description(
      "hash the rules of a node's configuration, and what chains are to expect of its epoch; a line for the next one too",
    )
    .argument('<config>', "a node's process file, as `run` takes it")
    .action(async (file: string) => {
      const { node } = (
        await readJson(file, z.object({ oracle: z.object({ node: oracleNodeConfigSchema }) }))
      ).oracle
      for (const config of [node, nextConfig(node, node.index)]) {
        if (config === null) continue
        const hash = rulesHash(configuredRules(config))
        const configHash = oracleConfigHash({ ...config.oracle, rulesHash: hash })
        const { epoch } = config.oracle
        process.stdout.write(`${JSON.stringify({ epoch, rulesHash: hash, configHash })}\n`)
      }
    })
  oracle
    .command('key')
    .description('make a key in an encrypted keystore')
    .argument('<file>', 'keystore to write; an existing file is refused')
    .requiredOption('--purpose <purpose>', keyPurposes.join(', '))
    .requiredOption('--network-id <id>', '32 bytes in hex')
    .requiredOption('--password-file <path>', 'file that holds nothing but the password')
    .action(async (file: string, options: { purpose: string; networkId: string; passwordFile: string }) => {
      const purpose = parseConfig(z.enum(keyPurposes), options.purpose, '--purpose')
      const networkId = parseConfig(wordSchema, options.networkId, '--network-id')
      const password = await readFile(options.passwordFile, 'utf8').catch(() => {
        throw new UserError('--password-file', "can't be read: check the path and its permissions")
      })
      if (password.trim().length < 8)
        throw new UserError('--password-file', 'must hold at least 8 characters')
      const { address, keystore } = await createKeystore({ purpose, networkId }, password.trim())
      await writeFile(file, `${JSON.stringify(keystore, null, 2)}\n`, { flag: 'wx', mode: 0o600 }).catch(
        () => {
          throw new UserError(file, "can't be written, or exists")
        },
      )
      process.stdout.write(`${JSON.stringify({ address })}\n`)
    })
}
