import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { clearspan, leftBehind, startNetwork, temporaryDirectory } from './clearspan.js'

/** What `pnpm start` runs. */
const START = fileURLToPath(new URL('../scripts/start.mjs', import.meta.url))

let dir: Awaited<ReturnType<typeof temporaryDirectory>>
beforeEach(async () => {
  dir = await temporaryDirectory()
})
afterEach(() => dir.remove())

/** Runs to the end, which must leave nothing running and no record; the line of standard error and the status are what a person sees. */
async function refused(args: string[], env: Record<string, string> = {}) {
  const run = startNetwork(dir.path, ['--exit', ...args], env)
  const { code } = await run.exited
  expect(leftBehind(dir.path)).toEqual([])
  const lines = run.stderr().trim().split('\n')
  return { code, line: lines.at(-1), lines: lines.length }
}

describe('one clear line, status 2, nothing started', () => {
  test('a CSV that is not one', async () => {
    await writeFile(join(dir.path, 'prices.csv'), 'time,price\n1,2\n')
    const { code, line, lines } = await refused(['--prices', 'prices.csv'])
    expect({ code, lines }).toEqual({ code: 2, lines: 1 })
    expect(line).toMatch(/^error: .*prices\.csv.*timestamp_ms/)
  })

  test('a price that is no number, by line and column', async () => {
    await writeFile(
      join(dir.path, 'prices.csv'),
      'timestamp_ms,source,symbol,open,high,low,close,volume\n1583712000000,binance,BTC-USDT,1,2,1,x,1\n',
    )
    const { code, line, lines } = await refused(['--prices', 'prices.csv'])
    expect({ code, lines }).toEqual({ code: 2, lines: 1 })
    expect(line).toMatch(/prices\.csv:2 close/)
  })

  test('a file that is not there', async () => {
    const { code, line } = await refused(['--prices', 'absent.csv'])
    expect(code).toBe(2)
    expect(line).toMatch(/absent\.csv/)
  })

  test.each([
    [['--speed', 'fast'], /--speed/],
    [['--speed', '0'], /--speed/],
    [['--window', 'yesterday'], /--window/],
    [['--json', 'no/such/place.json'], /--json.*no\/such is not a directory/],
    [['--json', '.'], /--json.* is a directory; name a file/],
    [['--log-level', 'loud'], /--log-level/],
    [['--unknown'], /--unknown/],
  ])('%j', async (args, expected) => {
    const { code, line, lines } = await refused(args)
    expect({ code, lines }).toEqual({ code: 2, lines: 1 })
    expect(line).toMatch(expected)
  })

  test('an occupied port, by option and number', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as { port: number }
    const { code, line, lines } = await refused(['--ports', `0,${port},0`])
    server.close()
    expect({ code, lines }).toEqual({ code: 2, lines: 1 })
    expect(line).toMatch(new RegExp(`--ports.*${port}`))
  })

  test.each([
    ['that is not there', 'redis://127.0.0.1:1'],
    ['that is no Redis at all', 'http://127.0.0.1:1'],
    ['that is no URL', 'nonsense'],
  ])('a REDIS_URL %s', async (_, url) => {
    const { code, line, lines } = await refused([], { REDIS_URL: url })
    expect({ code, lines }).toEqual({ code: 2, lines: 1 })
    expect(line).toMatch(/^error: REDIS_URL: /)
  })

  test('a chain binary that is not installed, as on a platform that has none', async () => {
    const elsewhere = "data:text/javascript,Object.defineProperty(process,'arch',{value:'mips'})"
    const { code, line, lines } = await refused([], { NODE_OPTIONS: `--import=${elsewhere}` })
    expect({ code, lines }).toEqual({ code: 2, lines: 1 })
    expect(line).toMatch(/^error: anvil: .*mips is not installed; run/)
  })

  test('a compiler that is not installed, before anything is built', async () => {
    const elsewhere = "data:text/javascript,Object.defineProperty(process,'arch',{value:'mips'})"
    const child = spawn(process.execPath, [START, '--exit'], {
      cwd: dir.path,
      env: { PATH: process.env.PATH ?? '', NODE_OPTIONS: `--import=${elsewhere}` },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    const exited = once(child, 'close')
    const lines = (await child.stderr.toArray()).join('').trim().split('\n')
    await exited
    expect({ code: child.exitCode, lines: lines.length }).toEqual({ code: 1, lines: 1 })
    expect(lines[0]).toMatch(/^error: .*forge.*mips is not installed: run/)
  })

  test('a configuration without a role', async () => {
    await writeFile(join(dir.path, 'node.json'), '{"name":"node"}')
    const run = clearspan(dir.path, ['run', 'node.json'])
    expect((await run.exited).code).toBe(2)
    expect(run.stderr()).toMatch(/^error: .*node\.json.*no role/)
  })

  test('a supervised process that is refused ends though its standard input stays open', async () => {
    await writeFile(
      join(dir.path, 'node.json'),
      JSON.stringify({
        name: 'node',
        relayer: {
          network: 'absent.json',
          config: {},
          keys: { price: { env: 'A' }, bulk: { env: 'B' }, urgent: { env: 'C' } },
        },
      }),
    )
    const run = clearspan(dir.path, ['run', '--supervised', 'node.json'], {}, 'open')
    expect((await run.exited).code).toBe(2)
    expect(run.stderr()).toMatch(/^error: .*absent\.json/m)
  })

  test('a configuration with an unknown field', async () => {
    await writeFile(join(dir.path, 'node.json'), '{"name":"node","relayers":{}}')
    const run = clearspan(dir.path, ['run', 'node.json'])
    expect((await run.exited).code).toBe(2)
    expect(run.stderr()).toMatch(/^error: .*relayers/)
  })
})
