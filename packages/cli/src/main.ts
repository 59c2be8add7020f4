#!/usr/bin/env node
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { PermanentError, RetryableError, UserError } from '@clearspan/shared'
import { Command, CommanderError } from 'commander'
import { addExits } from './commands/exits.js'
import { addLayerZero } from './commands/layerzero.js'
import { addOracle } from './commands/oracle.js'
import { addRun } from './commands/run.js'
import { addStart } from './commands/start.js'

const { version } = createRequire(import.meta.url)('../package.json') as { version: string }

/** Exit status for bad input, as against 1 for a failure of ours or of the world. */
const BAD_INPUT = 2
/** Longest that the process outlives its work, real ms. */
const LINGER_MS = 1_000

const program = new Command('clearspan')
  .description('One margin account over many chains: local networks, oracle nodes, relayers and keepers')
  .version(version)
  .exitOverride()
addStart(program, process.env, fileURLToPath(import.meta.url))
addRun(program, process.env)
addOracle(program)
addLayerZero(program)
addExits(program, process.env)

try {
  await program.parseAsync()
} catch (error) {
  if (error instanceof CommanderError) {
    // Commander has printed its line already.
    process.exitCode = error.exitCode === 0 ? 0 : BAD_INPUT
  } else if (error instanceof UserError) {
    process.stderr.write(`error: ${error.message}\n`)
    process.exitCode = BAD_INPUT
  } else if (error instanceof PermanentError || error instanceof RetryableError) {
    // What it says is for people: a node that doesn't answer is no fault of the program.
    process.stderr.write(`error: ${error.message}\n`)
    process.exitCode = 1
  } else {
    process.stderr.write(
      `error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    )
    process.exitCode = 1
  }
}

// Whatever still holds the process by now (a connection, a timer) must not keep it: nothing is left to do.
setTimeout(() => process.exit(), LINGER_MS).unref()
