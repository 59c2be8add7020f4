import { pbkdf2, randomBytes, scrypt } from 'node:crypto'
import { promisify } from 'node:util'
import { Keystore } from 'ox'
import { type Hex, toHex } from 'viem'
import { generatePrivateKey, mnemonicToAccount, privateKeyToAddress } from 'viem/accounts'
import { z } from 'zod'
import { type Environment, type KeySpec, readJson, readSecret } from './config.js'
import { UserError } from './errors.js'
import { wordSchema } from './network.js'

/** What a key is for; one key has one purpose, in one network. */
export const keyPurposes = ['observe', 'peer', 'attest', 'send'] as const
export type KeyPurpose = (typeof keyPurposes)[number]

/** What a key must be made for before it is used. */
export interface KeyUse {
  purpose: KeyPurpose
  networkId: Hex
  /** A local network: everybody may know its keys, and none need say what it is for. */
  local: boolean
}

const secretSpecSchema = z.union([z.strictObject({ env: z.string() }), z.strictObject({ file: z.string() })])

/** Where a private key lies: in a variable, in a file, or in a Web3 Secret Storage file whose password lies in one of those. */
export const keySpecSchema = z.union([
  secretSpecSchema,
  z.strictObject({ keystore: z.string(), password: secretSpecSchema }),
])
type PrivateKeySpec = KeySpec | { keystore: string; password: KeySpec }

const hex = (bytes: number) =>
  z.string().regex(new RegExp(`^[0-9a-fA-F]{${2 * bytes}}$`), `must be ${bytes} bytes of hex`)
/** 2^20 × 8 × 128 bytes is a gigabyte: a file must not be able to ask for more. */
const scryptSchema = z.object({
  dklen: z.literal(32),
  n: z
    .number()
    .int()
    .min(2)
    .max(1 << 20),
  r: z.number().int().min(1).max(8),
  p: z.number().int().min(1).max(16),
  salt: z.string().regex(/^([0-9a-fA-F]{2}){1,64}$/),
})
const pbkdf2Schema = z.object({
  dklen: z.literal(32),
  c: z.number().int().min(1).max(10_000_000),
  prf: z.literal('hmac-sha256'),
  salt: z.string().regex(/^([0-9a-fA-F]{2}){1,64}$/),
})
const cipherFields = {
  cipher: z.literal('aes-128-ctr'),
  ciphertext: hex(32),
  cipherparams: z.object({ iv: hex(16) }),
  mac: hex(32),
}
const keystoreSchema = z.object({
  version: z.literal(3),
  id: z.string().default(''),
  crypto: z.union([
    z.object({ ...cipherFields, kdf: z.literal('scrypt'), kdfparams: scryptSchema }),
    z.object({ ...cipherFields, kdf: z.literal('pbkdf2'), kdfparams: pbkdf2Schema }),
  ]),
  /** What the key is for; other tools ignore it. */
  clearspan: z.object({ purpose: z.enum(keyPurposes), networkId: wordSchema }).optional(),
})

interface Loaded {
  key: Hex
  where: string
  binding: { purpose: KeyPurpose; networkId: Hex } | undefined
}

/**
 * Loads a private key and checks that it was made for this use. The value and the password appear in no error and no log.
 * A variable or file holds `PURPOSE:NETWORKID:KEY`, or the key alone on a local network.
 * @throws UserError naming the variable or file, never its content: unreadable, of another purpose or network, or known to everybody.
 */
export async function loadKey(spec: PrivateKeySpec, env: Environment, use: KeyUse): Promise<Hex> {
  const { key, where, binding } =
    'keystore' in spec ? await fromKeystore(spec, env) : await fromText(spec, env)
  if (
    binding &&
    (binding.purpose !== use.purpose || binding.networkId.toLowerCase() !== use.networkId.toLowerCase())
  ) {
    throw new UserError(
      where,
      `holds a key for '${binding.purpose}' in network ${binding.networkId}; this needs '${use.purpose}' in ${use.networkId}`,
    )
  }
  if (use.local) return key
  if (!binding) {
    throw new UserError(
      where,
      `must say what its key is for: ${use.purpose}:${use.networkId}:KEY, or a keystore that does`,
    )
  }
  if (isWellKnown(key)) throw new UserError(where, 'holds a key of the local test mnemonic: everybody has it')
  return key
}

