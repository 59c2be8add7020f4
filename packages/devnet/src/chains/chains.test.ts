import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Clock, createLogger, systemClock, UserError } from '@clearspan/shared'
import { parseAbi, parseEther, toFunctionSelector } from 'viem'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openRunDirectory, type RunDirectory } from '../processes/index.js'
import { anvilBinary } from './anvilBinary.js'
import { createBatch, type LocalChain, localAccounts, startBlockProducer, startChains } from './index.js'

const logger = createLogger({ name: 'test', level: 'silent' })
const GENESIS = 1_700_000_000

let path: string
let run: RunDirectory
let chain: LocalChain
const accounts = localAccounts(3)

beforeAll(async () => {
  path = mkdtempSync(join(tmpdir(), 'clearspan-chains-'))
  run = await openRunDirectory({ path, logger, clock: systemClock })
  const chains = [{ name: 'alone', chainId: 31901, port: 0, portOption: '--rpc-port' }]
  ;[chain] = (await startChains({ run, chains, genesisTime: GENESIS, accounts: 3 })) as [LocalChain]
})
afterAll(async () => {
  await run.close()
  rmSync(path, { recursive: true, force: true })
})

describe('startChains', () => {
  it('starts at the genesis time, with funded accounts, and mines only when told', async () => {
    const { address } = accounts[2]!
    expect(accounts[0]!.address).toBe('0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266')
    expect(await chain.client.getBalance({ address })).toBe(parseEther('10000'))
    const genesis = await chain.client.getBlock()
    expect([genesis.number, genesis.timestamp]).toEqual([0n, BigInt(GENESIS)])
    expect(await chain.client.getChainId()).toBe(31901)
  })

  it('refuses an occupied port by option and number, before anything starts', async () => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as { port: number }
    const started: string[] = []
    const watched: RunDirectory = { ...run, start: async ({ name }) => Promise.reject(started.push(name)) }
    const chains = [
      { name: 'free', chainId: 31902, port: 0, portOption: '--rpc-port' },
      { name: 'taken', chainId: 31903, port, portOption: '--spoke-port' },
    ]
    const refused = startChains({ run: watched, chains, genesisTime: GENESIS, accounts: 1 })
    await expect(refused).rejects.toThrow(UserError)
    await expect(refused).rejects.toThrow(`--spoke-port: port ${port} is occupied`)
    expect(started).toEqual([])
    await new Promise((resolve) => server.close(resolve))
  })

  it('refuses one port for two chains', async () => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as { port: number }
    await new Promise((resolve) => server.close(resolve))
    const chains = ['one', 'two'].map((name) => ({ name, chainId: 1, port, portOption: '--rpc-port' }))
    await expect(startChains({ run, chains, genesisTime: GENESIS, accounts: 1 })).rejects.toThrow(
      'is occupied',
    )
  })

  it('names the package when there is no binary for the platform', () => {
    expect(() => anvilBinary('plan9', 'mips')).toThrow(UserError)
    expect(() => anvilBinary('plan9', 'mips')).toThrow(
      /^anvil: @foundry-rs\/anvil-plan9-mips is not installed/,
    )
  })
})

describe('createBatch', () => {
  // Returns 1 to whoever calls it, whatever the call.
  const yes = {
    abi: parseAbi(['function anything(uint256) returns (uint256)']),
    bytecode: '0x69600160005260206000f3600052600a6016f3',
  } as const
  // Reverts with Denied(uint256 42).
  const errors = parseAbi(['error Denied(uint256 code)', 'function anything()'])

  it('predicts addresses and mines everything in one block', async () => {
    const batch = await createBatch(chain, accounts[0]!)
    const one = batch.create('One', yes)
    batch.call(one, { abi: yes.abi, functionName: 'anything', args: [1n] })
    const two = batch.create('Two', yes)
    const { receipts, gasUsed } = await batch.send()
    expect(receipts.map(({ contractAddress }) => contractAddress?.toLowerCase())).toEqual([
      one.toLowerCase(),
      undefined,
      two.toLowerCase(),
    ])
    expect(new Set(receipts.map(({ blockNumber }) => blockNumber)).size).toBe(1)
    expect(gasUsed).toBe(receipts.reduce((sum, receipt) => sum + receipt.gasUsed, 0n))
    expect(await chain.client.getCode({ address: two })).toBe('0x600160005260206000f3')
  })

  it('goes on after a send, and over as many blocks as the gas limit asks for', async () => {
    // Room for one transaction's gas limit at a time.
    await chain.setBlockGasLimit(8_000_000n)
    const batch = await createBatch(chain, accounts[0]!)
    for (let i = 0; i < 3; i++) batch.create(`Early ${i}`, yes)
    const early = await batch.send()
    expect(new Set(early.receipts.map(({ blockNumber }) => blockNumber)).size).toBe(3)
    const late = batch.create('Late', yes)
    await batch.send()
    expect(await chain.client.getCode({ address: late })).toBeDefined()
    const { gasLimit } = await chain.client.getBlock()
    expect(gasLimit).toBe(8_000_000n)
  })

  it('names the transaction that reverted and decodes why', async () => {
    const batch = await createBatch(chain, accounts[1]!)
    // MSTORE(0, selector << 224), MSTORE(4, 42), REVERT(0, 36)
    const selector = toFunctionSelector('Denied(uint256)').slice(2)
    const runtime = `63${selector}60e01b600052602a60045260246000fd`
    const size = (runtime.length / 2).toString(16).padStart(2, '0')
    const bytecode = `0x60${size}600c60003960${size}6000f3${runtime}` as const
    const denier = batch.create('Denier', { abi: errors, bytecode })
    batch.call(denier, { abi: errors, functionName: 'anything' })
    await expect(batch.send()).rejects.toThrow('Denier.anything reverted on alone: Denied(42)')
  })
})

