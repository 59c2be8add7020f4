import { describe, expect, it } from 'vitest'
import { createUpdateVerifier, type GuardianSet } from './accumulator.js'
import { createHermesDecoder, createVaaDecoder, decodeUnread } from './pyth.js'
import { hermesEvent, signedUpdate, testGuardians } from './pythUpdate.test-util.js'
import { fixture, hasFixtures } from './testData.js'

const present = hasFixtures('real Pyth updates against the real guardians')
const ID = 'ff61491a931112ddf1bd8147cd1b641375f79f5825126d665480874634fd0ace'
const OTHER = '2b89b9dc8fdf9f34709a5b106b472f0f39bb6ca9ce04b0fd7f2e971688e2e53b'
const NOBODY = '0x0000000000000000000000000000000000000000'

/** Guardian sets 3 and 4, by the signatures of all captured updates; the place of whoever signed none stays empty. */
function mainnetSets(): GuardianSet[] {
  const sets = new Map<number, string[]>()
  for (const { guardianSet, recoveredGuardians } of fixture('pyth_hermes_v2_updates.json').updates) {
    const addresses = sets.get(guardianSet) ?? Array<string>(19).fill(NOBODY)
    for (const guardian of recoveredGuardians) {
      const [place, address] = guardian.split(':')
      addresses[Number(place)] = address
    }
    sets.set(guardianSet, addresses)
  }
  return [...sets].map(([index, addresses]) => ({ index, addresses }))
}

const bytes = (hex: string) => Buffer.from(hex, 'hex')

describe.skipIf(!present)('real updates', () => {
  const updates = () =>
    fixture('pyth_hermes_v2_updates.json').updates as {
      binary: { data: string[] }
      parsed: { id: string; price: { price: string; conf: string; expo: number; publish_time: number } }[]
    }[]

  it('hold against the guardians of their time, to the last digit', () => {
    const verify = createUpdateVerifier(mainnetSets())
    let messages = 0
    for (const { binary, parsed } of updates()) {
      const found = verify(bytes(binary.data[0] ?? ''))
      if (typeof found === 'string') throw new Error(found)
      expect(found.map(({ slot: _, ...rest }) => rest)).toEqual(
        parsed.map(({ id, price }) => ({
          id,
          price: BigInt(price.price),
          confidence: BigInt(price.conf),
          expo: price.expo,
          publishTime: BigInt(price.publish_time),
        })),
      )
      messages += found.length
    }
    expect(messages).toBeGreaterThan(40)
    const verbatim = fixture('pyth_hermes_v2_verbatim.json').response_v2_updates_price_latest
    expect(createHermesDecoder(verify)(JSON.stringify(verbatim))).toMatchObject({
      kind: 'ticks',
      ticks: [
        {
          price: 61_409_935_010_000_000_000_000n,
          eventTime: 1714746101000,
          sequence: BigInt(verbatim.parsed[0].metadata.slot),
        },
        {},
      ],
    })
  })

  it('the same as Price Service v1 carries them', () => {
    const decode = createVaaDecoder(createUpdateVerifier(mainnetSets()))
    for (const [feed] of fixture('pyth_price_service_v1.json').latest_price_feeds) {
      const decoded = decode(feed.vaa)
      expect(decoded.kind).toBe('ticks')
      const tick = decoded.kind === 'ticks' && decoded.ticks.find(({ symbol }) => symbol === feed.id)
      expect(tick).toMatchObject({ eventTime: feed.price.publish_time * 1000 })
    }
  })

  it('fail when any byte of what was signed or proven is another, and under other guardians', () => {
    const [first] = updates()
    const original = bytes(first?.binary.data[0] ?? '')
    const verify = createUpdateVerifier(mainnetSets())
    expect(typeof verify(original)).toBe('object')
    for (let at = 10; at < original.length; at += 29) {
      const broken = Buffer.from(original)
      broken[at] = (broken[at] ?? 0) ^ 0x01
      expect(typeof createUpdateVerifier(mainnetSets())(broken), `byte ${at}`).toBe('string')
    }
    for (let length = 0; length < original.length; length += 97) {
      expect(typeof verify(original.subarray(0, length))).toBe('string')
    }
    expect(createUpdateVerifier([testGuardians])(original)).toBe('unknown_guardians')
    const [set] = mainnetSets()
    const shuffled = { ...set!, addresses: [...set!.addresses].reverse() }
    expect(createUpdateVerifier([shuffled])(original)).toBe('bad_signature')
    expect(createUpdateVerifier([{ ...set!, quorum: 14 }])(original)).toBe('no_quorum')
  })

  it('captured bad ones are refused for their own reason', () => {
    const testKeys = { index: 0, addresses: ['0x7e5f4552091a69125d5dfcb7b8c2659029395bdf'] }
    const verify = createUpdateVerifier([...mainnetSets(), testKeys])
    const { updates: negative } = fixture('pyth_negative.json')
    const reasons = negative.map(({ binary }: { binary: { data: string[] } }) =>
      verify(bytes(binary.data[0] ?? '')),
    )
    expect(reasons).toEqual(['bad_emitter', 'bad_emitter', 'bad_proof', 'malformed', 'unexpected_shape'])
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
    const reason = (change: object) => decode(hermesEvent([{ ...price, ...change }]))
    for (const change of [{ price: 0n }, { price: -1n }, { expo: -31 }, { expo: 13 }]) {
      expect(reason(change)).toEqual({ kind: 'rejected', reason: 'bad_price' })
    }
    expect(reason({ publishTime: 0 })).toEqual({ kind: 'rejected', reason: 'bad_time' })
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
