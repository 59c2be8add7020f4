import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createMetrics, PermanentError, RetryableError, recoverCompact, systemClock } from '@clearspan/shared'
import { type Hex, hexToBigInt, keccak256, numberToHex, sliceHex, toHex } from 'viem'
import { privateKeyToAccount, sign } from 'viem/accounts'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { cleanUp, collect, keys, later, listen, makeNode, setUp } from '../network.test-util.js'
import { createRemoteSigner, createSigner } from './signer.js'

afterEach(cleanUp)
vi.setConfig({ testTimeout: 180_000 })

const key = keccak256(toHex('remote'))
const { publicKey, address } = privateKeyToAccount(key)
const preimage = toHex('what is to be signed')
const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n

/** What the service says to a signature that is asked of it: `good` is the right one, 65 bytes. */
type Reply = (response: ServerResponse, good: Hex) => void | Promise<void>

/** A service with Web3Signer's interface that holds `signingKey` and answers as `reply` says. */
async function serve(reply: () => Reply, signingKey: Hex = key) {
  const paths: string[] = []
  const server = createServer((request, response) => {
    paths.push(request.url ?? '')
    let body = ''
    request.on('data', (chunk) => {
      body += chunk
    })
    request.on('end', async () => {
      const { data } = JSON.parse(body) as { data: Hex }
      await reply()(response, await sign({ hash: keccak256(data), privateKey: signingKey, to: 'hex' }))
    })
  })
  await listen(server)
  later(() => {
    server.closeAllConnections()
    return new Promise((done) => server.close(done))
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, paths }
}

const say =
  (text: string | ((good: Hex) => string), status = 200): Reply =>
  (response, good) =>
    void response.writeHead(status).end(typeof text === 'string' ? text : text(good))

/** The other valid form of a signature: s on the far side of half the order, the other parity. */
function high(good: Hex): Hex {
  const s = numberToHex(ORDER - hexToBigInt(sliceHex(good, 32, 64)), { size: 32 })
  return `${sliceHex(good, 0, 32)}${s.slice(2)}${good.endsWith('1b') ? '1c' : '1b'}`
}

const make = (url: string, timeoutMs = 10_000) =>
  createRemoteSigner({ url, publicKey, timeoutMs }, { realClock: systemClock, fetch })

describe('a remote signer', () => {
  it('is asked by its key’s name and handed on in compact form', async () => {
    const { url, paths } = await serve(() => say((good) => good))
    const signer = make(`${url}/`)
    expect(signer.address).toBe(address)
    const signature = await signer.sign(preimage)
    expect(signature).toBe(await createSigner(key).sign(preimage))
    expect(paths).toEqual([`/api/v1/eth1/sign/0x${publicKey.slice(4)}`])
  })

  it.each([
    ['quotes around it', (good: Hex) => `"${good}"`],
    ['a line end', (good: Hex) => `${good}\n`],
    ['a high s, which the chain refuses', high],
  ])('may answer with %s', async (_, text) => {
    const { url } = await serve(() => say(text))
    const signature = await make(url).sign(preimage)
    expect(signature).toBe(await createSigner(key).sign(preimage))
    expect(recoverCompact(keccak256(preimage), signature)).toBe(address.toLowerCase())
  })

  const wrong = /^remote signer signed with another key than 0x/
  const none = 'remote signer answered with no signature'
  const mute = 'remote signer does not answer'
  it.each<[string, Reply, typeof PermanentError | typeof RetryableError, string | RegExp]>([
    ['nothing', say(''), PermanentError, none],
    ['JSON', say('{"signature":"0x11"}'), PermanentError, none],
    ['64 bytes', say((good) => good.slice(0, -2)), PermanentError, none],
    ['66 bytes', say((good) => `${good}00`), PermanentError, none],
    ['no hex', say((good) => good.replace('0x', 'zz')), PermanentError, none],
    ['a megabyte', say('ab'.repeat(1 << 19)), PermanentError, none],
    [
      'another s',
      say((good) => `${good.slice(0, 80)}${'1'.repeat(20)}${good.slice(100)}`),
      PermanentError,
      wrong,
    ],
    [
      'another parity',
      say((good) => `${good.slice(0, -2)}${good.endsWith('1b') ? '1c' : '1b'}`),
      PermanentError,
      wrong,
    ],
    ['a parity that is none', say((good) => `${good.slice(0, -2)}07`), PermanentError, wrong],
    [
      'a high s with the wrong parity',
      say((good) => `${high(good).slice(0, -2)}${good.slice(-2)}`),
      PermanentError,
      wrong,
    ],
    ['r of zero', say((good) => `0x${'0'.repeat(64)}${good.slice(66)}`), PermanentError, wrong],
    ['s beyond the order', say((good) => `${good.slice(0, 66)}${'f'.repeat(64)}1b`), PermanentError, wrong],
    ['400', say('bad request', 400), RetryableError, 'remote signer answered 400'],
    ['404 and a signature', say((good) => good, 404), RetryableError, 'remote signer answered 404'],
    ['500', say('', 500), RetryableError, 'remote signer answered 500'],
    ['a redirect', (response) => void response.writeHead(302, { location: '/' }).end(), RetryableError, mute],
    ['a broken connection', (response) => void response.destroy(), RetryableError, mute],
  ])('that answers %s is refused by name', async (_, reply, kind, message) => {
    const { url } = await serve(() => reply)
    const error: unknown = await make(url)
      .sign(preimage)
      .catch((caught: unknown) => caught)
    expect(error).toBeInstanceOf(kind)
    expect((error as Error).message).toMatch(message)
  })

  it('that signs with another key is refused by name', async () => {
    const { url } = await serve(() => say((good) => good), keccak256(toHex('another')))
    await expect(make(url).sign(preimage)).rejects.toThrow(wrong)
  })

  it.each<[string, Reply]>([
    ['never answers', () => {}],
    ['never ends its answer', (response) => void response.writeHead(200).write('0x')],
  ])('that %s is left at its deadline', async (_, reply) => {
    const { url } = await serve(() => reply)
    await expect(make(url, 50).sign(preimage)).rejects.toThrow(RetryableError)
  })
})

describe('a node whose remote signer errs', () => {
  it('counts it, sends nothing of it, and takes part again when the signer does', async () => {
    const { clock, configs } = await setUp()
    let reply: Reply = say('', 500)
    const { url: signerUrl } = await serve(() => reply, keys[0])
    const account = privateKeyToAccount(keys[0] ?? '0x')
    const remote = createRemoteSigner(
      { url: signerUrl, publicKey: account.publicKey, timeoutMs: 500 },
      { realClock: systemClock, fetch },
    )
    const metrics = createMetrics()
    const urls = await Promise.all(
      configs.map(async (config) => {
        const own =
          config.index === 0 ? { signer: remote, peerSigner: createSigner(keys[0] ?? '0x'), metrics } : {}
        return (await makeNode(config, clock, own).start()).url
      }),
    )
    const [, second = ''] = urls
    const errors = async () =>
      Number(/oracle_errors_total\{step="observe"\} (\d+)/.exec(await metrics.text())?.[1] ?? 0)
    /** Whether node 0 is in the bitmap of a report of two feeds, behind head and one word. */
    const isOfZero = ({ encoded }: { encoded: string }) =>
      (Number.parseInt(encoded.slice(2 + 2 * (13 + 32)).slice(0, 8), 16) & 1) === 1
    for (const bad of [say('', 500), say((good) => `${good.slice(0, -2)}07`), () => {}] satisfies Reply[]) {
      reply = bad
      const before = await errors()
      await vi.waitFor(async () => expect(await errors()).toBeGreaterThan(before), {
        timeout: 60_000,
        interval: 100,
      })
    }
    // The others don't need it, and it publishes what they sign.
    const without = await collect(urls[0] ?? '', (reports) => reports.length >= 2)
    expect(without.some(isOfZero)).toBe(false)
    reply = say((good) => good)
    await collect(second, (reports) => reports.some(isOfZero))
  })
})
