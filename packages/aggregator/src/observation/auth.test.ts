import { type Clock, signingPreimage, systemClock } from '@clearspan/shared'
import { type Hex, keccak256, toHex } from 'viem'
import { privateKeyToAddress } from 'viem/accounts'
import { describe, expect, it } from 'vitest'
import { createPeerAuth, type PeerAuth } from './auth.js'
import { createWindow, sessionHeaders } from './session.js'
import { createSigner } from './signer.js'

const keys = [1, 2, 3, 4].map((n) => keccak256(toHex(`auth ${n}`)))
const peerKey = keccak256(toHex('auth, peer key of node 1'))
const protocol = {
  networkId: keccak256(toHex('auth')),
  oracle: {
    epoch: 1,
    slotMs: 1_000,
    feeds: [{ name: 'ETH/USD', exponent: -8 }],
    nodes: keys.map((key, index) => ({
      url: 'http://127.0.0.1:1',
      signer: privateKeyToAddress(key),
      ...(index === 1 ? { peer: privateKeyToAddress(peerKey) } : {}),
    })),
  },
}
const nextEpoch = { ...protocol, oracle: { ...protocol.oracle, epoch: 2 } }
const NOW = 1_700_000_000_000
const HOUR = 3_600_000
/** A clock that a test sets. */
const settable = () => {
  const time = { now: NOW }
  return { time, clock: { ...systemClock, now: () => time.now } satisfies Clock }
}
const make = (
  index: number,
  { key = index === 1 ? peerKey : (keys[index] ?? '0x'), clock = settable().clock, network = protocol } = {},
) => createPeerAuth({ protocol: network, index, signer: createSigner(key), realClock: clock })
const bytes = (text: string) => new TextEncoder().encode(text)
const body = '{"a":1}'

async function answerOf(receiver: PeerAuth, offer: string): Promise<string> {
  const answer = await receiver.answer(bytes(offer))
  if ('failure' in answer) throw new Error(answer.failure)
  return answer.body
}

async function open(sender: PeerAuth, receiver: PeerAuth, to = 0) {
  const { body: offer, accept } = await sender.offer(to)
  const session = accept(await answerOf(receiver, offer))
  if (!session) throw new Error('no session')
  return session
}

