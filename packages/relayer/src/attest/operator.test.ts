import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  type ChainClient,
  type Clock,
  createMetrics,
  type Metrics,
  PermanentError,
  RetryableError,
  systemClock,
} from '@clearspan/shared'
import { type Hex, HttpRequestError, hashMessage, keccak256, pad, recoverAddress, zeroHash } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { describe, expect, it } from 'vitest'
import { wordToAddress } from '../layerzero/batch.js'
import {
  decodePacket,
  encodePacket,
  type Packet,
  packetGuid,
  packetHeader,
  payloadHash,
} from '../layerzero/packet.js'
import { address, fakeChain, layerzero, node } from './attest.test-util.js'
import { attestationDigest, claimTree, dvnDigest, verifyCall } from './attestation.js'
import { createOperator } from './operator.js'
import type { AttestRequest } from './wire.js'

const account = privateKeyToAccount(pad('0xa'))
const [SOURCE, DESTINATION] = [101, 102]
const blockHash = keccak256('0x01')

function packetOf(nonce: bigint, eids = { srcEid: SOURCE!, dstEid: DESTINATION! }): Packet {
  const key = { nonce, ...eids, sender: pad('0x5'), receiver: pad('0x6') }
  return { ...key, guid: packetGuid(key), message: '0xc0ffee' }
}

function asked(
  packets: readonly Packet[],
  change: Partial<AttestRequest['packets'][number]> = {},
): AttestRequest {
  return {
    dstEid: packets[0]!.dstEid,
    expiry: 2_000n,
    operatorSet: 1,
    packets: packets.map((packet) => ({
      encoded: encodePacket(packet),
      blockNumber: 7n,
      blockHash,
      confirmations: 3n,
      ...change,
    })),
  }
}

/** An operator whose source shows what these nodes show. */
function operatorOver(
  witnesses: readonly ChainClient[],
  {
    receiving = 1n,
    eids = [SOURCE!, DESTINATION!],
    metrics,
    clock = systemClock,
    ...destination
  }: {
    clock?: Clock
    receiving?: bigint
    eids?: readonly [number, number] | readonly number[]
    operatorSet?: number
    isOperator?: () => boolean
    metrics?: Metrics
  } = {},
) {
  return createOperator({
    network: { networkId: zeroHash },
    chains: [
      fakeChain({ eid: eids[0]!, witnesses, ...(metrics && { metrics }) }),
      fakeChain({ eid: eids[1]!, confirmations: receiving, ...destination }),
    ],
    account,
    maxLifetimeSeconds: 3_600,
    clock,
  })
}

const shown = (packets: readonly Packet[], head = 9n, sending = 1n) =>
  node(head, { number: 7n, hash: blockHash, packets }, sending)
const reasons = async (operator: ReturnType<typeof operatorOver>, request: AttestRequest) => {
  const answer = await operator.answer('attestor', request)
  return 'refused' in answer ? answer.refused : answer
}

