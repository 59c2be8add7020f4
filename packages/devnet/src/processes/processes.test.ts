import { spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLogger, PermanentError, systemClock, UserError } from '@clearspan/shared'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { INHERITED_FD, openRunDirectory, startProcess } from './index.js'
import { endProcess, isRunning, processId } from './processId.js'

const logger = createLogger({ name: 'test', level: 'silent' })
const clock = systemClock
const node = (script: string) => ({ command: process.execPath, args: ['-e', script] })
const STAY = "console.log('up'); setInterval(() => {}, 1000)"
const IGNORE_SIGTERM = `process.on('SIGTERM', () => {}); ${STAY}`
const up = (line: string) => line === 'up'

let path: string
beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'clearspan-run-'))
})
afterEach(() => rmSync(path, { recursive: true, force: true }))

describe('startProcess', () => {
  const options = () => ({ name: 'child', logFile: join(path, 'child.log'), clock, ready: up })

  it('resolves at the ready line, stops, and leaves the output in the log', async () => {
    const child = await startProcess({ ...options(), ...node(`console.error('before'); ${STAY}`) })
    expect(isRunning(processId(child.pid))).toBe(true)
    await child.stop()
    expect(await child.stop()).toEqual({ code: null, signal: 'SIGTERM' })
    expect(readFileSync(join(path, 'child.log'), 'utf8')).toContain('before')
  })

  it('kills a child that ignores SIGTERM', async () => {
    const child = await startProcess({ ...options(), ...node(IGNORE_SIGTERM), stopTimeoutMs: 100 })
    expect(await child.stop()).toEqual({ code: null, signal: 'SIGKILL' })
  })

  it('hands a listening socket over to the child, so that its port is never free', async () => {
    const socket = createServer().listen(0, '127.0.0.1')
    await once(socket, 'listening')
    const { port } = socket.address() as AddressInfo
    const serve = `require('node:http').createServer((_, answer) => answer.end('from the child'))
      .listen({ fd: ${INHERITED_FD} }, () => console.log('up'))`
    const starting = startProcess({ ...options(), ...node(serve), inherit: socket })
    // Asked before the child listens: the request waits in the socket's queue.
    const early = fetch(`http://127.0.0.1:${port}`)
    const child = await starting
    expect(await (await early).text()).toBe('from the child')
    await child.stop()
  })

  it('shows the last lines of a child that ends early', async () => {
    const started = startProcess({
      ...options(),
      ...node("console.error('no such market'); process.exit(3)"),
    })
    await expect(started).rejects.toThrow(PermanentError)
    await expect(started).rejects.toThrow(/child ended before it was ready \(status 3\)[\s\S]*no such market/)
  })

  it('gives up on a child that is never ready, and on a command that is not there', async () => {
    let pid = 0
    const silent = startProcess({
      ...options(),
      ...node('setInterval(() => {}, 1000)'),
      readyTimeoutMs: 200,
      onSpawn: (spawned) => {
        pid = spawned
      },
    })
    await expect(silent).rejects.toThrow('not ready after 200 ms')
    expect(processId(pid).startedAt).toBeNull()
    const missing = startProcess({ ...options(), command: join(path, 'nothing'), args: [] })
    await expect(missing).rejects.toThrow(/child cannot be started/)
  })
})

