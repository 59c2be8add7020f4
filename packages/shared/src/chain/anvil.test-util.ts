import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { createPublicClient, createTestClient, custom, http, type TestClient } from 'viem'
import type { ChainClient } from './client.js'

/** Path of the anvil binary in its npm platform package. */
function anvilBinary(): string {
  const launcher = createRequire(createRequire(import.meta.url).resolve('@foundry-rs/anvil/package.json'))
  const name = `@foundry-rs/anvil-${process.platform}-${process.arch === 'x64' ? 'amd64' : process.arch}`
  const file = process.platform === 'win32' ? 'anvil.exe' : 'anvil'
  return join(dirname(launcher.resolve(`${name}/package.json`)), 'bin', file)
}

/** What a node that misbehaves does with a request; `forward` asks the real one. */
export type Intercept = (method: string, forward: () => Promise<unknown>, params: unknown) => Promise<unknown>

export interface TestAnvil {
  url: string
  control: TestClient<'anvil'>
  /** Empties the transaction pool. */
  dropAll(): Promise<void>
  /** A client of the chain of `client` whose node misbehaves as `intercept` says. */
  through(client: ChainClient, intercept: Intercept): ChainClient
  stop(): Promise<void>
}

/** Starts anvil on a free port; `stop` ends it and removes what it wrote. */
export async function startAnvil(...args: string[]): Promise<TestAnvil> {
  const cache = await mkdtemp(join(tmpdir(), 'clearspan-anvil-'))
  const child = spawn(anvilBinary(), ['--port', '0', '--cache-path', cache, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const lines = createInterface({ input: child.stdout })
  const url = await new Promise<string>((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code) => reject(new Error(`anvil ended with ${code} before it listened`)))
    lines.on('line', (line) => {
      const address = /^Listening on (\S+)/.exec(line)?.[1]
      if (address !== undefined) resolve(`http://${address}`)
    })
  })
  const control = createTestClient({ mode: 'anvil', transport: http(url) })
  return {
    url,
    control,
    async dropAll() {
      await control.request({ method: 'anvil_dropAllTransactions' as never })
    },
    through(client, intercept) {
      const { request } = http(url, { retryCount: 0 })({})
      const misbehaving = (args: Parameters<typeof request>[0]) =>
        intercept(args.method, () => request(args), args.params)
      return createPublicClient({
        chain: client.chain,
        cacheTime: 0,
        transport: custom({ request: misbehaving }, { retryCount: 0 }),
      }) as ChainClient
    },
    async stop() {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGKILL')
        await once(child, 'exit')
      }
      await rm(cache, { recursive: true, force: true })
    },
  }
}
