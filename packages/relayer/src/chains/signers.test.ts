import { UserError } from '@clearspan/shared'
import { type LocalAccount, numberToHex, pad } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { describe, expect, it } from 'vitest'
import { checkSigningKeys, type SigningKeys, signersOf } from './signers.js'

const key = (n: number): LocalAccount => privateKeyToAccount(pad(numberToHex(n), { size: 32 }))
const keys = (change: Partial<SigningKeys> = {}): SigningKeys => ({
  price: key(1),
  bulk: [key(2), key(3)],
  urgent: [key(4)],
  ...change,
})

describe('signing keys', () => {
  it.each([
    ['of one purpose listed twice', keys({ bulk: [key(2), key(3), key(2)] }), 'keys.bulk'],
    ['of two purposes', keys({ urgent: [key(4), key(3)] }), 'keys.urgent'],
    [
      'of two purposes, on one chain alone',
      keys({ chains: { 10: { price: key(4) } } }),
      'keys.chains.10.price',
    ],
    [
      'of two purposes on two chains',
      keys({ chains: { 10: { bulk: key(9) }, 20: { price: key(9) } } }),
      'keys.chains.20.price',
    ],
    [
      'listed twice for one chain',
      keys({ chains: { 20: { bulk: [key(5), key(5)] } } }),
      'keys.chains.20.bulk',
    ],
    ['for a chain that there is not', keys({ chains: { 30: { bulk: [key(5)] } } }), 'keys.chains.30'],
    ['of a purpose without any', keys({ price: [] }), 'keys.price'],
  ])('%s are refused, and the place is named', (_, given, where) => {
    const check = () => checkSigningKeys(given, [10, 20])
    expect(check).toThrow(UserError)
    expect(check).toThrow(`${where}: `)
  })

  it('are taken by chain and purpose, one or several', () => {
    const given = keys({ chains: { 10: { bulk: [key(3), key(7)] } } })
    expect(() => checkSigningKeys(given, [10, 20])).not.toThrow()
    const of = (chainId: number, purpose: 'price' | 'bulk') =>
      signersOf(given, chainId, purpose).map(({ address }) => address)
    expect(of(10, 'bulk')).toEqual([key(3).address, key(7).address])
    expect(of(20, 'bulk')).toEqual([key(2).address, key(3).address])
    expect(of(10, 'price')).toEqual([key(1).address])
  })
})