describe('a session between operators', () => {
  it('lets a request in once, from the peer that opened it', async () => {
    const receiver = make(0)
    const { headers } = (await open(make(1), receiver)).sign('POST', '/signatures', body)
    expect(receiver.checkRequest(headers, 'POST', '/signatures', bytes(body))).toMatchObject({
      from: { epoch: 1, node: 1 },
    })
    expect(receiver.checkRequest(headers, 'POST', '/signatures', bytes(body))).toEqual({
      failure: 'replayed',
    })
  })

  const { session, count, mac } = sessionHeaders
  it.each([
    ['no headers', () => ({}), 'missing_header'],
    ['no number', (good: object) => ({ ...good, [count]: undefined }), 'missing_header'],
    ['a header twice', (good: object) => ({ ...good, [count]: ['1', '1'] }), 'malformed_header'],
    [
      'a number beyond numbers',
      (good: object) => ({ ...good, [count]: '9'.repeat(400) }),
      'malformed_header',
    ],
    ['a negative number', (good: object) => ({ ...good, [count]: '-1' }), 'malformed_header'],
    ['upper-case hex', (good: object) => ({ ...good, [mac]: 'AB'.repeat(32) }), 'malformed_header'],
    ['a short mac', (good: object) => ({ ...good, [mac]: '11' }), 'malformed_header'],
    ['another session', (good: object) => ({ ...good, [session]: 'ab'.repeat(32) }), 'unknown_session'],
    ['another number', (good: object) => ({ ...good, [count]: '2' }), 'wrong_mac'],
    ['another mac', (good: object) => ({ ...good, [mac]: 'ab'.repeat(32) }), 'wrong_mac'],
  ])('refuses a request with %s', async (_, change, failure) => {
    const receiver = make(0)
    const { headers } = (await open(make(1), receiver)).sign('POST', '/signatures', body)
    expect(receiver.checkRequest(change(headers), 'POST', '/signatures', bytes(body))).toEqual({ failure })
    // And the number was not spent on it.
    expect(receiver.checkRequest(headers, 'POST', '/signatures', bytes(body))).toMatchObject({
      from: { epoch: 1, node: 1 },
    })
  })

  it('refuses a request for another body, path, method or recipient', async () => {
    const [sender, receiver] = [make(1), make(0)]
    const { headers } = (await open(sender, receiver)).sign('POST', '/signatures', body)
    const refused = { failure: 'wrong_mac' }
    expect(receiver.checkRequest(headers, 'POST', '/signatures', bytes('{"a":2}'))).toEqual(refused)
    expect(receiver.checkRequest(headers, 'POST', '/proposals', bytes(body))).toEqual(refused)
    expect(receiver.checkRequest(headers, 'PUT', '/signatures', bytes(body))).toEqual(refused)
    expect(make(2).checkRequest(headers, 'POST', '/signatures', bytes(body))).toEqual({
      failure: 'unknown_session',
    })
  })

  it('takes an answer only as the peer gave it, to this request', async () => {
    const receiver = make(0)
    const session = await open(make(1), receiver)
    const [asked, other] = [
      session.sign('POST', '/signatures', body),
      session.sign('POST', '/signatures', body),
    ]
    const caller = receiver.checkRequest(asked.headers, 'POST', '/signatures', bytes(body))
    if ('failure' in caller) throw new Error(caller.failure)
    const headers = caller.sign(202, 'ok')
    expect(asked.check(202, headers, 'ok')).toBe(NOW)
    expect(other.check(202, headers, 'ok')).toBeNull()
    expect(asked.check(403, headers, 'ok')).toBeNull()
    expect(asked.check(202, headers, 'no')).toBeNull()
    expect(asked.check(202, { ...headers, [sessionHeaders.time]: `${NOW + 1}` }, 'ok')).toBeNull()
    expect(asked.check(202, {}, 'ok')).toBeNull()
    // A request doesn't pass for an answer.
    expect(asked.check(202, { ...headers, [mac]: asked.headers[mac] }, 'ok')).toBeNull()
  })

  it('ends with its hour at one end, and with two at the other', async () => {
    const { time, clock } = settable()
    const receiver = make(0, { clock })
    const session = await open(make(1, { clock }), receiver)
    expect(session.fresh()).toBe(true)
    time.now += HOUR
    expect(session.fresh()).toBe(false)
    const late = (request: { headers: Record<string, string> }) =>
      receiver.checkRequest(request.headers, 'POST', '/signatures', bytes(body))
    expect(late(session.sign('POST', '/signatures', body))).toMatchObject({ from: { epoch: 1, node: 1 } })
    time.now += HOUR + 1
    expect(late(session.sign('POST', '/signatures', body))).toEqual({ failure: 'unknown_session' })
  })
})

describe('what was recorded', () => {
  it('is worth nothing after a restart: neither a request nor the offer before it', async () => {
    const { body: offer, accept } = await make(1).offer(0)
    const session = accept(await answerOf(make(0), offer))
    const { headers } = session?.sign('POST', '/signatures', body) ?? { headers: {} }
    const restarted = make(0)
    const replay = () => restarted.checkRequest(headers, 'POST', '/signatures', bytes(body))
    expect(replay()).toEqual({ failure: 'unknown_session' })
    // The offer is taken, but what comes of it are keys that only its maker could know.
    await answerOf(restarted, offer)
    expect(replay()).toEqual({ failure: 'unknown_session' })
  })

  it('is worth nothing to the same process either', async () => {
    const receiver = make(0)
    const { body: offer, accept } = await make(1).offer(0)
    const answer = await answerOf(receiver, offer)
    expect(await receiver.answer(bytes(offer))).toEqual({ failure: 'replayed' })
    // An old answer is none to a new offer.
    expect(accept(answer)).not.toBeNull()
    expect((await make(1).offer(0)).accept(answer)).toBeNull()
  })
})