describe.skipIf(process.platform === 'win32')('openRunDirectory', () => {
  it('stops its children and removes their data, but not their logs', async () => {
    const run = await openRunDirectory({ path, logger, clock })
    const data = run.dataDirectory('node-0')
    const child = await run.start({ name: 'node-0', ...node(STAY), ready: up })
    await run.close()
    await child.exited
    expect(existsSync(data)).toBe(false)
    expect(existsSync(join(path, 'run.json'))).toBe(false)
    expect(existsSync(join(path, 'logs', 'node-0.log'))).toBe(true)
    await expect(run.start({ name: 'late', ...node(STAY), ready: up })).rejects.toThrow('closing')
  })

  it('tells of a child that ends by itself, but not of one that was asked to', async () => {
    const run = await openRunDirectory({ path, logger, clock })
    const asked = await run.start({ name: 'asked', ...node(STAY), ready: up })
    await asked.stop()
    const child = await run.start({ name: 'killed', ...node(STAY), ready: up })
    process.kill(child.pid, 'SIGKILL')
    expect((await run.failed).message).toMatch(/^killed ended by itself; see .*killed\.log$/)
    await run.close()
  })

  it('does not wait for a child that is still starting', async () => {
    const run = await openRunDirectory({ path, logger, clock })
    const starting = run.start({ name: 'slow', ...node('setInterval(() => {}, 1000)'), ready: up })
    const failed = expect(starting).rejects.toThrow('slow was stopped before it was ready')
    await run.close()
    await failed
  })

  it('refuses a directory in use and names the fix', async () => {
    const run = await openRunDirectory({ path, logger, clock })
    const second = openRunDirectory({ path, logger, clock })
    await expect(second).rejects.toThrow(UserError)
    await expect(second).rejects.toThrow(
      /^--dir: .* is in use by process \d+; stop it, or pass another --dir$/,
    )
    await run.close()
    await (await openRunDirectory({ path, logger, clock })).close()
  })

  // The second record is that of a run which was itself killed while it cleaned up.
  it.each(['run.json', 'run.json.4711.0'])(
    'ends exactly what a killed predecessor left in %s',
    async (file) => {
      // The predecessor: a process that starts two children and is killed.
      const parent = spawn(process.execPath, ['-e', ORPHANING], { stdio: ['ignore', 'pipe', 'inherit'] })
      const [output] = (await once(parent.stdout!, 'data')) as [Buffer]
      const [orphan, stranger] = (JSON.parse(output.toString()) as number[]).map(processId)
      const owner = processId(parent.pid!)
      const children = [
        { name: 'orphan', ...orphan },
        // A number that was used again: the same pid, another start time.
        { name: 'recycled', ...stranger, startedAt: '1@another-boot' },
      ]
      writeFileSync(join(path, file), JSON.stringify({ owner, children, dataDirectories: ['chain-0'] }))
      mkdirSync(join(path, 'chain-0'))
      parent.kill('SIGKILL')
      await once(parent, 'exit')
      try {
        const run = await openRunDirectory({ path, logger, clock })
        expect(isRunning(orphan!)).toBe(false)
        expect(isRunning(stranger!)).toBe(true)
        expect(existsSync(join(path, 'chain-0'))).toBe(false)
        await run.close()
        expect(readdirSync(path)).toEqual([])
      } finally {
        await endProcess(stranger!, clock)
      }
    },
  )

  it('gives way to a faster start and names an unusable directory', async () => {
    writeFileSync(join(path, 'run.json'), 'torn')
    const starts = await Promise.allSettled([1, 2, 3].map(() => openRunDirectory({ path, logger, clock })))
    const won = starts.flatMap((start) => (start.status === 'fulfilled' ? [start.value] : []))
    expect(won).toHaveLength(1)
    await won[0]!.close()
    writeFileSync(join(path, 'file'), '')
    const unusable = openRunDirectory({ path: join(path, 'file'), logger, clock })
    await expect(unusable).rejects.toThrow(/^--dir: .*file cannot be written/)
  })

  it('ends its children on SIGTERM, unless the program listens itself', async () => {
    const host = Object.assign(new EventEmitter(), {
      pid: process.pid,
      exit: (code: number) => void host.emit('exited', code),
    })
    const run = await openRunDirectory({ path, logger, clock, host })
    const child = await run.start({ name: 'child', ...node(STAY), ready: up })
    const own = () => {}
    host.on('SIGTERM', own)
    host.emit('SIGTERM')
    expect(isRunning(processId(child.pid))).toBe(true)
    host.off('SIGTERM', own)
    const exited = once(host, 'exited')
    host.emit('SIGTERM')
    expect(await exited).toEqual([143])
    expect(await child.exited).toEqual({ code: null, signal: 'SIGTERM' })
    expect(host.listenerCount('exit')).toBe(0)
  })

  it('kills its children when the program just exits', async () => {
    const host = Object.assign(new EventEmitter(), { pid: process.pid, exit: () => {} })
    const run = await openRunDirectory({ path, logger, clock, host })
    const child = await run.start({ name: 'child', ...node(STAY), ready: up })
    host.emit('exit')
    expect(await child.exited).toEqual({ code: null, signal: 'SIGKILL' })
    await run.close()
  })
})

const ORPHANING = `
  const { spawn } = require('node:child_process')
  const start = () => spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { detached: true, stdio: 'ignore' }).pid
  console.log(JSON.stringify([start(), start()]))
  setInterval(() => {}, 1000)
`
