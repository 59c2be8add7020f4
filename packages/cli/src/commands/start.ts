import { accessSync, constants, statSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import {
  type ClosingReport,
  DEFAULT_RPC_PORTS,
  type Delivery,
  deliveries,
  describeNetwork,
  formatReport,
  type LocalNetwork,
  playStory,
  startLocalNetwork,
  unlessAborted,
} from '@clearspan/devnet'
import {
  createLogger,
  createShutdown,
  type Logger,
  onSignals,
  type Shutdown,
  systemClock,
  systemRandom,
  UserError,
} from '@clearspan/shared'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { destination, type LevelWithSilent } from '../logFile.js'

type Environment = Readonly<Record<string, string | undefined>>

interface StartOptions {
  prices?: string
  window?: string
  speed?: number
  exit: boolean
  json?: string
  dir: string
  ports: number[]
  delivery: Delivery
  logLevel: LevelWithSilent
}

/** A story whose checks did not all hold. */
const CHECKS_FAILED = 1
const INTERRUPTED = 130
/** Longest that the network's end may take, real ms; see also its own bounds on the way. */
const STOP_TIMEOUT_MS = 15_000
/** What the story's people get to leave, real ms. */
const LEAVE_MS = 1_000
const LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']

/** @param main Path of the command line, which each process of the network runs again. */
export function addStart(program: Command, env: Environment, main: string): void {
  program
    .command('start')
    .description('run a local network of three chains through a crash, report, and stay up')
    .option(
      '--prices <file>',
      'replay recorded prices: CSV of timestamp_ms,source,symbol,open,high,low,close,volume',
    )
    .option(
      '--window <window>',
      'stretch of the prices: a length such as 3h, or START..END (default: the worst 24h)',
    )
    .option(
      '--speed <n>',
      "network seconds a real second (default: chosen by the window's length)",
      number('--speed'),
    )
    .option('--exit', 'end after the report; status 0 only if every check held', false)
    .option('--json <file>', 'write the report as JSON')
    .option('--dir <dir>', 'directory of this network: logs, configuration, data', '.clearspan')
    .option('--ports <a,b,c>', 'RPC ports of the three chains, 0 for any free one', ports, [
      ...DEFAULT_RPC_PORTS,
    ])
    .addOption(
      new Option(
        '--delivery <who>',
        "who verifies messages: LayerZero's stock DVN, our Attestor, or both, each required",
      )
        .choices(deliveries)
        .default('both' satisfies Delivery),
    )
    .addOption(new Option('--log-level <level>', 'of network.log').choices(LEVELS).default('info'))
    .action((options: StartOptions) => start(options, env, main))
}

async function start(options: StartOptions, env: Environment, main: string): Promise<void> {
  const dir = resolve(options.dir)
  const json = options.json === undefined ? undefined : resolve(options.json)
  if (json !== undefined) assertWritable('--json', json)
  const logger = createLogger({
    name: 'network',
    level: options.logLevel,
    destination: destination(join(dir, 'logs', 'network.log')),
  })
  const shutdown = createShutdown({ logger, clock: systemClock, timeoutMs: STOP_TIMEOUT_MS })
  const interrupted = new AbortController()
  const stopListening = onSignals(process, (_signal, times) => {
    if (times > 1) process.exit(INTERRUPTED)
    interrupted.abort(new Error('interrupted'))
    say('stopping')
  })
  const { signal } = interrupted
  let status = 0
  try {
    const network = await startLocalNetwork({
      dir,
      ports: options.ports,
      prices: options.prices && resolve(options.prices),
      window: options.window,
      speed: options.speed,
      delivery: options.delivery,
      redisUrl: env.REDIS_URL || undefined,
      program: { command: process.execPath, args: [main] },
      env,
      logger,
      realClock: systemClock,
      random: systemRandom,
      onProgress: say,
      signal,
    })
    shutdown.add('network', () => network.stop())
    const report = await play({ network, logger, shutdown, signal })
    say(formatReport(report))
    if (json !== undefined) writeFileSync(json, `${JSON.stringify(report, null, 2)}\n`)
    status = report.checks.every(({ holds }) => holds) ? 0 : CHECKS_FAILED
    if (!options.exit) {
      say(describeNetwork(network))
      await network.whileAlive(untilAborted(signal))
    }
  } catch (error) {
    if (!signal.aborted) throw error
    status = INTERRUPTED
  } finally {
    await shutdown.run()
    stopListening()
  }
  process.exitCode = status
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

/** Plays the story until its end, a child's, or the signal; at the shutdown its people leave before their network does. */
async function play(options: {
  network: LocalNetwork
  logger: Logger
  shutdown: Shutdown
  signal: AbortSignal
}): Promise<ClosingReport> {
  const { network, logger, shutdown, signal } = options
  const ended = new AbortController()
  const story = playStory({
    network,
    logger,
    onProgress: say,
    signal: AbortSignal.any([signal, ended.signal]),
  })
  shutdown.add('story', async () => {
    ended.abort(new Error('the network ends'))
    // Whoever waits for a chain that no longer answers is freed by the end of that chain.
    await Promise.race([story.catch(() => {}), systemClock.sleep(LEAVE_MS)])
  })
  return await unlessAborted(network.whileAlive(story), signal)
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    if (signal.aborted) done()
    else signal.addEventListener('abort', () => done(), { once: true })
  })
}

function number(option: string) {
  return (text: string): number => {
    const value = Number(text)
    if (text.trim() === '' || !Number.isFinite(value))
      throw new InvalidArgumentError(`${option} takes a number, such as 60`)
    return value
  }
}

function ports(text: string): number[] {
  const values = text.split(',').map(Number)
  const good = values.every((port) => Number.isInteger(port) && port >= 0 && port <= 65_535)
  if (values.length !== 3 || !good)
    throw new InvalidArgumentError('--ports takes three ports, such as 8545,8546,8547')
  return values
}

/** The report comes at the end; a path that can't take it should be known at the start. */
function assertWritable(option: string, path: string): void {
  const found = statSync(path, { throwIfNoEntry: false })
  if (found?.isDirectory()) throw new UserError(option, `${path} is a directory; name a file in it`)
  const directory = dirname(path)
  try {
    if (found === undefined && !statSync(directory).isDirectory()) throw new Error('not a directory')
    accessSync(found === undefined ? directory : path, constants.W_OK)
  } catch {
    throw new UserError(
      option,
      found === undefined
        ? `${directory} is not a directory that can be written to; name a file in one that can`
        : `${path} can't be written to; name another file`,
    )
  }
}
