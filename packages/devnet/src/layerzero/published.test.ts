import { UserError } from '@clearspan/shared'
import { expect, it } from 'vitest'
import { publishedAddresses, publishedChains } from './published.js'

it('reads the addresses of a chain, as LayerZero documents them', async () => {
  expect(await publishedChains()).toContain('ethereum-mainnet')
  expect(await publishedAddresses('ethereum-mainnet')).toMatchObject({
    endpoint: '0x1a44076050125825900e736c501f859c50fE728c',
    sendUln: '0xbB2Ea70C9E858123480642Cf96acbcCE1372dCe1',
    receiveUln: '0xc02Ab410f0734EFa3F14628780e6e695156024C2',
    executor: '0x173272739Bd7Aa6e4e214714048a9fE699453059',
    dvn: '0x589dEDbD617e0CBcB916A9223F4d1300c294236b',
  })
})

it('refuses a chain that is not published, and names that lead elsewhere', async () => {
  for (const name of ['atlantis-mainnet', '..', 'ethereum-mainnet/../ethereum-mainnet'])
    await expect(publishedAddresses(name)).rejects.toThrow(UserError)
})
