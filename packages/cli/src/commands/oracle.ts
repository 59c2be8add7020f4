import { verifyEvidence } from '@clearspan/aggregator'
import { readJson } from '@clearspan/shared'
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
}
