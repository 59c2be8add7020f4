import { hubGatewayAbi } from '@clearspan/contracts'
import { concatHex, encodeErrorResult, numberToHex, pad, parseAbi, toHex } from 'viem'
import { expect, it } from 'vitest'
import { describeReason } from './reason.js'

const standard = parseAbi(['error Error(string)', 'error Panic(uint256)'])

it("names Solidity's own errors, LayerZero's and those of our receivers", () => {
  const paused = encodeErrorResult({ abi: standard, errorName: 'Error', args: ['paused'] })
  expect(describeReason(paused)).toBe('Error(paused)')
  const overflow = encodeErrorResult({ abi: standard, errorName: 'Panic', args: [0x11n] })
  expect(describeReason(overflow)).toBe('Panic(17)')
  // The selector as the deployed endpoint has it.
  expect(describeReason(concatHex(['0x7182306f', pad('0x1'), pad('0x2')]))).toBe(
    `LZ_PayloadHashNotFound(${pad('0x1')}, ${pad('0x2')})`,
  )
  const own = hubGatewayAbi.find((item) => item.type === 'error' && item.inputs.length === 0)
  if (own?.type !== 'error') throw new Error('the hub gateway has no error without arguments')
  expect(describeReason(encodeErrorResult({ abi: [own] }))).toBe(`${own.name}()`)
})

it('says nothing of what it does not know, or what was cut off', () => {
  expect(describeReason('0x')).toBe(undefined)
  expect(describeReason('0x12345678')).toBe(undefined)
  const long = encodeErrorResult({ abi: standard, errorName: 'Error', args: ['no '.repeat(100)] })
  expect(describeReason(long.slice(0, 514) as `0x${string}`)).toBe(undefined)
  expect(describeReason(concatHex(['0x08c379a0', numberToHex(2n ** 255n), toHex('hostile')]))).toBe(undefined)
})
