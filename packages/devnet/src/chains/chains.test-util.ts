import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLogger, systemClock } from '@clearspan/shared'
import { openRunDirectory } from '../processes/index.js'
import { type ChainChoice, startChains } from './index.js'

/** Chains of one test, on free ports; `close` ends them and removes what they wrote. Unix seconds, 2023-11-14 if not said otherwise. */
export async function startTestChains(
  choices: readonly Pick<ChainChoice, 'name' | 'chainId'>[],
  { genesisTime = 1_700_000_000, accounts = 1 }: { genesisTime?: number; accounts?: number } = {},
) {
  const path = await mkdtemp(join(tmpdir(), 'clearspan-chains-'))
  const logger = createLogger({ name: 'test', level: 'silent' })
  const run = await openRunDirectory({ path, logger, clock: systemClock })
  const close = async () => {
    await run.close()
    await rm(path, { recursive: true, force: true })
  }
  try {
    const chains = choices.map((choice) => ({ ...choice, port: 0, portOption: '' }))
    return { chains: await startChains({ run, chains, genesisTime, accounts }), close }
  } catch (error) {
    await close()
    throw error
  }
}
