import { describe, expect, it } from 'vitest'
import { createUpdateVerifier } from './accumulator.js'
import { createHermesDecoder, createVaaDecoder, decodeUnread } from './pyth.js'
import { hermesEvent, signedUpdate, testGuardians } from './pythUpdate.test-util.js'
import { fixture, hasFixtures, mainnetGuardians } from './testData.js'

const present = hasFixtures('real Pyth updates against the real guardians')
const ID = 'ff61491a931112ddf1bd8147cd1b641375f79f5825126d665480874634fd0ace'
const OTHER = '2b89b9dc8fdf9f34709a5b106b472f0f39bb6ca9ce04b0fd7f2e971688e2e53b'
describe.skipIf(!present)('real updates', () => {
  it('fail when any byte of what was signed or proven is another, and under other guardians', () => {
    const [first] = fixture('pyth_hermes_v2_updates.json').updates
    const original = Buffer.from(first.binary.data[0], 'hex')
    const verify = createUpdateVerifier(mainnetGuardians())
    expect(typeof verify(original)).toBe('object')
    for (let at = 10; at < original.length; at += 29) {
      const broken = Buffer.from(original)
      broken[at] = (broken[at] ?? 0) ^ 0x01
      expect(typeof createUpdateVerifier(mainnetGuardians())(broken), `byte ${at}`).toBe('string')
    }
    for (let length = 0; length < original.length; length += 97) {
      expect(typeof verify(original.subarray(0, length))).toBe('string')
    }
    expect(createUpdateVerifier([testGuardians])(original)).toBe('unknown_guardians')
    const [set] = mainnetGuardians()
    const shuffled = { ...set!, addresses: [...set!.addresses].reverse() }
    expect(createUpdateVerifier([shuffled])(original)).toBe('bad_signature')
    expect(createUpdateVerifier([{ ...set!, quorum: 14 }])(original)).toBe('no_quorum')
  })
})

describe('updates of local guardians', () => {
  const verify = createUpdateVerifier([testGuardians])
  const price = { id: ID, price: 20_000_000_000n, publishTime: 1_700_000_000 }
  const other = { id: OTHER, price: 100_000_000n, publishTime: 1_700_000_000 }

  it('hold with a quorum, whoever it is made of', () => {
    expect(verify(signedUpdate([price, other]))).toMatchObject([
      { id: ID },
      { id: OTHER, price: 100_000_000n },
    ])
    expect(verify(signedUpdate([price], { guardians: [1, 2, 3] }))).toHaveLength(1)
    expect(verify(signedUpdate([price], { guardians: [0, 1, 2, 3] }))).toHaveLength(1)
  })

  it('are refused below the quorum, with a repeated or misordered signer, another set, another emitter, another type', () => {
    const reason = (twist: Parameters<typeof signedUpdate>[1]) => verify(signedUpdate([price], twist))
    expect(reason({ guardians: [0, 1] })).toBe('no_quorum')
    expect(reason({ guardians: [0, 1, 1] })).toBe('bad_signature')
    expect(reason({ guardians: [1, 0, 2] })).toBe('bad_signature')
    expect(reason({ set: 8 })).toBe('unknown_guardians')
    expect(reason({ emitterChain: 1 })).toBe('bad_emitter')
    expect(reason({ messageType: 1 })).toBe('unexpected_shape')
    expect(verify(Buffer.concat([signedUpdate([price]), Buffer.from([0])]))).toBe('malformed')
    const swapped = signedUpdate([price, other])
    swapped[swapped.length - 1] = (swapped.at(-1) ?? 0) ^ 1
    expect(verify(swapped)).toBe('bad_proof')
  })

  it('an unsigned `parsed` changes nothing, and what publishers cannot mean is no price', () => {
    const decode = createHermesDecoder(verify)
    const event = JSON.parse(hermesEvent([price]))
    const lie = {
      ...event,
      parsed: [{ id: ID, price: { price: '1', conf: '0', expo: -8, publish_time: 1 } }],
    }
    expect(decode(JSON.stringify(lie))).toMatchObject({
      kind: 'ticks',
      ticks: [{ symbol: ID, price: 200n * 10n ** 18n, eventTime: 1_700_000_000_000 }],
    })
    const skips = (change: object, reason: string) =>
      expect(decode(hermesEvent([{ ...price, ...change }, other]))).toMatchObject({
        kind: 'ticks',
        ticks: [{ symbol: OTHER, price: 10n ** 18n }],
        skipped: [{ kind: 'skipped', symbol: ID, reason }],
      })
    for (const change of [{ price: 0n }, { price: -1n }, { expo: -31 }, { expo: 13 }]) {
      skips(change, 'bad_price')
    }
    skips({ publishTime: 0 }, 'bad_time')
  })

  it('a bad message is dropped alone, a bad proof or signature takes the whole update', () => {
    const decode = createHermesDecoder(verify)
    const bad = { ...price, price: 0n }
    expect(decode(hermesEvent([bad]))).toEqual({
      kind: 'ticks',
      ticks: [],
      skipped: [{ kind: 'skipped', symbol: ID, reason: 'bad_price' }],
    })
    expect(decode(hermesEvent([other, bad], { guardians: [0, 1] }))).toEqual({
      kind: 'rejected',
      reason: 'no_quorum',
    })
    const update = signedUpdate([other, bad])
    update[update.length - 1] = (update.at(-1) ?? 0) ^ 1
    expect(createVaaDecoder(verify)(update.toString('base64'))).toEqual({
      kind: 'rejected',
      reason: 'bad_proof',
    })
  })

  it('of Price Service v1 say why there is none', () => {
    const decode = createVaaDecoder(verify)
    expect(decode(signedUpdate([price]).toString('base64')).kind).toBe('ticks')
    for (const vaa of ['*', '', 5, null]) expect(decode(vaa)).toMatchObject({ reason: 'malformed' })
    expect(decode(undefined)).toMatchObject({ reason: 'unexpected_shape' })
    const unread = (frame: unknown) => decodeUnread(JSON.stringify(frame), [ID])
    expect(unread({ type: 'response', status: 'success' })).toEqual({ kind: 'control' })
    expect(unread({ type: 'response', status: 'error' })).toMatchObject({ reason: 'venue_error' })
    expect(unread(null)).toMatchObject({ reason: 'malformed' })
    for (const frame of [{}, { type: 'price_update' }, { type: 'price_update', price_feed: { id: ID } }]) {
      expect(unread(frame)).toMatchObject({ reason: 'unexpected_shape' })
    }
    expect(unread({ type: 'price_update', price_feed: { id: 'x' } })).toMatchObject({
      reason: 'unknown_symbol',
    })
  })
})
