import {
  checkLastWord,
  exitCalls,
  hubEnd,
  type LastWordFile,
  lastWordFileSchema,
  lastWordText,
  makeLastWord,
  noteSigned,
  openingCalls,
  signedWordSchema,
  signLastWord,
} from '@clearspan/relayer'
import {
  type Environment,
  loadKey,
  type Network,
  networkClockOf,
  networkSchema,
  parseConfig,
  readJson,
  UserError,
  wordSchema,
} from '@clearspan/shared'
import type { Command } from 'commander'

interface Making {
  network: string
  replaces?: string
}

interface Signing extends Making {
  record: string
  keyFile?: string
  keystore?: string
  passwordFile?: string
}

const print = (value: unknown) => process.stdout.write(`${JSON.stringify(value, null, 2)}\n`)
const NETWORK = ['--network <file>', "the network's manifest, with RPC nodes of your own"] as const
const REPLACES = ['--replaces <file>', 'an earlier last word, which this one corrects'] as const

/** What a manifest and its options say of a last word. */
async function basis({ network: file, replaces }: Making) {
  const network: Network = await readJson(file, networkSchema)
  return {
    network,
    clock: networkClockOf(network.clock),
    replaces: replaces === undefined ? undefined : await readWord(replaces, network),
  }
}

async function readWord(file: string, { networkId }: Network): Promise<LastWordFile> {
  const word = await readJson(file, lastWordFileSchema)
  if (word.networkId.toLowerCase() !== networkId.toLowerCase())
    throw new UserError(file, `is of network ${word.networkId}, and the manifest of ${networkId}`)
  return word
}

/** Commands for the day on which the hub is dead: who is owed what, signed by the oracle's nodes, and how everybody leaves. */
export function addExits(program: Command, env: Environment): void {
  const exits = program
    .command('exits')
    .description('the way out when the hub is dead: its last word, made, signed, opened, used')
  exits
    .command('status')
    .description('what each chain has heard of the hub, and the calls of governance that end it')
    .requiredOption(...NETWORK)
    .action(async (options: Making) => {
      print(await hubEnd(await readJson(options.network, networkSchema)))
    })
  exits
    .command('make')
    .description('make the last word from the last final state of all chains, and print it')
    .requiredOption(...NETWORK)
    .option(...REPLACES)
    .action(async (options: Making) => {
      const from = await basis(options)
      const version = (from.replaces?.version ?? 0) + 1
      process.stdout.write(lastWordText(await makeLastWord({ ...from, version })))
    })
  exits
    .command('sign')
    .description('make it again from your own RPC nodes, and sign it for your oracle node if it is the same')
    .argument('<file>', 'the last word')
    .requiredOption(...NETWORK)
    .requiredOption('--record <file>', 'where every root is noted before it is signed: keep it')
    .option('--key-file <path>', "the node's key: PURPOSE:NETWORKID:KEY")
    .option('--keystore <path>', "or the node's keystore")
    .option('--password-file <path>', 'file that holds its password')
    .option(...REPLACES)
    .action(async (file: string, options: Signing) => {
      const from = await basis(options)
      const word = await readWord(file, from.network)
      const key = await loadKey(keyOf(options), env, {
        purpose: 'observe',
        networkId: from.network.networkId,
        local: from.network.clock !== null,
      })
      const signed = signLastWord(word, from.network, key)
      await checkLastWord(word, from)
      await noteSigned(options.record, word)
      print(signed)
    })
  exits
    .command('open')
    .description("prepare each chain's call that opens the exits; nothing is sent")
    .argument('<file>', 'the last word')
    .argument('<signatures...>', 'what `sign` printed, of 2f + 1 nodes')
    .requiredOption(...NETWORK)
    .action(async (file: string, signatures: string[], options: Making) => {
      const { network } = await basis(options)
      const word = await readWord(file, network)
      const signed = await Promise.all(signatures.map((path) => readJson(path, signedWordSchema)))
      print(openingCalls(word, network, signed))
    })
  exits
    .command('show')
    .description('what an account may fetch where, with its proofs, as transactions that anybody may send')
    .argument('<file>', 'the last word')
    .requiredOption('--account <id>', '32 bytes: its owner, then 12 bytes of a number')
    .requiredOption(...NETWORK)
    .action(async (file: string, options: Making & { account: string }) => {
      const { network } = await basis(options)
      const account = parseConfig(wordSchema, options.account, '--account')
      print(exitCalls(await readWord(file, network), network, account))
    })
}

function keyOf({ keyFile, keystore, passwordFile }: Signing) {
  if ((keyFile === undefined) === (keystore === undefined))
    throw new UserError('--key-file', 'give exactly one of --key-file and --keystore')
  if (keystore === undefined) return { file: keyFile! }
  if (passwordFile === undefined) throw new UserError('--password-file', 'is needed with --keystore')
  return { keystore, password: { file: passwordFile } }
}
