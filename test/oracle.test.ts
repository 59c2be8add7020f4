import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import {
  configuredRules,
  createOracleNode,
  createSigner,
  parseOracleNodeConfig,
  rulesHash,
} from '@clearspan/aggregator'
import {
  compactSignature,
  createLogger,
  oracleConfigHash,
  reportDigest,
  seededRandom,
  systemClock,
} from '@clearspan/shared'
import { type Hex, keccak256, toHex } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { collect, freePorts, isPriced } from '../packages/aggregator/src/network.test-util.js'
import { clearspan, temporaryDirectory } from './clearspan.js'
import { startTestVenue } from './testVenue.js'

vi.setConfig({ testTimeout: 120_000 })

const keys = [0, 1, 2, 3].map((n) => keccak256(toHex(`cli oracle ${n}`)))
const networkId = keccak256(toHex('cli oracle'))
/** The first account of the test mnemonic. */
const KNOWN = '0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80'
const HOUR = 3_600_000

let dir: Awaited<ReturnType<typeof temporaryDirectory>>
const cleanups: (() => unknown)[] = []
beforeEach(async () => {
  dir = await temporaryDirectory()
})
afterEach(async () => {
  for (let end = cleanups.pop(); end; end = cleanups.pop()) await end()
  await dir.remove()
})

interface Change {
  key: unknown
  peerKey?: unknown
  /** Beside others that it can reach, over a venue that ticks. */
  network?: { urls: string[]; venue: string; slotMs: number }
  clock?: { startMs: number; realStartMs: number; speed: number } | null
  exponent?: number
  signer?: Hex
  /** That of the configuration itself when absent; none when null. */
  rulesHash?: Hex | null
  /** Other fields of the node. */
  node?: object
}

function nodeConfig(index: number, change: Omit<Change, 'key' | 'peerKey'>) {
  const { clock = null, exponent = -8, signer, network } = change
  const node = {
    networkId,
    clock,
    index,
    oracle: {
      epoch: 1,
      slotMs: network?.slotMs ?? HOUR,
      feeds: [{ name: 'ETH/USD', exponent }],
      nodes: keys.map((one, at) => ({
        url: network?.urls[at] ?? 'http://127.0.0.1:9',
        signer: at === 0 && signer ? signer : privateKeyToAccount(one).address,
      })),
    },
    sources: ['a', 'b', 'c'].map((id) => ({
      id,
      adapter: 'replay' as const,
      url: network?.venue ?? 'ws://127.0.0.1:9',
      tags: [id],
      markets: [{ symbol: 'ETH-USD', base: 'ETH', quote: 'USD' }],
    })),
    // A chain that doesn't answer keeps nobody from starting.
    anchor: { url: 'http://127.0.0.1:9', priceOracle: `0x${'22'.repeat(20)}` as const },
    listen: { host: '127.0.0.1', port: Number(new URL(network?.urls[index] ?? 'http://localhost:0').port) },
    dataDir: join(dir.path, index === 0 ? 'data' : `data-${index}`),
  }
  const own = rulesHash(configuredRules(parseOracleNodeConfig(node)))
  const agreed = change.rulesHash === undefined ? own : change.rulesHash
  return { ...node, oracle: { ...node.oracle, ...(agreed && { rulesHash: agreed }) }, ...change.node }
}

async function configure({ key, peerKey, ...change }: Change): Promise<string> {
  const file = join(dir.path, 'node.json')
  const oracle = { node: nodeConfig(0, change), key, peerKey }
  await writeFile(file, JSON.stringify({ name: 'oracle-0', logLevel: 'trace', oracle }))
  return file
}

function run(file: string, env: Record<string, string> = {}) {
  const child = clearspan(dir.path, ['run', file], env)
  cleanups.push(async () => {
    child.child.kill('SIGKILL')
    await child.exited
  })
  return child
}

