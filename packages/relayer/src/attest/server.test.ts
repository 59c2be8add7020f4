import { createLogger, createMetrics, PermanentError, systemClock } from '@clearspan/shared'
import Fastify from 'fastify'
import { keccak256, pad, toHex, zeroHash } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { signRequest } from './auth.js'
import { createRemoteOperator } from './remote.js'
import { createAttestServer } from './server.js'
import { type AttestAnswer, type AttestRequest, encodeRequest, MAX_PACKETS } from './wire.js'

const operatorKey = privateKeyToAccount(pad('0xa'))
const asker = privateKeyToAccount(pad('0xb'))
const stranger = privateKeyToAccount(pad('0xc'))
const networkId = zeroHash
const late = { ...systemClock, now: () => systemClock.now() - 60_000 }
const request: AttestRequest = {
  dstEid: 102,
  expiry: 2_000n,
  operatorSet: 1,
  packets: [{ encoded: '0x01', blockNumber: 7n, blockHash: keccak256('0x01'), confirmations: 3n }],
}
const refused: AttestAnswer = { refused: [{ index: 0, reason: 'unconfirmed' }] }

let heard: AttestRequest[]
let reply: () => Promise<AttestAnswer>
let server: ReturnType<typeof createAttestServer>
let url: string

beforeEach(async () => {
  heard = []
  reply = async () => refused
  server = createAttestServer({
    operator: {
      address: operatorKey.address,
      answer: (_, one) => {
        heard.push(one)
        return reply()
      },
    },
    networkId,
    askers: [asker.address],
    clock: systemClock,
    logger: createLogger({ name: 'test', level: 'silent' }),
    metrics: createMetrics(),
  })
  url = await server.listen({ host: '127.0.0.1', port: 0 })
})
afterEach(() => server.close())

const remote = (account = asker, clock = systemClock) =>
  createRemoteOperator(
    { url, address: operatorKey.address },
    { kind: 'attestor', networkId, account, clock, fetch },
  )
const ask = (operator = remote()) => operator.ask(request, new AbortController().signal)

/** Sends text signed as the asker would sign it. */
async function post(text: string, change: Record<string, string> = {}, path = '/attest/root') {
  const body = new TextEncoder().encode(text)
  const headers = await signRequest(asker, systemClock, {
    networkId,
    operator: operatorKey.address,
    path,
    body,
  })
  const sent = { ...headers, 'content-type': 'application/json', ...change }
  return (await fetch(`${url}${path}`, { method: 'POST', body, headers: sent })).status
}

describe("an operator's interface", () => {
  it('answers who it knows, with what was asked', async () => {
    expect(await ask()).toEqual(refused)
    expect(heard).toEqual([request])
  })

  it.each([
    ['a stranger', () => ask(remote(stranger))],
    ['a clock a minute behind', () => ask(remote(asker, late))],
  ])('turns away %s', async (_, asking) => {
    await expect(asking()).rejects.toThrow(/401/)
    expect(heard).toEqual([])
  })

  it('turns away a body, a path and headers that were not signed', async () => {
    const text = encodeRequest(request)
    const body = new TextEncoder().encode(text)
    const signed = { networkId, operator: operatorKey.address, path: '/attest/root', body }
    const headers = { ...(await signRequest(asker, systemClock, signed)), 'content-type': 'application/json' }
    const send = (path: string, sent: string, own: Record<string, string> = headers) =>
      fetch(`${url}${path}`, { method: 'POST', body: sent, headers: own }).then(({ status }) => status)
    expect(await send('/attest/root', text)).toBe(200)
    expect(await send('/attest/root', `${text} `)).toBe(401)
    expect(await send('/attest/dvn', text)).toBe(401)
    expect(await send('/attest/root', text, { 'content-type': 'application/json' })).toBe(401)
    expect(await post(text, { 'clearspan-signature': '0x00' })).toBe(401)
    expect(await post(text, { 'clearspan-time': 'soon' })).toBe(401)
    expect(heard).toHaveLength(1)
  })

  it.each([
    ['no JSON', '{'],
    ['a field of its own', JSON.stringify({ ...JSON.parse(encodeRequest(request)), root: zeroHash })],
    ['no packet', encodeRequest({ ...request, packets: [] })],
    [
      'too many packets',
      encodeRequest({ ...request, packets: Array(MAX_PACKETS + 1).fill(request.packets[0]) }),
    ],
    [
      'a packet too long',
      encodeRequest({
        ...request,
        packets: [{ ...request.packets[0]!, encoded: toHex(new Uint8Array(16_385)) }],
      }),
    ],
    ['a number beyond 64 bits', encodeRequest({ ...request, expiry: 1n << 64n })],
    ['half a byte', encodeRequest({ ...request, packets: [{ ...request.packets[0]!, encoded: '0x012' }] })],
  ])('refuses a body with %s', async (_, text) => {
    expect(await post(text)).toBe(400)
    expect(heard).toEqual([])
  })

  it('refuses what is too large, and other content, before it looks into it', async () => {
    expect(await post('x'.repeat(5_000_000))).toBe(413)
    expect(await post(encodeRequest(request), { 'content-type': 'text/plain' })).toBe(415)
  })

  it('says what is wrong, and hides what is not the asker’s affair', async () => {
    reply = () => Promise.reject(new PermanentError('an expiry that has passed'))
    await expect(ask()).rejects.toThrow(/409.*expiry/)
    reply = () => Promise.reject(new Error('http://node?key=secret'))
    await expect(ask()).rejects.toThrow(/^(?!.*secret).*503/)
  })

  it('takes sixteen questions at a time', async () => {
    let free = () => {}
    const held = new Promise<void>((done) => {
      free = done
    })
    let all = () => {}
    const full = new Promise<void>((done) => {
      all = done
    })
    reply = () => {
      if (heard.length === 16) all()
      return held.then(() => refused)
    }
    const waiting = Array.from({ length: 16 }, () => ask())
    await full
    await expect(ask()).rejects.toThrow(/503/)
    free()
    expect(await Promise.all(waiting)).toHaveLength(16)
  })
})

describe('whoever asks', () => {
  const answering = (body: string, status = 200) =>
    createRemoteOperator(
      { url, address: operatorKey.address },
      {
        kind: 'attestor',
        networkId,
        account: asker,
        clock: systemClock,
        fetch: async () => new Response(body, { status }),
      },
    ).ask(request, new AbortController().signal)

  it.each([
    ['nonsense', '<html>'],
    ['another shape', '{"signatures":"all"}'],
    ['a signature of the wrong length', '{"signatures":["0x00"]}'],
    ['both answers', JSON.stringify({ ...refused, signatures: [`0x${'11'.repeat(65)}`] })],
    ['a reason that it does not know', '{"refused":[{"index":0,"reason":"because"}]}'],
    ['more than any honest answer', JSON.stringify({ signatures: [`0x${'11'.repeat(65)}`] }).padEnd(70_000)],
  ])('believes no operator that answers %s', async (_, body) => {
    await expect(answering(body)).rejects.toThrow()
  })

  it('follows no redirect', async () => {
    await server.close()
    const elsewhere = Fastify({ forceCloseConnections: true })
    elsewhere.post('/attest/root', (_, reply) => reply.redirect('http://127.0.0.1:1/', 307))
    url = await elsewhere.listen({ host: '127.0.0.1', port: 0 })
    await expect(ask()).rejects.toThrow()
    await elsewhere.close()
  })
})