describe('an operator', () => {
  const packets = [packetOf(1n), packetOf(2n)]
  const claims = packets.map((packet) => ({
    header: packetHeader(packet),
    payloadHash: payloadHash(packet),
    confirmations: 3n,
  }))

  it('signs the root of what its nodes show under enough blocks', async () => {
    const answer = await operatorOver([shown(packets)]).answer('attestor', asked(packets))
    const hash = attestationDigest(
      { networkId: zeroHash, chainId: DESTINATION! + 1_000, attestor: layerzero.attestor },
      {
        root: claimTree(claims).root as Hex,
        receiveLibrary: layerzero.receiveUln,
        expiry: 2_000n,
        operatorSet: 1,
      },
    )
    expect('signatures' in answer && answer.signatures).toHaveLength(1)
    const signature = 'signatures' in answer ? answer.signatures[0]! : '0x'
    expect(await recoverAddress({ hash, signature })).toBe(account.address)
  })

  it('signs each packet for the stock DVN', async () => {
    const answer = await operatorOver([shown(packets)]).answer('dvn', asked(packets))
    const signers = await Promise.all(
      claims.map((claim, i) =>
        recoverAddress({
          hash: hashMessage({ raw: dvnDigest(7, layerzero.receiveUln, 2_000n, verifyCall(claim)) }),
          signature: 'signatures' in answer ? answer.signatures[i]! : '0x',
        }),
      ),
    )
    expect(signers).toEqual([account.address, account.address])
  })

  it.each([
    ['one head too low', [shown(packets, 8n)]],
    ['no node', [node(9n)]],
    ['half of the nodes', [shown(packets), node(9n)]],
    ['another block of the number', [node(9n, { number: 7n, hash: zeroHash, packets })]],
    ['a library that is not ours', [node(9n, { number: 7n, hash: blockHash, packets, sendUln: address(9) })]],
  ] as const)('signs nothing that shows %s', async (_, witnesses) => {
    expect(await reasons(operatorOver(witnesses), asked(packets))).toEqual([
      { index: 0, reason: 'unconfirmed' },
      { index: 1, reason: 'unconfirmed' },
    ])
  })

  it('counts a node that contradicts the majority and asks it no more, and needs no fewer for it', async () => {
    const asks = { liar: 0, limited: 0 }
    let limits = false
    const counted = (of: keyof typeof asks, one: ChainClient, fails = () => false) =>
      ({
        ...one,
        getBlockNumber: () => {
          asks[of]++
          return fails() ? Promise.reject(new Error('429')) : one.getBlockNumber()
        },
      }) as ChainClient
    const metrics = createMetrics()
    const witnesses = [
      shown(packets),
      counted('liar', shown([packets[0]!])),
      counted('limited', shown(packets), () => limits),
    ]
    const operator = operatorOver(witnesses, { metrics })
    for (let i = 0; i < 2; i++)
      expect(await operator.answer('attestor', asked(packets))).toHaveProperty('signatures')
    expect(asks).toEqual({ liar: 1, limited: 2 })
    expect(await metrics.text()).toMatch(/rpc_dissents_total\{chain="chain 101",node="1"\} 1/)
    limits = true
    expect(await reasons(operator, asked([packets[0]!]))).toEqual([{ index: 0, reason: 'unconfirmed' }])
  })

  it('wants the most of what sender and receiver ask for', async () => {
    for (const [sending, receiving] of [
      [4n, 1n],
      [1n, 4n],
    ] as const) {
      const operator = operatorOver([shown(packets, 20n, sending)], { receiving })
      expect(await reasons(operator, asked([packets[0]!]))).toEqual([
        { index: 0, reason: 'too-few-confirmations' },
      ])
      const enough = await operator.answer('attestor', asked([packets[0]!], { confirmations: 4n }))
      expect(enough).toHaveProperty('signatures')
    }
  })

  it('takes the word of no single node for how many confirmations are wanted', async () => {
    const saying = (...confirmations: bigint[]) => confirmations.map((one) => shown(packets, 20n, one))
    const few = [{ index: 0, reason: 'too-few-confirmations' }]
    const [packet] = packets as [Packet]
    // The liar is asked first, and answers as fast.
    expect(await reasons(operatorOver(saying(1n, 4n, 4n)), asked([packet]))).toEqual(few)
    expect(await reasons(operatorOver(saying(1n, 4n)), asked([packet]))).toEqual(few)
    expect(await reasons(operatorOver(saying(4n, 1n, 1n)), asked([packet]))).toHaveProperty('signatures')
  })

  it('refuses of many paths the one whose configuration cannot be read, and asks about all at once where it can', async () => {
    const from = (sender: Hex): Packet => {
      const key = { nonce: 1n, srcEid: SOURCE!, dstEid: DESTINATION!, sender, receiver: pad('0x6') }
      return { ...key, guid: packetGuid(key), message: '0xc0ffee' }
    }
    const [broken, other] = [from(pad('0xbad')), from(pad('0x7'))]
    let requests = 0
    const reading = {
      ...shown([packets[0]!, other, broken]),
      multicall: async ({ contracts }: { contracts: { args: Hex[] }[] }) => {
        requests++
        if (contracts.some(({ args }) => args[0] === wordToAddress(broken.sender)))
          throw new RetryableError('reverts')
        return contracts.map(() => ({ confirmations: 1n, requiredDVNs: [], optionalDVNs: [] }))
      },
    } as unknown as ChainClient
    const others = [packets[0]!, other]
    expect(await reasons(operatorOver([reading]), asked([...others, broken]))).toEqual([
      { index: 2, reason: 'too-few-confirmations' },
    ])
    requests = 0
    expect(await reasons(operatorOver([reading]), asked(others))).toHaveProperty('signatures')
    expect(requests).toBe(1)
  })

  it('does not ask a source that is silent again and again', async () => {
    let now = 0
    let requests = 0
    let isDown = true
    const source = {
      ...shown(packets),
      multicall: async ({ contracts }: { contracts: unknown[] }) => {
        requests++
        if (isDown) throw new HttpRequestError({ url: 'http://127.0.0.1' })
        return contracts.map(() => ({ confirmations: 1n, requiredDVNs: [], optionalDVNs: [] }))
      },
    } as unknown as ChainClient
    const operator = operatorOver([source], { clock: { ...systemClock, now: () => now } })
    const [packet] = packets as [Packet]
    expect(await reasons(operator, asked([packet]))).toEqual([{ index: 0, reason: 'too-few-confirmations' }])
    isDown = false
    now += 4_999
    expect(await reasons(operator, asked([packet]))).toEqual([{ index: 0, reason: 'unconfirmed' }])
    expect(requests).toBe(1)
    now += 1
    expect(await reasons(operator, asked([packet]))).toHaveProperty('signatures')
  })

  it('names what it refuses beside what it would sign', async () => {
    const other = packetOf(3n, { srcEid: 555, dstEid: DESTINATION! })
    const toOthers = packetOf(4n, { srcEid: SOURCE!, dstEid: 777 })
    const request = asked([packets[0]!, other, toOthers, packetOf(9n)])
    request.packets[2] = { ...request.packets[2]!, encoded: encodePacket(toOthers) }
    expect(await reasons(operatorOver([shown(packets)]), request)).toEqual([
      { index: 1, reason: 'foreign' },
      { index: 2, reason: 'malformed' },
      { index: 3, reason: 'unconfirmed' },
    ])
  })

  it.each([
    ['an expiry that has passed', { expiry: 1_000n }, {}],
    ['an expiry too far ahead', { expiry: 4_601n }, {}],
    ['a set to come', { operatorSet: 2 }, {}],
    ['a set that it does not belong to', {}, { isOperator: () => false }],
    ['a chain that is not there', { dstEid: 999 }, {}],
  ] as const)('refuses a request with %s', async (_, change, destination) => {
    const operator = operatorOver([shown(packets)], destination)
    await expect(operator.answer('attestor', { ...asked(packets), ...change })).rejects.toThrow(
      PermanentError,
    )
  })
})

