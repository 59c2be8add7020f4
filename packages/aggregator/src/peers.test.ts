import { systemClock } from '@clearspan/shared'
import { expect, it } from 'vitest'
import { SESSION_PATH } from './observation/auth.js'
import { createPeers } from './peers.js'

it('a peer whose session never opens is offered another once it is back', async () => {
  const failures: number[] = []
  const delivered: string[] = []
  let back = false
  const peers = createPeers({
    urls: ['http://self.test', 'http://peer.test'],
    index: 0,
    timeoutMs: 20,
    realClock: systemClock,
    // Its first answer never ends, and the runtime's fetch may leave a reader waiting however it was aborted.
    fetch: async (url) => {
      if (!String(url).endsWith(SESSION_PATH)) delivered.push(String(url))
      return new Response(back ? 'session' : new ReadableStream())
    },
    auth: {
      offer: async () => ({
        body: '{}',
        accept: () => ({ fresh: () => true, sign: () => ({ headers: {}, check: () => 1 }) }),
      }),
    },
    onTime: () => {},
    onFailure: (peer) => failures.push(peer),
  })
  await peers.tell('/news', 1)
  expect(failures).toEqual([1])
  back = true
  await peers.tell('/news', 2)
  expect(failures).toEqual([1])
  expect(delivered).toEqual(['http://peer.test/news'])
  peers.stop()
})
