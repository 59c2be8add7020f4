import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { readJson, replaceFile, type SignedHandover, signedHandoverSchema } from '@clearspan/shared'

/** Finished handovers, a file each, for anyone to fetch and to deliver to any chain, however late. */
export interface HandoverArchive {
  save(handover: SignedHandover): Promise<void>
  get(epoch: number): SignedHandover | undefined
  /** Ascending by epoch. */
  all(): SignedHandover[]
}

const NAME = /^epoch-\d+\.json$/

/** Handovers in `handovers/` of the data directory. Throws UserError naming a file that is no handover. */
export async function openHandovers(dataDir: string): Promise<HandoverArchive> {
  const directory = join(dataDir, 'handovers')
  await mkdir(directory, { recursive: true })
  const kept = new Map<number, SignedHandover>()
  for (const name of await readdir(directory)) {
    if (!NAME.test(name)) continue
    const handover = await readJson(join(directory, name), signedHandoverSchema)
    kept.set(handover.oracle.epoch, handover)
  }
  return {
    async save(handover) {
      const { epoch } = handover.oracle
      const file = await replaceFile(
        join(directory, `epoch-${epoch}.json`),
        `${JSON.stringify(handover, null, 2)}\n`,
      )
      await file.close()
      kept.set(epoch, handover)
    },
    get: (epoch) => kept.get(epoch),
    all: () => [...kept.values()].sort((a, b) => a.oracle.epoch - b.oracle.epoch),
  }
}
