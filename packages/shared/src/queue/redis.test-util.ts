import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'

export interface TestRedis {
  url: string
  /** Of everything that it holds. */
  keys(): Promise<string[]>
  /** Deletes everything that it holds. */
  flush(): Promise<void>
  /** Ends the server as a crash would. */
  stop(): Promise<void>
}

/** A port that was free a moment ago; redis-server can't choose one itself. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  return typeof address === 'object' && address !== null ? address.port : 0
}

/**
 * Starts a redis-server that keeps nothing on disk; undefined when the machine has none, which is said with `untested`, what is skipped for it.
 * Throws then under CI=true.
 */
export async function startRedis(untested: string): Promise<TestRedis | undefined> {
  const port = await freePort()
  const child = spawn('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--save', ''], {
    stdio: 'ignore',
  })
  const started = await new Promise<boolean>((resolve) => {
    child.once('spawn', () => resolve(true))
    child.once('error', () => resolve(false))
  })
  if (!started) {
    if (process.env.CI === 'true') throw new Error('redis-server is missing: apt-get install redis-server')
    console.warn(`SKIP: ${untested}: redis-server is not installed`)
    return undefined
  }
  const probe = new Redis({ port, maxRetriesPerRequest: null, retryStrategy: () => 50 })
  probe.on('error', () => {})
  await Promise.race([
    probe.ping(),
    delay(10_000, undefined, { ref: false }).then(() => Promise.reject(new Error('redis-server is silent'))),
  ])
  return {
    url: `redis://127.0.0.1:${port}`,
    keys: () => probe.keys('*'),
    async flush() {
      await probe.flushall()
    },
    async stop() {
      probe.disconnect()
      if (child.exitCode !== null || child.signalCode !== null) return
      child.kill('SIGKILL')
      await once(child, 'exit')
    },
  }
}
