import type { Clock } from '@clearspan/shared'
import {
  type Address,
  type Hex,
  hashTypedData,
  isAddressEqual,
  keccak256,
  type LocalAccount,
  recoverAddress,
} from 'viem'

const types = {
  Request: [
    { name: 'operator', type: 'address' },
    { name: 'path', type: 'string' },
    { name: 'body', type: 'bytes32' },
    { name: 'time', type: 'uint64' },
  ],
} as const

/** Names of the headers: decimal unix ms, and a 65-byte signature in hex. */
const HEADERS = { time: 'clearspan-time', signature: 'clearspan-signature' } as const
/** How far a request's time may differ from the operator's clock, real ms. */
const MAX_AGE_MS = 30_000

interface AskedFor {
  networkId: Hex
  operator: Address
  path: string
  body: Uint8Array
}

function digestOf({ networkId, operator, path, body }: AskedFor, time: number): Hex {
  return hashTypedData({
    domain: { name: 'Clearspan attest', version: '1', salt: networkId },
    types,
    primaryType: 'Request',
    message: { operator, path, body: keccak256(body), time: BigInt(time) },
  })
}

/** Headers by which an operator knows who asks. */
export async function signRequest(account: LocalAccount, clock: Clock, asked: AskedFor) {
  const time = Math.floor(clock.now())
  const signature = await account.sign?.({ hash: digestOf(asked, time) })
  return { [HEADERS.time]: String(time), [HEADERS.signature]: signature ?? '' }
}

/**
 * Whether one of `askers` asks this, now. There is no nonce: the same question has the same answer, and whoever repeats it within half a minute
 * learns what its asker puts on the chain anyway.
 */
export async function isAuthentic(
  headers: Readonly<Record<string, unknown>>,
  askers: readonly Address[],
  clock: Clock,
  asked: AskedFor,
): Promise<boolean> {
  const [time, signature] = [headers[HEADERS.time], headers[HEADERS.signature]]
  if (typeof time !== 'string' || !/^\d{1,15}$/.test(time)) return false
  if (typeof signature !== 'string' || !/^0x[0-9a-f]{130}$/.test(signature)) return false
  if (Math.abs(clock.now() - Number(time)) > MAX_AGE_MS) return false
  const signer = await recoverAddress({
    hash: digestOf(asked, Number(time)),
    signature: signature as Hex,
  }).catch(() => undefined)
  return signer !== undefined && askers.some((asker) => isAddressEqual(asker, signer))
}
