import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { createTestClient, http, type TestClient } from 'viem'

/** Path of the anvil binary in its npm platform package. */
function anvilBinary(): string {
  const launcher = createRequire(createRequire(import.meta.url).resolve('@foundry-rs/anvil/package.json'))
  const name = `@foundry-rs/anvil-${process.platform}-${process.arch === 'x64' ? 'amd64' : process.arch}`
  const file = process.platform === 'win32' ? 'anvil.exe' : 'anvil'
  return join(dirname(launcher.resolve(`${name}/package.json`)), 'bin', file)
}

export interface TestAnvil {
  url: string
  control: TestClient<'anvil'>
  /** Empties the transaction pool. */
  dropAll(): Promise<void>
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
    async stop() {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGKILL')
        await once(child, 'exit')
      }
      await rm(cache, { recursive: true, force: true })
    },
  }
}
