import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createKeystore, createLogger, createMetrics, loadKey } from '@clearspan/shared'
import { privateKeyToAddress } from 'viem/accounts'
import { afterEach, expect, it, vi } from 'vitest'
import {
  cleanUp,
  collect,
  isPriced,
  keys,
  later,
  listen,
  makeNode,
  networkId,
  setUp,
} from './network.test-util.js'
import { createSigner } from './observation/signer.js'

afterEach(cleanUp)
vi.setConfig({ testTimeout: 180_000 })

const PASSWORD = 'correct horse battery staple'

/** A key in an encrypted file, decrypted as a node does. */
async function fromKeystore(purpose: 'observe' | 'peer') {
  const dir = await mkdtemp(join(tmpdir(), 'clearspan-secrets-'))
  later(() => rm(dir, { recursive: true, force: true }))
  const { keystore } = await createKeystore({ purpose, networkId }, PASSWORD)
  await writeFile(join(dir, 'key.json'), JSON.stringify(keystore))
  const spec = { keystore: join(dir, 'key.json'), password: { env: 'PASSWORD' } }
  return loadKey(spec, { PASSWORD }, { purpose, networkId, local: false })
}

async function filesUnder(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true, recursive: true })
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
}

it('a decrypted key, its password and a token appear nowhere: not in logs of any level, answers, metrics, files or errors', async () => {
  const { clock, configs } = await setUp()
  const [observe, peer] = [await fromKeystore('observe'), await fromKeystore('peer')]
  const token = 'token-of-the-price-service-7f3a'
  const lines: string[] = []
  const logger = createLogger({
    name: 'secrets',
    level: 'trace',
    destination: { write: (line) => void lines.push(line) },
  })
  const metrics = createMetrics()
  const nodes = configs[0]?.oracle.nodes.map((node, at) =>
    at === 0 ? { ...node, signer: privateKeyToAddress(observe), peer: privateKeyToAddress(peer) } : node,
  )
  const changed = configs.map((config) => ({ ...config, oracle: { ...config.oracle, nodes: nodes ?? [] } }))
  // A peer that fails every delivery, so that what is logged of failures is there to be searched.
  const broken = createServer((request) => request.socket.destroy())
  await listen(broken, changed[3]?.listen.port)
  later(() => new Promise((done) => broken.close(done)))
  const started = await Promise.all(
    changed.slice(0, 3).map(async (config) => {
      const own =
        config.index === 0
          ? {
              logger,
              metrics,
              signer: createSigner(observe),
              peerSigner: createSigner(peer),
              accessTokens: { coinbase: token },
            }
          : { signer: createSigner(keys[config.index] ?? '0x') }
      const node = makeNode(config, clock, own)
      return { node, url: (await node.start()).url }
    }),
  )
  const url = started[0]?.url ?? ''
  const reports = await collect(url, (all) => all.filter(isPriced).length >= 2)
  const paths = ['/health', '/metrics', '/reports/latest', '/evidence', '/nothing']
  const answers = await Promise.all(paths.map(async (path) => (await fetch(`${url}${path}`)).text()))
  const refusals = [
    () => createSigner(`${observe.slice(0, -2)}zz` as `0x${string}`),
    () =>
      makeNode({ ...changed[1]!, dataDir: 'none' }, clock, {
        signer: createSigner(observe),
        peerSigner: createSigner(peer),
      }),
  ].map((work) => {
    try {
      work()
      return 'accepted'
    } catch (error) {
      return error instanceof Error
        ? `${error.message} ${error.stack} ${JSON.stringify(error)}`
        : String(error)
    }
  })
  await started[0]?.node.stop()
  const files = await Promise.all(
    (await filesUnder(changed[0]!.dataDir)).map((path) => readFile(path, 'utf8')),
  )
  const said = [...lines, ...answers, ...refusals, await metrics.text(), JSON.stringify(reports), ...files]

  // All of it is there to be searched.
  expect(refusals).not.toContain('accepted')
  expect(files.length).toBeGreaterThan(1)
  expect(lines.join('')).toContain('oracle node started')
  expect(said.join('').toLowerCase()).toContain(privateKeyToAddress(observe).toLowerCase().slice(2))
  const secrets = [
    // A part is too much already.
    observe.slice(2, 34),
    peer.slice(2, 34),
    BigInt(observe).toString(),
    Buffer.from(observe.slice(2), 'hex').toString('base64'),
    PASSWORD,
    token,
  ]
  for (const secret of secrets) {
    for (const text of said) expect(text.toLowerCase().includes(secret.toLowerCase())).toBe(false)
  }
})
