import { createLogger, PermanentError, systemClock } from '@clearspan/shared'
import { concatHex, type Hex, keccak256, numberToHex, pad, recoverAddress, zeroHash } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { expect, it } from 'vitest'
import type { ChainContext } from '../chains/context.js'
import type { Step } from '../layerzero/batch.js'
import { NO_OPTIONS } from '../layerzero/options.js'
import { createOutbox } from '../layerzero/outbox.js'
import { type Packet, packetGuid } from '../layerzero/packet.js'
import { fakeChain, layerzero, node } from './attest.test-util.js'
import { attestationDigest } from './attestation.js'
import { createOperator } from './operator.js'
import { createPoster } from './poster.js'

const keys = [1, 2, 3].map((n) => privateKeyToAccount(pad(numberToHex(n))))
const blockHash = keccak256('0x01')
const key = { nonce: 1n, srcEid: 101, sender: pad('0x5'), dstEid: 102, receiver: pad('0x6') }
const packet: Packet = { ...key, guid: packetGuid(key), message: '0xc0ffee' }

/** A poster whose destination counts these operators, and what it collects for one packet from all three. */
function attested(members: readonly Hex[], threshold: number, isLocal = true) {
  const witness = node(9n, { number: 7n, hash: blockHash, packets: [packet] })
  const chains = [fakeChain({ eid: 101, witnesses: [witness] }), fakeChain({ eid: 102 })]
  const operators = keys.map((account) => {
    // They believe to be of the set, whatever the contract says.
    const options = { network: { networkId: zeroHash }, chains, account, maxLifetimeSeconds: 7_200 }
    const { answer } = createOperator({ ...options, clock: systemClock })
    return {
      address: account.address,
      ask: (request: Parameters<typeof answer>[1]) => answer('attestor', request),
    }
  })
  const destination = fakeChain({ eid: 102, isOperator: (who) => members.includes(who), threshold })
  const poster = createPoster({
    network: { networkId: zeroHash, clock: isLocal ? { startMs: 0, realStartMs: 0, speed: 1 } : null },
    destination: destination as unknown as ChainContext,
    operators,
    dvnOperators: [],
    lifetimeSeconds: 3_600,
    timeoutMs: 60_000,
    clock: systemClock,
    logger: createLogger({ name: 'test', level: 'silent' }),
  })
  const outbox = createOutbox({ ownPaths: new Set(), maxForeign: 10 })
  const work = { verify: false, attest: true, execute: true }
  outbox.add({ packet, options: { ...NO_OPTIONS, gas: 1n }, ...work, blockNumber: 7n, blockHash }, 0)
  const [entry] = outbox.pending()
  const step: Step = {
    entry: entry!,
    boost: 0,
    confirmations: 3n,
    inbound: 0n,
    after: [],
    commit: false,
    ...work,
  }
  return poster.attest([step])
}
const addresses = (...at: number[]) => at.map((i) => keys[i]!.address)

it('takes signatures of the present set alone, ascending, as many as it needs', async () => {
  const found = await attested(addresses(1, 2), 2)
  const domain = { networkId: zeroHash, chainId: 1_102, attestor: layerzero.attestor }
  const hash = attestationDigest(domain, found!.attestation)
  const signatures = [0, 1].map((i): Hex => `0x${found!.signatures.slice(2 + 130 * i, 132 + 130 * i)}`)
  expect(concatHex(signatures)).toBe(found!.signatures)
  const signers = await Promise.all(signatures.map((signature) => recoverAddress({ hash, signature })))
  expect(signers.map((one) => one.toLowerCase())).toEqual(
    addresses(1, 2)
      .map((one) => one.toLowerCase())
      .sort(),
  )
})

it('has nothing when too few of the set are known to it', async () => {
  expect(await attested(addresses(0), 2)).toBeUndefined()
})

it("refuses one operator's word outside local networks", async () => {
  expect(await attested(addresses(0), 1)).toBeDefined()
  await expect(attested(addresses(0), 1, false)).rejects.toThrow(PermanentError)
})
