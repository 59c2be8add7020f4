import {
  createLogger,
  createMetrics,
  type Network,
  type QueueBackend,
  seededRandom,
  systemClock,
  UserError,
} from '@clearspan/shared'
import { numberToHex, pad } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { expect, it } from 'vitest'
import type { RelayerConfigInput } from './config.js'
import { createRelayer } from './relayer.js'

const [price, bulk, urgent] = [1, 2, 3].map((n) => privateKeyToAccount(pad(numberToHex(n))))
const rpcUrls = ['http://127.0.0.1:9', 'http://127.0.0.1:10']
const chain = { name: 'hub', chainId: 31337, rpcUrls, layerzero: {} }
const oracle = { feeds: [{ name: 'ETH/USD', exponent: -8 }] }
const network = { hub: { chainId: 31337 }, chains: [chain], oracle, clock: null } as unknown as Network

const base = {
  network,
  keys: { price: price!, bulk: bulk!, urgent: urgent!, dvnSigners: [] },
  clock: systemClock,
  networkClock: systemClock,
  logger: createLogger({ name: 'test', level: 'silent' }),
  metrics: createMetrics(),
  backend: {} as QueueBackend,
  random: seededRandom(1),
  fetch,
  ledgerDir: 'nonces',
}

/** A process without a key that signs packets. */
const create = (
  roles: NonNullable<RelayerConfigInput['roles']>,
  config: Partial<RelayerConfigInput> = {},
  layerzero: object = {},
) =>
  createRelayer({
    ...base,
    network: { ...network, chains: [{ ...chain, layerzero }] } as unknown as Network,
    config: { roles, ...config },
  })

it('a keeper needs no key that signs packets, whoever attests them does', async () => {
  expect(() => create(['relayer'])).toThrow(UserError)
  expect(() => create(['keeper', 'relayer'])).toThrow(/dvnSigners/)
  expect((await create(['keeper']).status()).roles).toEqual(['keeper'])
})

it('a process needs the keys of its own roles, and no other', () => {
  const start = (roles: NonNullable<RelayerConfigInput['roles']>, keys: object) => () =>
    createRelayer({ ...base, config: { roles, rpcUrls: {} }, keys: { dvnSigners: [price!], ...keys } })
  expect(start(['messages'], { bulk })).not.toThrow()
  expect(start(['prices', 'keeper'], { price, urgent, bulk })).not.toThrow()
  expect(start(['messages'], { price, urgent })).toThrow(/keys\.bulk/)
  expect(start(['prices'], { bulk, urgent })).toThrow(/keys\.price/)
  expect(start(['keeper'], { price, bulk })).toThrow(/keys\.urgent/)
  expect(start(['relayer'], { bulk })).toThrow(/keys\.price/)
  // For every chain of the network.
  expect(start(['prices'], { chains: { 31337: { price } } })).not.toThrow()
})

it('refuses a sending key that two purposes share or one lists twice', () => {
  const keeper = (bulkKeys: (typeof base.keys.bulk)[]) => () =>
    createRelayer({ ...base, config: { roles: ['keeper'] }, keys: { ...base.keys, bulk: bulkKeys } })
  expect(keeper([bulk!])).not.toThrow()
  expect(keeper([bulk!, bulk!])).toThrow(/keys\.bulk: .*twice/)
  expect(keeper([bulk!, price!])).toThrow(/keys\.bulk: .*keys\.price/)
})

it('refuses an Attestor without operators, and operators without a key to speak to them', () => {
  const layerzero = { attestor: price!.address }
  const operators = [{ url: 'http://127.0.0.1:9', address: price!.address }]
  expect(() => create(['relayer'], {}, layerzero)).toThrow(/relayer\.operators/)
  expect(() => create(['relayer'], { operators }, layerzero)).toThrow(/keys\.peer/)
  expect(() => create(['keeper'], {}, layerzero)).not.toThrow()
})

it('refuses price triggers of a chain or feed that the network does not have, by name', () => {
  const triggers = { heartbeatMs: 60_000, deviationBps: 50 }
  const start = (priceTriggers: RelayerConfigInput['priceTriggers']) => () =>
    create(['keeper'], { priceTriggers })
  expect(start({ 31337: { ...triggers, feeds: { 'ETH/USD': { deviationBps: 10 } } } })).not.toThrow()
  expect(start({ 5: triggers })).toThrow(/priceTriggers\.5/)
  expect(start({ 31337: { ...triggers, feeds: { 'DOGE/USD': {} } } })).toThrow(/DOGE\/USD/)
})

it('outside a local network one RPC host, and nonces in memory, are refused by name', () => {
  const relayer = (rpcUrls: string[]) => () =>
    createRelayer({
      ...base,
      config: { roles: ['relayer'], rpcUrls: { 31337: rpcUrls } },
      keys: { ...base.keys, dvnSigners: [price!] },
    })
  expect(relayer(['http://one.example/a', 'http://one.example/b'])).toThrow(
    /relayer\.rpcUrls\.31337.*one\.example for 2 of 2 nodes/,
  )
  expect(relayer(['http://one.example'])).toThrow(/one\.example for 1 of 1 nodes/)
  // A majority by itself, whatever else is named.
  expect(relayer(['http://one.example/a', 'http://one.example/a', 'http://two.example'])).toThrow(
    /one\.example for 2 of 3 nodes/,
  )
  expect(relayer(['http://one.example', 'http://two.example'])).not.toThrow()
  expect(() => createRelayer({ ...base, config: { roles: ['keeper'] }, ledgerDir: undefined })).toThrow(
    /ledgerDir/,
  )
})