/** A service that signs by one key, or holds its answer back; `arrived` once it was asked. */
async function startSigner(key: Hex, holds = () => false) {
  const account = privateKeyToAccount(key)
  const asked: string[] = []
  let arrive = () => {}
  const arrived = new Promise<void>((resolve) => {
    arrive = resolve
  })
  const server = createServer(async (request: IncomingMessage, response: ServerResponse) => {
    let body = ''
    for await (const chunk of request) body += String(chunk)
    const { data } = JSON.parse(body) as { data: Hex }
    asked.push(data)
    arrive()
    if (!holds()) response.end(await account.sign({ hash: keccak256(data) }))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanups.push(() => {
    server.closeAllConnections()
    return new Promise((done) => server.close(done))
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { asked, arrived, remote: { url, publicKey: account.publicKey, timeoutMs: 60_000 } }
}

describe('keys of an oracle node', () => {
  test.each([
    ['another purpose', `send:${networkId}:${keys[0]}`, /^error: KEY: holds a key for 'send'/],
    [
      'another network',
      `observe:${keccak256('0x')}:${keys[0]}`,
      /^error: KEY: holds a key for 'observe' in network/,
    ],
    ['no purpose', keys[0]!, /^error: KEY: must say what its key is for/],
    ['everybody', `observe:${networkId}:${KNOWN}`, /^error: KEY: holds a key of the local test mnemonic/],
    ['another node', `observe:${networkId}:${keys[1]}`, /^error: key: signs as/],
  ])('a key of %s is refused with one line that does not show it', async (_, KEY, line) => {
    const child = run(await configure({ key: { env: 'KEY' } }), { KEY })
    const { code } = await child.exited
    expect(code).toBe(2)
    expect(child.stderr().trim().split('\n').at(-1)).toMatch(line)
    expect(child.stderr() + child.stdout()).not.toContain(KEY.slice(-64))
  })

  test('a keystore is made, starts a node, and neither key nor password appears anywhere', async () => {
    await writeFile(join(dir.path, 'password'), 'correct horse battery\n')
    const keystore = join(dir.path, 'key.json')
    const make = ['oracle', 'key', keystore, '--purpose', 'observe', '--network-id', networkId]
    const made = clearspan(dir.path, [...make, '--password-file', join(dir.path, 'password')], {})
    expect((await made.exited).code).toBe(0)
    const { address } = JSON.parse(made.stdout()) as { address: Hex }
    const key = { keystore: 'key.json', password: { file: 'password' } }
    const child = run(await configure({ key, signer: address }))
    await vi.waitFor(() => expect(child.stdout()).toContain('"ready"'), { timeout: 60_000 })
    const output = child.stdout() + child.stderr() + made.stderr()
    expect(output).toContain('oracle node started')
    expect(output).not.toContain('correct horse')
    expect(output).not.toMatch(/"(?:ciphertext|privateKey)"/)
    const again = clearspan(dir.path, [...make, '--password-file', join(dir.path, 'password')], {})
    expect((await again.exited).code).toBe(2)
  })
})

test('the key that speaks to peers may be remote as well, and must be that of the manifest', async () => {
  const { arrived, remote } = await startSigner(keys[1]!)
  const env = { KEY: `observe:${networkId}:${keys[0]}` }
  const configured = await configure({ key: { env: 'KEY' }, peerKey: { remote } })
  const refused = run(configured, env)
  expect((await refused.exited).code).toBe(2)
  expect(refused.stderr().trim().split('\n').at(-1)).toMatch(/^error: peerKey: signs as 0x/)

  const config = JSON.parse(await readFile(configured, 'utf8'))
  const { node } = config.oracle
  node.oracle.nodes[0].peer = privateKeyToAccount(keys[1]!).address
  node.oracle.nodes[1].peer = privateKeyToAccount(keccak256(toHex('another peer'))).address
  // A slot that began just now, led by node 1: to tell it anything a session is opened, which this key signs.
  node.clock = { startMs: 400_001 * HOUR, realStartMs: Date.now(), speed: 1 }
  delete node.oracle.rulesHash
  await writeFile(configured, JSON.stringify(config))
  run(configured, env)
  await arrived
})

test('a node goes by the rules that its network agreed on, or refuses to start in one line', async () => {
  const key = { env: 'KEY' }
  const env = { KEY: `observe:${networkId}:${keys[0]}` }
  const asked = clearspan(dir.path, ['oracle', 'rules', await configure({ key, rulesHash: null })], {})
  expect((await asked.exited).code).toBe(0)
  const { rulesHash, configHash } = JSON.parse(asked.stdout()) as { rulesHash: Hex; configHash: Hex }
  expect(configHash).toMatch(/^0x[0-9a-f]{64}$/)
  const agreed = run(await configure({ key, rulesHash }), env)
  await vi.waitFor(() => expect(agreed.stdout()).toContain('"ready"'), { timeout: 60_000 })
  expect(agreed.stdout() + agreed.stderr()).not.toContain(keys[0]!.slice(2))
  const other = run(await configure({ key, rulesHash: configHash }), env)
  expect((await other.exited).code).toBe(2)
  expect(other.stderr().trim().split('\n').at(-1)).toBe(
    `error: oracle.rulesHash: of epoch 1 is ${configHash}, but this configuration's is ${rulesHash}: its sources, tags, markets, derived feeds or limits aren't the network's`,
  )
  const alone = run(await configure({ key, rulesHash: null }), env)
  expect((await alone.exited).code).toBe(2)
  expect(alone.stderr().trim().split('\n').at(-1)).toMatch(
    /^error: oracle.rulesHash: is required outside a local network: /,
  )
})

test('what a node recorded is decided again to the bit, and whatever was changed is named', async () => {
  let calls = 0
  // Each source slips by a decimal now and then: such a tick is recorded too, with the reason of its refusal.
  const venue = await startTestVenue(systemClock, () =>
    calls++ % 7 === 6 ? 20_000 : 200 + (calls % 3) / 100,
  )
  cleanups.push(venue.stop)
  const urls = (await freePorts(4)).map((port) => `http://127.0.0.1:${port}`)
  const network = { urls, venue: venue.url, slotMs: 1_000 }
  const node = run(await configure({ key: { env: 'KEY' }, network }), {
    KEY: `observe:${networkId}:${keys[0]}`,
  })
  for (const index of [1, 2, 3]) {
    const other = createOracleNode({
      config: nodeConfig(index, { network }),
      networkClock: systemClock,
      realClock: systemClock,
      random: seededRandom(index),
      logger: createLogger({ name: 'test', level: 'silent' }),
      signer: createSigner(keys[index]!),
    })
    cleanups.push(other.stop)
    await other.start()
  }
  await node.line(/"ready"/)
  await collect(urls[0]!, (all) => all.filter(isPriced).length >= 2)
  node.child.kill('SIGTERM')
  expect((await node.exited).code).toBe(0)

  const segment = join(dir.path, 'data', 'segments', 'segment-00000001.jsonl')
  const text = await readFile(segment, 'utf8')
  const lines = text.trimEnd().split('\n')
  /** Replays what `change` makes of the segment: status, and the one line that says why. */
  const replay = async (name: string, changed: string, ...options: string[]) => {
    const file = `${name}.jsonl`
    await writeFile(join(dir.path, file), changed)
    const asked = clearspan(dir.path, ['oracle', 'replay', file, ...options], {})
    const { code } = await asked.exited
    return { code, stdout: asked.stdout(), stderr: asked.stderr() }
  }
  /** Changes the first line of a type that `pattern` is found in. */
  const changed = (type: string, pattern: RegExp, by: (found: string) => string) => {
    const at = lines.findIndex((line) => line.startsWith(`{"type":"${type}"`) && pattern.test(line))
    expect(at).toBeGreaterThan(0)
    return { line: at + 1, lines: lines.with(at, lines[at]!.replace(pattern, by)) }
  }
  const nextDigit = (found: string) => found.replace(/\d(?=\D*$)/, (digit) => `${(Number(digit) + 1) % 10}`)
  const PRICE_OF_TICK = /"200\.\d\d"/
  const flips = {
    tick: changed('events', PRICE_OF_TICK, nextDigit),
    report: changed('report', /"price":"\d+n"/, nextDigit),
    reason: changed('events', /"decimal_slip"/, () => '"decimal_slop"'),
  }
  const [whole, torn, elsewhere, lie, ...flipped] = await Promise.all([
    replay('whole', text),
    replay('torn', text.slice(0, -30)),
    replay('elsewhere', text, '--config-hash', keccak256('0x')),
    replay('lie', withChecks(changed('events', /"decimal_slip"/, () => 'null').lines)),
    ...Object.entries(flips).map(([name, flip]) => replay(name, `${flip.lines.join('\n')}\n`)),
  ])

  expect(whole).toMatchObject({ code: 0, stderr: '' })
  const summary = JSON.parse(whole.stdout)
  expect(summary).toMatchObject({ closed: true, torn: 0, contradicted: 0 })
  // On a busy machine a proposal may come too late for this node, and the report all the same.
  expect(summary.reports - summary.unproposed).toBeGreaterThan(0)
  expect(summary.observations).toBeGreaterThan(0)
  expect(summary.refused).toBeGreaterThan(0)
  expect(summary.ticks).toBeGreaterThan(summary.refused)
  expect(torn.code).toBe(0)
  expect(torn.stderr).toMatch(new RegExp(`^torn.jsonl:${lines.length}: left out: \\d+ characters .*\n$`))
  expect(JSON.parse(torn.stdout)).toMatchObject({ closed: false, reports: summary.reports })
  expect(elsewhere.code).toBe(1)
  expect(elsewhere.stderr).toMatch(/^error: elsewhere.jsonl:1: the network has the hash 0x.*, not 0x.*\n$/)
  expect(lie.code).toBe(1)
  expect(lie.stderr).toMatch(
    /^error: lie.jsonl:\d+: seq \d+, feed ETH\/USD: tick of [abc] ETH-USD at \d+: recorded taken, recomputed decimal_slip\n$/,
  )
  expect(flipped).toEqual(
    Object.entries(flips).map(([name, { line }]) => ({
      code: 1,
      stdout: '',
      stderr: `error: ${name}.jsonl:${line}: is damaged: its check doesn't fit\n`,
    })),
  )
})

/** Puts each line's check right, as the documentation describes it. */
function withChecks(lines: readonly string[]): string {
  let check = ''
  return lines
    .map((line) => {
      const json = line.slice(0, line.lastIndexOf('\t'))
      check = createHash('sha256').update(`${check}${json}`).digest('hex').slice(0, 16)
      return `${json}\t${check}\n`
    })
    .join('')
}

test('a proof of two signatures for one slot convinces whoever runs the command, a forged one nobody', async () => {
  const { networkId: salt, oracle } = nodeConfig(0, {})
  const sign = async (price: bigint, by = keys[2]!) => {
    const report = { epoch: 1, seq: 7n, prices: [{ price, confidence: 5 }] }
    const hash = reportDigest(report, oracle.feeds, salt)
    const signature = compactSignature(await privateKeyToAccount(by).sign({ hash }))
    return { epoch: 1, seq: '7', prices: [[`${price}`, 5]], signature }
  }
  const verify = async (messages: object[]) => {
    const file = join(dir.path, 'proof.json')
    await writeFile(file, JSON.stringify({ networkId: salt, oracle, node: 2, kind: 'signature', messages }))
    const child = clearspan(dir.path, ['oracle', 'evidence', 'verify', file], {})
    return { ...(await child.exited), stdout: child.stdout(), stderr: child.stderr() }
  }
  const proof = await verify([await sign(1n), await sign(2n)])
  expect(JSON.parse(proof.stdout)).toMatchObject({
    ...{ networkId: salt, epoch: 1, seq: '7', kind: 'signature', node: 2 },
    signer: privateKeyToAccount(keys[2]!).address,
    configHash: oracleConfigHash(oracle),
  })
  const forged = await verify([await sign(1n), await sign(2n, keys[1]!)])
  expect(forged).toMatchObject({ code: 2, stdout: '' })
  expect(forged.stderr.trim()).toMatch(/^error: .* messages\[1\]: is not signed by node 2$/)
})

test('the rules of the next epoch are hashed beside the present ones: what its own nodes will have', async () => {
  const key = { env: 'KEY' }
  const ask = async (node: object) => {
    const child = clearspan(
      dir.path,
      ['oracle', 'rules', await configure({ key, rulesHash: null, node })],
      {},
    )
    expect((await child.exited).code).toBe(0)
    return child
      .stdout()
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as object)
  }
  const { oracle } = JSON.parse(await readFile(await configure({ key, rulesHash: null }), 'utf8')).oracle.node
  const feeds = [...oracle.feeds, { name: 'ETH.RV/VOL', exponent: -8 }]
  const derived = [
    { kind: 'realisedVolatility', feed: 'ETH.RV/VOL', of: 'ETH/USD', sampleSlots: 1, samples: 9 },
  ]
  const later = { ...oracle, epoch: 2, feeds }
  const next = { oracle: later, firstSeq: 500_000, lastSeq: 600_000, useAges: [120, 600], derived }
  const [present] = await ask({})
  const [same, following] = await ask({ next })
  expect(same).toEqual(present)
  // As a node prints them that begins with that epoch.
  expect(await ask({ oracle: later, derived })).toEqual([following])
  expect(following).not.toMatchObject({ rulesHash: (present as { rulesHash: string }).rulesHash })
})

test('killed between the promise and the signature, a node never signs another thing for the slot', async () => {
  let hold = true
  // What is asked of it is on the node's disk already, and not yet anywhere else.
  const { asked, arrived, remote } = await startSigner(keys[0]!, () => hold)
  // A slot of an hour that began just now: the second start is in it too.
  const clock = { startMs: 400_000 * HOUR, realStartMs: Date.now(), speed: 1 }

  const first = run(await configure({ key: { remote }, clock }))
  await arrived
  first.child.kill('SIGKILL')
  await first.exited
  expect(asked).toHaveLength(1)

  // With another exponent it would observe something else of the same slot.
  hold = false
  const second = run(await configure({ key: { remote }, clock, exponent: -9 }))
  await vi.waitFor(() => expect(second.stderr()).toContain('slot was signed before a restart'), {
    timeout: 60_000,
  })
  second.child.kill('SIGTERM')
  await second.exited
  expect(asked).toHaveLength(1)
  // Whoever replays what it recorded isn't to take that for what it signed.
  const segments = join(dir.path, 'data', 'segments')
  const newest = (await readdir(segments)).sort().at(-1) ?? ''
  expect(await readFile(join(segments, newest), 'utf8')).toContain('{"type":"unsigned","seq":"400000n"}')

  // As it was before it signs what it promised, and nothing else.
  run(await configure({ key: { remote }, clock }))
  await vi.waitFor(() => expect(asked.length).toBeGreaterThan(1), { timeout: 60_000 })
  expect(asked[1]).toBe(asked[0])
  expect(await readdir(join(dir.path, 'data'))).toContain('signed.jsonl')
})