const root = fileURLToPath(new URL('../../../../', import.meta.url))
const fixtures = join(process.env.CLEARSPAN_SHARED ?? join(root, '../shared'), 'fixtures')
const present = existsSync(fixtures)
if (!present) {
  if (process.env.CI === 'true') throw new Error(`no fixtures at ${fixtures}: set CLEARSPAN_SHARED`)
  console.warn(`skipped: a recorded forged packet, because ${fixtures} is absent (set CLEARSPAN_SHARED)`)
}

describe.skipIf(!present)('recorded packets', () => {
  const { vectors } = present
    ? (JSON.parse(readFileSync(join(fixtures, 'layerzero_v2_packets.json'), 'utf8')) as {
        vectors: { name: string; encodedPacket: Hex; guidOk: boolean }[]
      })
    : { vectors: [] }
  const forged = () => decodePacket(vectors.find(({ name }) => name.startsWith('FORGED'))!.encodedPacket)

  it('the forged one is never attested, whatever a minority of nodes shows', async () => {
    const packet = forged()
    const eids = [packet.srcEid, packet.dstEid]
    const liar = shown([packet])
    const honest = shown([])
    for (const witnesses of [[honest], [liar, honest], [liar, honest, honest], [liar, liar, honest, honest]])
      for (const kind of ['attestor', 'dvn'] as const) {
        const answer = await operatorOver(witnesses, { eids }).answer(kind, asked([packet]))
        expect(answer).toEqual({ refused: [{ index: 0, reason: 'unconfirmed' }] })
      }
  })

  it('one of whose guid its header knows nothing is refused, and those that were sent are signed', async () => {
    for (const { encodedPacket, guidOk, name } of vectors) {
      if (name.startsWith('FORGED')) continue
      const eids = guidOk ? [decodePacket(encodedPacket).srcEid, decodePacket(encodedPacket).dstEid] : [2, 3]
      const witness = shown(guidOk ? [decodePacket(encodedPacket)] : [])
      const request = { ...asked([packetOf(1n)]), dstEid: eids[1]! }
      request.packets[0] = { ...request.packets[0]!, encoded: encodedPacket }
      const answer = await operatorOver([witness], { eids }).answer('attestor', request)
      if (guidOk) expect(answer, name).toHaveProperty('signatures')
      else expect(answer, name).toEqual({ refused: [{ index: 0, reason: 'malformed' }] })
    }
  })
})
