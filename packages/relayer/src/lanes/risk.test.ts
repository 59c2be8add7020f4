import type { Network } from '@clearspan/shared'
import { getAddress, numberToHex, pad, zeroAddress } from 'viem'
import { expect, it } from 'vitest'
import { riskCalls } from './risk.js'

const address = (n: number) => getAddress(pad(numberToHex(n), { size: 20 }))
const network = {
  chains: [
    {
      tokens: [
        { assetId: 1, feed: 'USDC/USD' },
        { assetId: 2, feed: 'ETH/USD' },
      ],
    },
    { tokens: [{ assetId: 3, feed: 'USDC/USD' }] },
  ],
  hub: {
    contracts: { riskConfig: address(1), marginEngine: address(3) },
    instruments: [
      { id: 1, feed: 'ETH/USD' },
      { id: 2, feed: 'SOL/USD' },
      { id: 3, feed: 'ETH/USD' },
    ],
  },
  oracle: { feeds: ['USDC/USD', 'SOL/USD', 'ETH/USD', 'ETH.RV/VOL'].map((name) => ({ name })) },
} as unknown as Network

const said = (dynamicRisk: `0x${string}`) =>
  riskCalls(network, dynamicRisk).map(({ functionName, args, address }) => [functionName, args, address])

it('asks for each feed once, with all instruments of it, each class, each average, each credit and the grid', () => {
  const [risk, config, engine] = [address(2), address(1), address(3)]
  expect(said(risk)).toEqual([
    ['refresh', [0n, []], risk],
    ['refresh', [2n, [1n, 3n]], risk],
    ['refresh', [1n, [2n]], risk],
    ...[0n, 1n, 2n, 3n].map((riskClass) => ['refreshClass', [riskClass], risk]),
    ...[2n, 1n].map((feed) => ['observe', [feed], engine]),
    ...[1n, 2n, 3n].map((assetId) => ['moveCredit', [assetId], config]),
    ['moveGrid', [], config],
  ])
})

it('leaves what nobody is set to tell alone', () => {
  const names = said(zeroAddress).map(([name]) => name)
  expect(names).toEqual(['observe', 'observe', 'moveCredit', 'moveCredit', 'moveCredit', 'moveGrid'])
})
