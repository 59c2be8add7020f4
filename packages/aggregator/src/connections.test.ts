import { EventEmitter } from 'node:events'
import type { Server, Socket } from 'node:net'
import { expect, it } from 'vitest'
import { limitConnections } from './connections.js'

/** A server of at most `max`, to which addresses connect; answers who of them are still there, in order. */
function crowd(max: number) {
  const server = new EventEmitter()
  const there: { from: string; socket: EventEmitter }[] = []
  let ended = 0
  limitConnections(server as Server, max, () => {
    ended += 1
  })
  return {
    come(...addresses: string[]) {
      for (const from of addresses) {
        const socket = Object.assign(new EventEmitter(), {
          remoteAddress: from,
          // Its end is heard of later, as with a real one.
          destroy: () => void there.splice(there.indexOf(one), 1),
        })
        const one = { from, socket }
        there.push(one)
        server.emit('connection', socket as unknown as Socket)
      }
    },
    leave: (at: number) => there.splice(at, 1)[0]?.socket.emit('close'),
    there: () => there.map(({ from }) => from),
    ended: () => ended,
  }
}

it('ends connections of whoever has the most, the oldest first', () => {
  const { come, there, ended } = crowd(4)
  come('b', 'a', 'a', 'a', 'c')
  expect(there()).toEqual(['b', 'a', 'a', 'c'])
  come('a', 'd')
  expect(there()).toEqual(['b', 'c', 'a', 'd'])
  expect(ended()).toBe(3)
})

it('turns the newcomer away where all have as many', () => {
  const { come, there } = crowd(3)
  come('a', 'b', 'c', 'd')
  expect(there()).toEqual(['a', 'b', 'c'])
})

it('counts what has left once', () => {
  const { come, leave, there, ended } = crowd(2)
  come('a', 'b')
  leave(0)
  leave(0)
  come('a', 'b')
  expect(there()).toEqual(['a', 'b'])
  expect(ended()).toBe(0)
})

it('takes an IPv6 network for one address, and a mapped IPv4 address for itself', () => {
  const { come, there } = crowd(3)
  come('2001:db8:1:2::1', '2001:db8:1:2:a:b:c:d', '2001:db8:1:3::1', '::1')
  expect(there()).toEqual(['2001:db8:1:2:a:b:c:d', '2001:db8:1:3::1', '::1'])
  const mapped = crowd(2)
  mapped.come('::ffff:10.0.0.1', '::ffff:10.0.0.2', '::ffff:10.0.0.1')
  expect(mapped.there()).toEqual(['::ffff:10.0.0.2', '::ffff:10.0.0.1'])
  const short = crowd(2)
  short.come('2001:db8::1', '2001:db8:0:0:5::', 'fe80::1')
  expect(short.there()).toEqual(['2001:db8:0:0:5::', 'fe80::1'])
})