describe('an offer', () => {
  const change = async (values: object, sender = make(1), to = 0) =>
    bytes(JSON.stringify({ ...JSON.parse((await sender.offer(to)).body), ...values }))

  it.each([
    ['is no JSON', () => bytes('{'), 'malformed_offer'],
    ['has a field too many', () => change({ extra: 1 }), 'malformed_offer'],
    ['has a short key', () => change({ key: '11' }), 'malformed_offer'],
    ['is of another epoch', () => change({ epoch: 2 }), 'unknown_epoch'],
    [
      'is of this epoch, but signed for another',
      () => change({ epoch: 1 }, make(1, { network: nextEpoch })),
      'wrong_signature',
    ],
    ['is of a node outside the network', () => change({ node: 4 }), 'unknown_node'],
    ['is of the receiver itself', () => change({ node: 0 }), 'unknown_node'],
    ['is of another node than says so', () => change({ node: 2 }), 'wrong_signature'],
    ['has another key than was signed', () => change({ key: 'ab'.repeat(32) }), 'wrong_signature'],
    ['has another time than was signed', () => change({ time: NOW + 1 }), 'wrong_signature'],
    [
      'is signed by no point of the curve',
      () => change({ signature: `0x${'ff'.repeat(64)}` }),
      'wrong_signature',
    ],
    ['is for another node', () => change({}, make(1), 2), 'wrong_signature'],
    // The observing key doesn't speak for a node that has a key for its peers.
    ['is signed by the observing key', () => change({}, make(1, { key: keys[1] as Hex })), 'wrong_signature'],
    [
      'is of another network',
      () => change({}, make(1, { network: { ...protocol, networkId: keccak256(toHex('other')) } })),
      'wrong_signature',
    ],
  ])('that %s is refused', async (_, offer, failure) => {
    expect(await make(0).answer(await offer())).toEqual({ failure })
  })

  it('is refused when it is old, or of the future', async () => {
    const { body: offer } = await make(1).offer(0)
    for (const [later, result] of [
      [30_001, { failure: 'wrong_time' }],
      [-30_001, { failure: 'wrong_time' }],
      [30_000, { body: expect.any(String) }],
    ] as const) {
      const { time, clock } = settable()
      time.now += later
      expect(await make(0, { clock }).answer(bytes(offer))).toEqual(result)
    }
  })

  it('with a key of small order, whose secret anybody knows, opens nothing', async () => {
    const types = {
      SessionOffer: [
        { name: 'to', type: 'address' },
        { name: 'epoch', type: 'uint32' },
        { name: 'key', type: 'bytes32' },
        { name: 'time', type: 'uint64' },
      ],
    } as const
    const key = '0'.repeat(64)
    const message = { to: protocol.oracle.nodes[0]?.signer, epoch: 1, key: `0x${key}`, time: BigInt(NOW) }
    const preimage = signingPreimage(protocol.networkId, types, 'SessionOffer', message)
    const signature = await createSigner(peerKey).sign(preimage)
    const offer = bytes(JSON.stringify({ epoch: 1, node: 1, key, time: NOW, signature }))
    expect(await make(0).answer(offer)).toEqual({ failure: 'malformed_offer' })
  })

  it('costs a peer its own oldest sessions only, and its own memory only', async () => {
    const receiver = make(0)
    const [mine, others] = [await open(make(1), receiver), await open(make(2), receiver)]
    for (let more = 0; more < 8; more++) await open(make(1), receiver)
    const use = ({ sign }: typeof mine) =>
      receiver.checkRequest(sign('POST', '/signatures', body).headers, 'POST', '/signatures', bytes(body))
    expect(use(mine)).toEqual({ failure: 'unknown_session' })
    expect(use(others)).toMatchObject({ from: { epoch: 1, node: 2 } })
  })

  it('is answered by the peer alone', async () => {
    const { body: offer, accept } = await make(1).offer(0)
    const answer = JSON.parse(await answerOf(make(0), offer)) as Record<string, unknown>
    expect(accept(JSON.stringify({ ...answer, key: 'ab'.repeat(32) }))).toBeNull()
    expect(accept(JSON.stringify({ ...answer, time: NOW + 1 }))).toBeNull()
    expect(accept('{')).toBeNull()
    // Another node that got hold of the offer can't answer for the one it was for.
    expect(await make(2).answer(bytes(offer))).toEqual({ failure: 'wrong_signature' })
    expect(accept(JSON.stringify(answer))).not.toBeNull()
  })
})

describe('numbers of requests', () => {
  it('are taken once each, in any order within the window', () => {
    const take = createWindow()
    expect([5, 3, 4, 3, 5, 1].map(take)).toEqual([true, true, true, false, false, true])
    expect(take(2_000)).toBe(true)
    expect([5, 6, 976, 977, 977].map(take)).toEqual([false, false, false, true, false])
  })
})
