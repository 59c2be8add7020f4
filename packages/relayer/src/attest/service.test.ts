import { createLogger, createMetrics, type Network, systemClock, UserError } from '@clearspan/shared'
import { pad, zeroHash } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { expect, it } from 'vitest'
import { startAttestService } from './service.js'

const account = privateKeyToAccount(pad('0x1'))

async function start(rpcUrls: string[], clock: Network['clock']) {
  const chain = { name: 'hub', chainId: 31337, eid: 1, rpcUrls, layerzero: {} }
  const network = { networkId: zeroHash, chains: [chain], clock } as unknown as Network
  const service = await startAttestService({
    network,
    config: { askers: [account.address], http: { host: '127.0.0.1', port: 0 } },
    account,
    clock: systemClock,
    logger: createLogger({ name: 'test', level: 'silent' }),
    metrics: createMetrics(),
  })
  await service.stop()
}

it('outside a local network an operator starts with no node, or host, that could decide alone', async () => {
  const [one, other] = ['http://one.example', 'http://two.example']
  await expect(start([one], null)).rejects.toThrow(UserError)
  await expect(start([one], null)).rejects.toThrow(/attest\.rpcUrls\.31337.*one\.example for 1 of 1 nodes/)
  await expect(start([`${one}/a`, `${one}/b`, other], null)).rejects.toThrow(/one\.example for 2 of 3/)
  await start([one, other], null)
  await start([one], { startMs: 0, realStartMs: 0, speed: 1 })
})
