import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Hex, keccak256, toHex } from 'viem'
import { mnemonicToAccount, privateKeyToAddress } from 'viem/accounts'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createKeystore, type KeyUse, loadKey } from './keys.js'

const KEY: Hex = `0x${'1f'.repeat(32)}`
const networkId = keccak256(toHex('keys'))
const abroad = keccak256(toHex('elsewhere'))
const use: KeyUse = { purpose: 'observe', networkId, local: false }
const local: KeyUse = { ...use, local: true }
const bound = `observe:${networkId}:${KEY}`

let dir: string
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'clearspan-keys-'))
})
afterAll(() => rm(dir, { recursive: true, force: true }))

/** The example of the Web3 Secret Storage specification, derived by PBKDF2. */
const published = {
  crypto: {
    cipher: 'aes-128-ctr',
    cipherparams: { iv: '6087dab2f9fdbbfaddc31a909735c1e6' },
    ciphertext: '5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46',
    kdf: 'pbkdf2',
    kdfparams: {
      c: 262144,
      dklen: 32,
      prf: 'hmac-sha256',
      salt: 'ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd',
    },
    mac: '517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2',
  },
  id: '3198bc9c-6672-5ab3-d995-4942343ae5b6',
  version: 3,
}
const password = { env: 'PASSWORD' }
async function store(value: object): Promise<string> {
  const path = join(dir, 'keystore.json')
  await writeFile(path, JSON.stringify(value))
  return path
}

describe('a key', () => {
  test('comes from one place, and errors never show it', async () => {
    const file = join(dir, 'key')
    await writeFile(file, `${KEY.slice(2)}\n`)
    expect(await loadKey({ file }, {}, local)).toBe(KEY)
    expect(await loadKey({ env: 'A' }, { A: KEY }, local)).toBe(KEY)
    await expect(loadKey({ env: 'A' }, {}, local)).rejects.toMatchObject({ field: 'A' })
    await expect(loadKey({}, {}, local)).rejects.toMatchObject({ field: 'key' })
    await expect(loadKey({ file: join(dir, 'none') }, {}, local)).rejects.toMatchObject({ name: 'UserError' })
    for (const text of [`${KEY}00`, `vote:${networkId}:${KEY}`, `observe:0x12:${KEY}`]) {
      const bad = await loadKey({ env: 'A' }, { A: text }, local).catch((error: unknown) => error)
      expect(bad).toMatchObject({ field: 'A' })
      expect(String(bad)).not.toContain('1f1f')
    }
  })

  test('is used for what it was made for, in the network it was made for', async () => {
    const load = (text: string, of: KeyUse) => loadKey({ env: 'A' }, { A: text }, of)
    expect(await load(bound, use)).toBe(KEY)
    expect(await load(bound, local)).toBe(KEY)
    for (const scope of [use, local]) {
      await expect(load(bound, { ...scope, purpose: 'send' })).rejects.toThrow("holds a key for 'observe'")
      await expect(load(bound, { ...scope, networkId: abroad })).rejects.toThrow(networkId)
    }
    await expect(load(KEY, use)).rejects.toThrow('must say what its key is for')
  })

  test('of the test mnemonic stays on local networks', async () => {
    const mnemonic = 'test test test test test test test test test test test junk'
    for (const addressIndex of [0, 9, 25]) {
      const key = toHex(mnemonicToAccount(mnemonic, { addressIndex }).getHdKey().privateKey!)
      const text = `observe:${networkId}:${key}`
      expect(await loadKey({ env: 'A' }, { A: text }, local)).toBe(key)
      await expect(loadKey({ env: 'A' }, { A: text }, use)).rejects.toThrow('test mnemonic')
    }
  })
})

describe('a keystore', () => {
  test('opens by its password, as the specification has it', async () => {
    const keystore = await store(published)
    const env = { PASSWORD: 'testpassword\n' }
    const key = await loadKey({ keystore, password }, env, local)
    expect(key).toBe('0x7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d')
    await expect(loadKey({ keystore, password }, env, use)).rejects.toThrow('must say what its key is for')
    const wrong = await loadKey({ keystore, password }, { PASSWORD: 'hunter22' }, local).catch(String)
    expect(wrong).toContain('is not opened by this password')
    expect(wrong).not.toContain('hunter22')
  })

  test('is made for a purpose and a network, and opens again', async () => {
    const { address, keystore } = await createKeystore({ purpose: 'observe', networkId }, 'long enough')
    const path = await store(keystore)
    const spec = { keystore: path, password }
    const env = { PASSWORD: 'long enough' }
    expect(privateKeyToAddress(await loadKey(spec, env, use))).toBe(address)
    await expect(loadKey(spec, env, { ...use, purpose: 'attest' })).rejects.toMatchObject({ field: path })
    expect(await readFile(path, 'utf8')).not.toContain((await loadKey(spec, env, use)).slice(2))
  })

  test.each([
    ['another version', { ...published, version: 1 }],
    [
      'a cost that fills the memory',
      {
        ...published,
        crypto: {
          ...published.crypto,
          kdf: 'scrypt',
          kdfparams: { dklen: 32, n: 2 ** 30, r: 8, p: 1, salt: 'aa' },
        },
      },
    ],
    ['another cipher', { ...published, crypto: { ...published.crypto, cipher: 'aes-128-cbc' } }],
    ['nothing in it', {}],
  ])('with %s is refused by its field', async (_, value) => {
    const keystore = await store(value)
    await expect(loadKey({ keystore, password }, { PASSWORD: 'x' }, local)).rejects.toMatchObject({
      name: 'UserError',
    })
  })
})
