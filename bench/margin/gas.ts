// Gas of margin and liquidation, measured anew by forge, beside what other projects publish or we measured of their published source.
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const FORGE = fileURLToPath(new URL('../../scripts/forge.mjs', import.meta.url))

const CONTRACTS = ['MarginEngineGasTest', 'OptionGasTest', 'LargestAccountTest', 'LiquidationAuctionTest']
const BLOCK_GAS = 30_000_000

/** By snapshot file and name: another project's gas of the nearest operation, or a bound. */
const BASELINES: readonly (readonly [string, string, number, string])[] = [
  [
    'MarginEngine',
    'standard_3_claims_3_perps',
    112_000,
    'Aave v4, health of 2 reserves and 1 borrowed: its snapshots',
  ],
  [
    'MarginEngine',
    'standard_3_claims_3_perps',
    115_000,
    'Aave v3, health of 2 reserves and 1 borrowed: its snapshots',
  ],
  [
    'MarginEngine',
    'standard_3_claims_3_perps',
    130_000,
    'Derive PMRM, perps only, 33 scenarios: its library measured warm, without feeds',
  ],
  [
    'MarginEngine',
    'portfolio_8_options_23_scenarios',
    2_500_000,
    'Derive PMRM, 8 options, 33 scenarios: its library measured warm, without feeds',
  ],
  ['MarginEngine', 'black76', 6_494, 'Derive, one Black-76: its library measured'],
  ['MarginEngine', 'largest_account', BLOCK_GAS / 4, 'a quarter of a block of 30 million'],
  ['MarginEngine', 'largest_account_start', BLOCK_GAS / 4, 'a quarter of a block of 30 million'],
  ['LiquidationAuction', 'start', 231_000, 'Derive, start of an auction: its snapshot, mock manager'],
  ['LiquidationAuction', 'bid', 340_000, 'Aave v4 and v3, liquidation: their snapshots'],
  ['LiquidationAuction', 'update_and_start', 350_000, 'our own bound'],
]

/** @throws Error where a test fails, or no longer measures one of the names. */
export async function measureGas(say: (line: string) => void) {
  const snapshots = await mkdtemp(join(tmpdir(), 'clearspan-gas-'))
  try {
    const args = [FORGE, 'test', '--isolate', '--match-contract', `^(${CONTRACTS.join('|')})$`]
    await promisify(execFile)(process.execPath, args, {
      env: { ...process.env, FOUNDRY_SNAPSHOTS: snapshots },
    })
    say('gas of whole transactions by --isolate, views without the 21,000 of one')
    const files = new Map<string, Record<string, string>>()
    for (const file of new Set(BASELINES.map(([of]) => of)))
      files.set(file, JSON.parse(await readFile(join(snapshots, `${file}.json`), 'utf8')))
    return BASELINES.map(([file, name, baseline, baselineIs]) => {
      const value = Number(files.get(file)?.[name])
      return { name: `margin.gas_${name}`, value, unit: 'gas', baseline, baselineIs }
    })
  } finally {
    await rm(snapshots, { recursive: true })
  }
}
