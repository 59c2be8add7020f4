import { numberToHex, pad, stringToHex } from 'viem'
import { sign } from 'viem/accounts'
import { describe, expect, it } from 'vitest'
import { type Exit, exitTree, type LastWord, lastWordDigest } from './exits.js'
import { encodeQuorum } from './report.js'
import { compactSignature } from './signature.js'

const networkId = stringToHex('network', { size: 32 })

const exits: Exit[] = Array.from({ length: 5 }, (_, i) => ({
  eid: i % 2 === 0 ? 30_902 : 30_901,
  vaultEpoch: 1,
  account: pad(numberToHex(0xa0 + i, { size: 20 }), { dir: 'right' }),
  token: numberToHex(0x70 + i, { size: 20 }),
  recipient: numberToHex(0xb0 + i, { size: 20 }),
  released: i === 4 ? 2n ** 128n - 1n : BigInt(i) * 1_000_000n,
}))

describe('the last word of a hub', () => {
  // The contracts' test opens exits with it and proves each payout: one file, written here, proves that the twins agree.
  it('is what the contracts are tested on', async () => {
    const tree = exitTree(exits)
    const lastWord: LastWord = {
      hubEpoch: 1,
      version: 3,
      hubTime: 1_700_000_000n,
      root: tree.root as `0x${string}`,
    }
    const hash = lastWordDigest(lastWord, networkId)
    const signatures = await Promise.all(
      [1, 2, 3].map(async (key, signer) => ({
        signer,
        signature: compactSignature(
          await sign({ hash, privateKey: numberToHex(key, { size: 32 }), to: 'hex' }),
        ),
      })),
    )
    const vectors = {
      version: lastWord.version,
      hubTime: Number(lastWord.hubTime),
      root: lastWord.root,
      signatures: encodeQuorum(signatures),
      exits: exits.map((exit, i) => ({
        ...exit,
        released: numberToHex(exit.released),
        proof: tree.getProof(i),
      })),
    }
    await expect(`${JSON.stringify(vectors, null, 2)}\n`).toMatchFileSnapshot(
      '../../contracts/test/fixtures/exits.json',
    )
  })

  it('names somebody', () => {
    expect(() => exitTree([])).toThrow(RangeError)
  })
})
