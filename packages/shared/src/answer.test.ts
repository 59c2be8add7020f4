import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, it } from 'vitest'
import { readAnswer } from './answer.js'

const ends: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0)) await end()
})

/** Asks a server on loopback that answers with these bytes. */
async function ask(body: Buffer, headers: Record<string, string>, signal: AbortSignal) {
  const server = createServer((_, response) => response.writeHead(200, headers).end(body))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  ends.push(
    () =>
      new Promise((done) => {
        server.close(done)
        server.closeAllConnections()
      }),
  )
  return fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, { signal })
}
const open = new AbortController().signal

it('is its text, whole and with the half character at its end', async () => {
  expect(await readAnswer(await ask(Buffer.from('žluť'), {}, open), 6, open)).toBe('žluť')
  expect(await readAnswer(await ask(Buffer.from('žluť').subarray(0, 5), {}, open), 6, open)).toBe('žlu\ufffd')
  expect(await readAnswer(new Response(null), 1, open)).toBe('')
})

it('is null beyond its bound', async () => {
  expect(await readAnswer(await ask(Buffer.alloc(7), {}, open), 6, open)).toBeNull()
})

it('that can’t be unpacked ends with its signal', async () => {
  const ending = new AbortController()
  const response = await ask(Buffer.from('no gzip'), { 'content-encoding': 'gzip' }, ending.signal)
  const text = readAnswer(response, 1_000, ending.signal)
  ending.abort(new Error('over'))
  await expect(text).rejects.toThrow('over')
})

it('is none of a request that has ended', async () => {
  const response = await ask(Buffer.from('text'), {}, open)
  await expect(readAnswer(response, 1_000, AbortSignal.abort(new Error('over')))).rejects.toThrow('over')
})