async function fromText(spec: KeySpec, env: Environment): Promise<Loaded> {
  const { where, text } = await readSecret(spec, env, 'a private key')
  const [, purpose, networkId, digits] =
    /^(?:(\w+):(0x[0-9a-fA-F]{64}):)?(?:0x)?([0-9a-fA-F]{64})$/.exec(text) ?? []
  const parsed = z.enum(keyPurposes).optional().safeParse(purpose)
  if (digits === undefined || !parsed.success) {
    throw new UserError(where, 'must hold a private key: 64 hex digits, alone or after PURPOSE:NETWORKID:')
  }
  const binding = parsed.data && { purpose: parsed.data, networkId: networkId as Hex }
  return { key: `0x${digits.toLowerCase()}`, where, binding }
}

async function fromKeystore(
  spec: { keystore: string; password: KeySpec },
  env: Environment,
): Promise<Loaded> {
  const where = spec.keystore
  const { clearspan: binding, ...keystore } = await readJson(where, keystoreSchema)
  const { text: password } = await readSecret(spec.password, env, 'the password of a keystore')
  try {
    const key = Keystore.decrypt(keystore, await derive(keystore.crypto, password))
    return { key, where, binding }
  } catch {
    // What the library says may name what it tried.
    throw new UserError(where, 'is not opened by this password, or damaged')
  }
}

/** The key that a password stands for, by the runtime's own functions: a pure-JavaScript scrypt takes seconds. */
async function derive(
  {
    kdf,
    kdfparams,
  }:
    | { kdf: 'scrypt'; kdfparams: z.output<typeof scryptSchema> }
    | { kdf: 'pbkdf2'; kdfparams: z.output<typeof pbkdf2Schema> },
  password: string,
): Promise<Hex> {
  const salt = Buffer.from(kdfparams.salt, 'hex')
  if (kdf === 'pbkdf2') return toHex(await promisify(pbkdf2)(password, salt, kdfparams.c, 32, 'sha256'))
  const { n: N, r, p } = kdfparams
  return new Promise((resolve, reject) =>
    scrypt(password, salt, 32, { N, r, p, maxmem: 130 * N * r * p + (1 << 20) }, (error, key) =>
      error ? reject(error) : resolve(toHex(key)),
    ),
  )
}

/** Accounts of the test mnemonic that count as known to everybody: far more than any tool funds. */
const WELL_KNOWN = 100
const TEST_MNEMONIC = 'test test test test test test test test test test test junk'

function isWellKnown(key: Hex): boolean {
  const branch = mnemonicToAccount(TEST_MNEMONIC, { path: "m/44'/60'/0'/0" }).getHdKey()
  return Array.from({ length: WELL_KNOWN }, (_, index) => branch.deriveChild(index).privateKey).some(
    (known) => known && toHex(known) === key,
  )
}

/** A new key in Web3 Secret Storage (version 3: scrypt and AES-128-CTR), bound to a purpose and a network. The key itself is not handed out. */
export async function createKeystore(
  binding: { purpose: KeyPurpose; networkId: Hex },
  password: string,
): Promise<{ address: Hex; keystore: object }> {
  // Not an injected `Random`: key material needs the system's cryptographic randomness.
  const privateKey = generatePrivateKey()
  const kdfparams = { dklen: 32 as const, n: 1 << 18, r: 8, p: 1, salt: randomBytes(32).toString('hex') }
  const key = await derive({ kdf: 'scrypt', kdfparams }, password)
  const derivation = { iv: randomBytes(16), kdf: 'scrypt', kdfparams } as const
  const address = privateKeyToAddress(privateKey)
  return {
    address,
    keystore: { ...Keystore.encrypt(privateKey, key, derivation), address, clearspan: binding },
  }
}
