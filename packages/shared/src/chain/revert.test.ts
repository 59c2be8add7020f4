import fc from 'fast-check'
import { concatHex, encodeErrorResult, parseAbi, toHex } from 'viem'
import { expect, test } from 'vitest'
import { decodeRevert } from './revert.js'

const abi = parseAbi(['error NotReady(uint256 at)', 'error Because(string why, bytes[] proof)'])

test("known errors are named, Solidity's own among them", () => {
  const known = encodeErrorResult({ abi, errorName: 'NotReady', args: [7n] })
  expect(decodeRevert(known, abi)).toEqual({ name: 'NotReady', args: [7n], data: known })
  const standard = parseAbi(['error Error(string)'])
  const reason = encodeErrorResult({ abi: standard, errorName: 'Error', args: ['no'] })
  expect(decodeRevert(reason, [])).toEqual({ name: 'Error', args: ['no'], data: reason })
})

test('whatever bytes a contract reverts with, decoding them throws nothing', () => {
  const selector = fc.constantFrom(
    '0x08c379a0',
    '0x4e487b71',
    encodeErrorResult({ abi, errorName: 'NotReady', args: [0n] }).slice(0, 10),
    '0x',
  )
  const unreadable = '0x08c379a000' as const
  expect(decodeRevert(unreadable, [])).toEqual({ name: undefined, args: [], data: unreadable })
  fc.assert(
    fc.property(selector, fc.uint8Array({ maxLength: 200 }), (head, bytes) => {
      const data = concatHex([head as '0x', toHex(bytes)])
      expect(decodeRevert(data, abi).data).toBe(data)
    }),
  )
})
