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
import { createRelayer } from './relayer.js'

const [price, bulk, urgent] = [1, 2, 3].map((n) => privateKeyToAccount(pad(numberToHex(n))))
const chain = { name: 'hub', chainId: 31337, rpcUrls: ['http://127.0.0.1:9'] }
const network = { hub: { chainId: 31337 }, chains: [chain], clock: null } as unknown as Network

/** A process without a key that signs packets. */
const create = (roles: ('relayer' | 'keeper')[]) =>
  createRelayer({
    network,
    config: { roles },
    keys: { price: price!, bulk: bulk!, urgent: urgent!, dvnSigners: [] },
    clock: systemClock,
    networkClock: systemClock,
    logger: createLogger({ name: 'test', level: 'silent' }),
    metrics: createMetrics(),
    backend: {} as QueueBackend,
    random: seededRandom(1),
  })

it('a keeper needs no key that signs packets, whoever attests them does', async () => {
  expect(() => create(['relayer'])).toThrow(UserError)
  expect(() => create(['keeper', 'relayer'])).toThrow(/dvnSigners/)
  expect((await create(['keeper']).status()).roles).toEqual(['keeper'])
})