describe('a refused transaction', () => {
  it('is named too', async () => {
    const batch = await createBatch(chain, accounts[2]!)
    batch.call(accounts[1]!.address, { abi: parseAbi(['function dear()']), functionName: 'dear', gas: 1n })
    await expect(batch.send()).rejects.toThrow(/0x7099.*dear was refused by alone: .*gas/)
  })
})

describe('startBlockProducer', () => {
  it('stamps real blocks with the accelerated time, and only while a chain is not halted', async () => {
    const clock = manualClock((chain.lastTimestamp() + 60) * 1000)
    const real = manualClock(0)
    const chains = [chain]
    const producer = startBlockProducer({ chains, clock, realClock: real, intervalMs: 500, logger })
    const before = await chain.client.getBlockNumber()
    await real.advance(500)
    await producer.halt()
    const block = await chain.client.getBlock()
    expect([block.number, block.timestamp]).toEqual([before + 1n, BigInt(clock.now() / 1000)])
    clock.set(clock.now() + 30_000)
    await real.advance(500)
    expect(await chain.client.getBlockNumber()).toBe(before + 1n)
    producer.resume(chain.chainId)
    await real.advance(500)
    await producer.stop()
    expect(await chain.client.getBlock()).toMatchObject({
      number: before + 2n,
      timestamp: BigInt(clock.now() / 1000),
    })
  })

  it('staggers chains, never mines the future, never piles up, and outlives a failure', async () => {
    const clock = manualClock(GENESIS * 1000)
    const real = manualClock(0)
    const mined: [number, number, number][] = []
    let slow: Promise<void> | undefined
    const fake = (chainId: number) => {
      let last = GENESIS - 1
      return {
        name: `fake-${chainId}`,
        chainId,
        lastTimestamp: () => last,
        async mine(timestamp = 0) {
          mined.push([chainId, real.now(), timestamp - GENESIS])
          if (chainId === 1) await slow
          if (timestamp - GENESIS === 2) throw new Error('node is gone')
          last = timestamp
          return { number: 0n, timestamp }
        },
      }
    }
    const chains = [fake(1), fake(2)]
    const producer = startBlockProducer({ chains, clock, realClock: real, intervalMs: 1000, logger })
    await real.advance(1000)
    expect(mined.splice(0)).toEqual([
      [1, 500, 0],
      [2, 1000, 0],
    ])
    // The same network second: nothing to mine.
    await real.advance(1000)
    expect(mined.splice(0)).toEqual([])
    // One chain hangs for three ticks; the other goes on, and the missed ticks are not made up.
    let release = () => {}
    slow = new Promise((resolve) => {
      release = resolve
    })
    clock.set((GENESIS + 1) * 1000)
    await real.advance(1000)
    clock.set((GENESIS + 2) * 1000)
    await real.advance(2000)
    release()
    slow = undefined
    clock.set((GENESIS + 3) * 1000)
    await real.advance(1000)
    await producer.stop()
    expect(mined.filter(([id]) => id === 1)).toEqual([
      [1, 2500, 1],
      [1, 5500, 3],
    ])
    expect(mined.filter(([id]) => id === 2)).toEqual([
      [2, 3000, 1],
      [2, 4000, 2],
      [2, 5000, 2],
      [2, 6000, 3],
    ])
  })
})

function manualClock(startMs: number): Clock & { set(ms: number): void; advance(ms: number): Promise<void> } {
  let now = startMs
  const sleepers = new Set<{ at: number; wake: () => void }>()
  const settle = () => new Promise((resolve) => setImmediate(resolve))
  return {
    now: () => now,
    set: (ms) => {
      now = ms
    },
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason)
        const onAbort = () => reject(signal?.reason)
        const wake = () => {
          signal?.removeEventListener('abort', onAbort)
          resolve()
        }
        signal?.addEventListener('abort', onAbort)
        sleepers.add({ at: now + ms, wake })
      }),
    async advance(ms) {
      const end = now + ms
      for (;;) {
        await settle()
        const [next] = [...sleepers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)
        if (!next) break
        sleepers.delete(next)
        now = Math.max(now, next.at)
        next.wake()
      }
      now = end
    },
  }
}
