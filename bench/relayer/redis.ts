import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { createLogger, createQueueBackend, systemClock } from '@clearspan/shared'

const TRIES = 100
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

export async function hasRedis(): Promise<boolean> {
  const child = spawn('redis-server', ['--version'], { stdio: 'ignore' })
  return new Promise((resolve) => {
    child.once('close', () => resolve(true))
    child.once('error', () => resolve(false))
  })
}

/** A redis-server that keeps nothing on disk. */
export async function startRedis(): Promise<{ url: string; stop(): Promise<void> }> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as { port: number }
  probe.close()
  await once(probe, 'close')
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '']
  const child = spawn('redis-server', args, { stdio: 'ignore' })
  const url = `redis://127.0.0.1:${port}`
  const logger = createLogger({ name: 'bench', level: 'silent' })
  for (let tries = 1; ; tries++) {
    try {
      await (await createQueueBackend({ redisUrl: url, clock: systemClock, logger })).close()
      break
    } catch (error) {
      if (tries === TRIES) throw error
      await pause(50)
    }
  }
  return {
    url,
    async stop() {
      child.kill('SIGKILL')
      await once(child, 'exit')
    },
  }
}
