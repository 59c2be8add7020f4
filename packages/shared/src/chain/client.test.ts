import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { encodeErrorResult, pad, parseAbi, parseEther } from 'viem'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { systemClock } from '../clock.js'
import { createLogger } from '../logger.js'
import { createMetrics } from '../metrics.js'
import { startAnvil, type TestAnvil } from './anvil.test-util.js'
import { createChainClient } from './client.js'
import { createSender } from './sender.js'

let anvil: TestAnvil
beforeAll(async () => {
  anvil = await startAnvil('--block-time', '0.1')
})
afterAll(() => anvil.stop())

test('reading survives a URL that is down, and polling follows the block time', async () => {
  const client = createChainClient({
    chainId: 31337,
    rpcUrls: ['http://127.0.0.1:1', anvil.url],
    blockMs: 1_000,
  })
  expect(await client.getChainId()).toBe(31337)
  expect(client.pollingInterval).toBe(250)
  expect(client.chain.id).toBe(31337)
  expect(() => createChainClient({ chainId: 1, rpcUrls: [], blockMs: 1 })).toThrow(RangeError)
})

test('a contract that is called makes nobody fetch the URLs that it names (EIP-3668)', async () => {
  const asked: string[] = []
  const contract = pad('0xc0de', { size: 20 })
  const server = createServer((request, response) => {
    asked.push(request.url ?? '')
    const data = encodeErrorResult({
      abi: parseAbi(['error OffchainLookup(address, string[], bytes, bytes4, bytes)']),
      args: [contract, [`${url()}/looked-up`], '0x', '0x12345678', '0x'],
    })
    const error = { code: 3, message: 'execution reverted', data }
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ jsonrpc: '2.0', id: 0, error }))
  })
  const url = () => `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  try {
    const client = createChainClient({ chainId: 31337, rpcUrls: [url()], blockMs: 100 })
    await expect(client.call({ to: contract, data: '0x' })).rejects.toThrow(/reverted/)
    expect(asked).toEqual(['/'])
  } finally {
    server.closeAllConnections()
    server.close()
  }
})

test('under interval mining, many sends of one signer are all mined, each nonce once', async () => {
  const client = createChainClient({ chainId: 31337, rpcUrls: [anvil.url], blockMs: 100 })
  const account = privateKeyToAccount(generatePrivateKey())
  await anvil.control.setBalance({ address: account.address, value: parseEther('10') })
  const sender = createSender({
    client,
    account,
    chainId: 31337,
    clock: systemClock,
    logger: createLogger({ name: 'test', level: 'silent' }),
    metrics: createMetrics(),
    stuckAfterMs: 2_000,
    caps: { maxFeePerGas: 10n ** 12n, maxPriorityFeePerGas: 10n ** 10n },
  })
  const request = { to: account.address, data: '0x', label: 'burst' } as const
  const singles = Array.from({ length: 20 }, () => sender.send(request))
  const [sent, batch] = await Promise.all([
    Promise.all(singles),
    sender.sendMany(Array.from({ length: 20 }, () => request)),
  ])
  await sender.close()
  expect(batch.every(({ status }) => status === 'fulfilled')).toBe(true)
  const nonces = [...sent, ...batch.flatMap((r) => (r.status === 'fulfilled' ? [r.value] : []))].map(
    ({ nonce }) => nonce,
  )
  expect(nonces.sort((a, b) => a - b)).toEqual(Array.from({ length: 40 }, (_, n) => n))
  expect(await client.getTransactionCount({ address: account.address })).toBe(40)
})
