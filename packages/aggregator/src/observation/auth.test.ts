import { type Clock, systemClock } from '@clearspan/shared'
import { keccak256, toHex } from 'viem'
import { privateKeyToAddress } from 'viem/accounts'
import { describe, expect, it } from 'vitest'
import { authHeaders, createPeerAuth } from './auth.js'
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
const NOW = 1_700_000_000_000
const clockAt = (now: number): Clock => ({ ...systemClock, now: () => now })
const make = (
  index: number,
  key = index === 1 ? peerKey : (keys[index] ?? '0x'),
  now = NOW,
  network = protocol,
) => createPeerAuth({ protocol: network, index, signer: createSigner(key), realClock: clockAt(now) })
const body = '{"a":1}'
const bytes = new TextEncoder().encode(body)

describe('a request between operators', () => {
  it('is accepted from the peer that signed it, once', async () => {
    const { headers, digest } = await make(1).signRequest(0, 'POST', '/signatures', body)
    const receiver = make(0)
    expect(await receiver.checkRequest(headers, 'POST', '/signatures', bytes)).toEqual({ from: 1, digest })
    expect(await receiver.checkRequest(headers, 'POST', '/signatures', bytes)).toEqual({
      failure: 'replayed',
    })
  })

  it('is remembered as long as it could be repeated', async () => {
    const { headers } = await make(1).signRequest(0, 'POST', '/signatures', body)
    for (const later of [30_001, -30_001]) {
      expect(await make(0, keys[0], NOW + later).checkRequest(headers, 'POST', '/signatures', bytes)).toEqual(
        {
          failure: 'wrong_time',
        },
      )
    }
    expect(
      await make(0, keys[0], NOW + 30_000).checkRequest(headers, 'POST', '/signatures', bytes),
    ).toMatchObject({
      from: 1,
    })
  })

  const { node, time, nonce, signature } = authHeaders
  it.each([
    ['no headers', () => ({}), 'missing_header'],
    ['no nonce', (good: object) => ({ ...good, [nonce]: undefined }), 'missing_header'],
    ['a header twice', (good: object) => ({ ...good, [node]: ['1', '1'] }), 'malformed_header'],
    ['a node that is no number', (good: object) => ({ ...good, [node]: '-1' }), 'malformed_header'],
    ['a time beyond numbers', (good: object) => ({ ...good, [time]: '9'.repeat(400) }), 'malformed_header'],
    ['upper-case hex', (good: object) => ({ ...good, [nonce]: `0x${'AB'.repeat(16)}` }), 'malformed_header'],
    ['a short signature', (good: object) => ({ ...good, [signature]: '0x11' }), 'malformed_header'],
    ['a node outside the network', (good: object) => ({ ...good, [node]: '4' }), 'unknown_node'],
    ['the receiver itself', (good: object) => ({ ...good, [node]: '0' }), 'unknown_node'],
    ['another node', (good: object) => ({ ...good, [node]: '2' }), 'wrong_signature'],
    ['another time', (good: object) => ({ ...good, [time]: `${NOW + 1}` }), 'wrong_signature'],
    ['another nonce', (good: object) => ({ ...good, [nonce]: `0x${'ab'.repeat(16)}` }), 'wrong_signature'],
    [
      'no point of the curve',
      (good: object) => ({ ...good, [signature]: `0x${'ff'.repeat(64)}` }),
      'wrong_signature',
    ],
  ])('is refused with %s', async (_, change, failure) => {
    const { headers } = await make(1).signRequest(0, 'POST', '/signatures', body)
    expect(await make(0).checkRequest(change(headers), 'POST', '/signatures', bytes)).toEqual({ failure })
  })

  it('is refused for another body, path, method, recipient, key or network', async () => {
    const refused = { failure: 'wrong_signature' }
    const { headers } = await make(1).signRequest(0, 'POST', '/signatures', body)
    const other = new TextEncoder().encode('{"a":2}')
    expect(await make(0).checkRequest(headers, 'POST', '/signatures', other)).toEqual(refused)
    expect(await make(0).checkRequest(headers, 'POST', '/proposals', bytes)).toEqual(refused)
    expect(await make(0).checkRequest(headers, 'PUT', '/signatures', bytes)).toEqual(refused)
    expect(await make(2).checkRequest(headers, 'POST', '/signatures', bytes)).toEqual(refused)
    // The observing key doesn't speak for a node that has a key for its peers.
    const observer = await make(1, keys[1]).signRequest(0, 'POST', '/signatures', body)
    expect(await make(0).checkRequest(observer.headers, 'POST', '/signatures', bytes)).toEqual(refused)
    const foreign = make(1, peerKey, NOW, { ...protocol, networkId: keccak256(toHex('other')) })
    const abroad = await foreign.signRequest(0, 'POST', '/signatures', body)
    expect(await make(0).checkRequest(abroad.headers, 'POST', '/signatures', bytes)).toEqual(refused)
  })
})

describe('an answer', () => {
  it('counts only as the peer signed it, to this request', async () => {
    const asker = make(1)
    const { digest } = await asker.signRequest(0, 'POST', '/signatures', body)
    const headers = await make(0).signResponse(digest, 202, 'ok')
    expect(await asker.checkResponse(0, digest, 202, headers, 'ok')).toBe(NOW)
    expect(await asker.checkResponse(2, digest, 202, headers, 'ok')).toBeNull()
    expect(await asker.checkResponse(0, keccak256('0x'), 202, headers, 'ok')).toBeNull()
    expect(await asker.checkResponse(0, digest, 403, headers, 'ok')).toBeNull()
    expect(await asker.checkResponse(0, digest, 202, headers, 'no')).toBeNull()
    expect(await asker.checkResponse(0, digest, 202, {}, 'ok')).toBeNull()
  })
})
