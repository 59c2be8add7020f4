import { createReadStream } from 'node:fs'
import { access } from 'node:fs/promises'
import { replaySegment, verifyEvidence } from '@clearspan/aggregator'
import { readJson, UserError } from '@clearspan/shared'
import type { Command } from 'commander'
import { z } from 'zod'

/** Commands for operators of oracle nodes and for those who check on them. */
export function addOracle(program: Command): void {
  const oracle = program.command('oracle').description('check what oracle nodes have signed')
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
    .description('compute every report of a recorded segment again, and fail at the first difference')
    .argument('<segment>', "a file of a node's dataDir/segments")
    .action(async (segment: string) => {
      await access(segment).catch(() => {
        throw new UserError(segment, "can't be read: check the path and its permissions")
      })
      const summary = await replaySegment(createReadStream(segment, 'utf8'), segment)
      process.stdout.write(`${JSON.stringify(summary)}\n`)
    })
}
