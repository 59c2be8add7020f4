import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { parseConfig, readJson } from './config.js'
import { UserError } from './errors.js'

const schema = z.strictObject({
  chains: z.array(z.object({ rpcUrls: z.array(z.url()).min(1) })),
  mode: z.union([z.literal('local'), z.object({ quorum: z.number().min(2) })]),
})
let dir = ''
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'clearspan-config-'))
})
afterAll(() => rm(dir, { recursive: true }))

test.each([
  [{ chains: [{ rpcUrls: ['http://a'] }, { rpcUrls: ['nonsense'] }], mode: 'local' }, 'chains[1].rpcUrls[0]'],
  [{ chains: [], mode: { quorum: 1 } }, 'mode.quorum'],
  [{ chains: [], mode: 'local', extra: 1 }, 'extra'],
  [{ mode: 'local' }, 'chains'],
])('%j is refused at %s', (value, field) => {
  const run = () => parseConfig(schema, value, 'network.json')
  expect(run).toThrow(UserError)
  expect(run).toThrow(expect.objectContaining({ field: `network.json ${field}` }))
})

test('a file is read and typed, or refused by its path', async () => {
  const path = join(dir, 'a.json')
  await writeFile(path, '{"chains":[],"mode":"local"}')
  expect((await readJson(path, schema)).mode).toBe('local')
  await writeFile(path, '{"chains":')
  await expect(readJson(path, schema)).rejects.toMatchObject({ name: 'UserError', field: path })
  await expect(readJson(join(dir, 'none'), schema)).rejects.toThrow(/ENOENT/)
})
