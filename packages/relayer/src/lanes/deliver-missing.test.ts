import { createLogger, systemClock } from '@clearspan/shared'
import { expect, it } from 'vitest'
import { createBackoff } from '../backoff.js'
import type { ChainContext } from '../chains/context.js'
import type { Step } from '../layerzero/batch.js'
import { createOutbox } from '../layerzero/outbox.js'
import { pathOf } from '../layerzero/packet.js'
import { sent } from './deliver.test-util.js'
import { findGaps } from './deliver-missing.js'

function world(nonces: readonly bigint[]) {
  const path = pathOf(sent(1n, 1).packet)
  const outbox = createOutbox({ ownPaths: new Set([path]), maxForeign: 100 })
  for (const nonce of nonces) outbox.add(sent(nonce, 1), 0)
  const reread: bigint[] = []
  const source = { feed: { reread: (from: bigint) => void reread.push(from) } } as unknown as ChainContext
  const missing = {
    context: { clock: systemClock },
    sources: new Map([[101, source]]),
    outbox,
    backoff: createBackoff({ firstMs: 1_000, maxMs: 1_000, keys: 10 }),
    log: createLogger({ name: 'test', level: 'silent' }),
  }
  const find = () =>
    findGaps(
      missing,
      outbox.pending().map((entry) => ({ entry, inbound: 0n }) as Step),
    )
  const waiting = () => outbox.pending().map(({ packet }) => packet.nonce)
  return { outbox, find, reread, waiting }
}

it('a nonce that was taken for delivered and that its path waits for is put back, without its logs', () => {
  const { outbox, find, reread, waiting } = world([1n, 2n])
  outbox.settleSeen(sent(1n, 1).packet.guid, 5n)
  expect(waiting()).toEqual([2n])
  find()
  expect(waiting()).toEqual([2n, 1n])
  expect(reread).toEqual([])
})

it('of a nonce that no log has shown its source is read again, once for a while', () => {
  const { find, reread, waiting } = world([2n, 3n])
  find()
  find()
  expect(waiting()).toEqual([2n, 3n])
  expect(reread).toEqual([0n])
})
