import {
  clearinghouseAbi,
  collateralVaultAbi,
  lendingVenueAbi,
  lendingVenueBytecode,
  testOracleAbi,
  testOracleBytecode,
  testTokenAbi,
  venueGatewayAbi,
  venueRegistryAbi,
} from '@clearspan/contracts'
import { createBatch } from '@clearspan/devnet'
import {
  accountId,
  createChainClient,
  createLogger,
  createQueueBackend,
  systemClock,
} from '@clearspan/shared'
import { type Address, maxUint256, type PrivateKeyAccount, parseEther, parseUnits } from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createWallet, type Wallet } from '../packages/devnet/src/scenario/wallet.js'
import { temporaryDirectory } from './clearspan.js'
import { createTestRelayer, govern, startTestNetwork, type TestNetwork } from './testNetwork.js'
import { PATIENCE } from './testTrader.js'

// A lending venue on a chain beside the hub's, with a relayer between: what Alice lends there she has deposited on the hub's chain.
const usdc = (amount: number) => parseUnits(String(amount), 6)
const ALLOCATION = usdc(500)
const LOAN = usdc(140)
const logger = createLogger({ name: 'test', level: 'silent' })
const closes: (() => Promise<unknown>)[] = []
let on: TestNetwork

beforeAll(async () => {
  const dir = await temporaryDirectory()
  closes.push(dir.remove)
  on = await startTestNetwork({ directory: dir.path, chains: ['alpha', 'beta'] })
  closes.push(on.stop)
  const backend = await createQueueBackend({ clock: systemClock, logger })
  closes.push(() => backend.close())
  const relayer = createTestRelayer(on, backend, { roles: ['relayer'] })
  closes.push(relayer.stop)
  await relayer.start()
})
afterAll(async () => {
  for (const close of closes.reverse()) await close()
})

function walletOn(index: number, account: PrivateKeyAccount): Wallet {
  const { chainId, rpcUrl } = on.chains[index]!
  const client = createChainClient({ chainId, rpcUrls: [rpcUrl], blockMs: on.blockMs })
  const wallet = createWallet({ client, account, chainId, clock: systemClock, logger })
  closes.push(wallet.close)
  return wallet
}

/** What a chain has for who deposits there. */
function placeOf(index: number) {
  const { contracts, tokens } = on.network.chains[index]!
  const settlement = tokens.find((token) => token.settlement)!
  return { ...contracts, token: settlement.address, assetId: BigInt(settlement.assetId) }
}

async function deposit(wallet: Wallet, index: number, amount: bigint): Promise<void> {
  const { vault, token } = placeOf(index)
  const args = [accountId(wallet.address), token, amount]
  await wallet.send([
    { to: token, abi: testTokenAbi, functionName: 'mint', args: [wallet.address, amount] },
    { to: token, abi: testTokenAbi, functionName: 'approve', args: [vault, amount] },
    { to: vault, abi: collateralVaultAbi, functionName: 'deposit', args },
  ])
}

/** A venue with a gateway, which may be handed twice the allocation; and an oracle of its own that anyone sets. */
async function deployVenue(pledged: Address) {
  const { venueRegistry, token } = placeOf(1)
  const batch = await createBatch(on.chains[1]!, on.roles.deployer.account)
  const oracle = batch.create('TestOracle', { abi: testOracleAbi, bytecode: testOracleBytecode })
  const venue = batch.create('LendingVenue', {
    abi: lendingVenueAbi,
    bytecode: lendingVenueBytecode,
    args: [venueRegistry, token, pledged, oracle, 0n, 10n ** 30n],
  })
  await batch.send()
  const gateway = await on.chains[1]!.client.readContract({
    address: venue,
    abi: lendingVenueAbi,
    functionName: 'gateway',
  })
  const args = [gateway, token, 2n * ALLOCATION]
  await govern(on, 1, [{ to: venueRegistry, abi: venueRegistryAbi, functionName: 'setCap', args }])
  return { oracle, venue, gateway }
}

test('an account lends on one chain what it holds on another, gains, loses and leaves', async () => {
  const { alice, bob, carol } = on.roles.traders
  const [onHub, onSpoke] = [walletOn(0, alice.account), walletOn(1, alice.account)]
  const [borrower, liquidator] = [walletOn(1, bob.account), walletOn(1, carol.account)]
  const { clearinghouse } = on.network.hub.contracts
  const { vault, token, assetId } = placeOf(1)
  const weth = on.network.chains[1]!.tokens.find(({ decimals }) => decimals === 18)!.address
  const { oracle, venue, gateway } = await deployVenue(weth)
  const lending = { to: venue, abi: lendingVenueAbi }
  const account = accountId(onHub.address)
  const cash = (of: Wallet) =>
    onHub.client.readContract({
      ...{ address: clearinghouse, abi: clearinghouseAbi, functionName: 'cash' },
      args: [accountId(of.address)],
    } as const)
  const worth = () =>
    onSpoke.client.readContract({ address: venue, abi: lendingVenueAbi, functionName: 'assets' })
  const price = (value: string) => ({
    to: oracle,
    abi: testOracleAbi,
    functionName: 'set',
    args: [[{ price: parseEther(value), confidence: 0n, observedAt: 0n, parked: 0n, fresh: true }]],
  })
  const mayTake = (of: Address, amount: bigint, who: Wallet) => [
    { to: of, abi: testTokenAbi, functionName: 'mint', args: [who.address, amount] },
    { to: of, abi: testTokenAbi, functionName: 'approve', args: [venue, maxUint256] },
  ]

  // Bob's deposit is what Alice's cash leaves by; nothing else of his has to do with the venue's accounts.
  await Promise.all([deposit(onHub, 0, usdc(1_000)), deposit(borrower, 1, usdc(2_000))])
  await expect.poll(() => cash(onHub), PATIENCE).toBe(parseEther('1000'))
  await expect.poll(() => cash(borrower), PATIENCE).toBe(parseEther('2000'))

  const withdrawal = [account, assetId, gateway, ALLOCATION]
  await onHub.send([{ to: clearinghouse, abi: clearinghouseAbi, functionName: 'withdraw', args: withdrawal }])
  // The relayer offers it, once the vault has paid.
  const atGateway = { address: gateway, abi: venueGatewayAbi } as const
  await expect
    .poll(
      () => onSpoke.client.readContract({ ...atGateway, functionName: 'outstanding', args: [token] }),
      PATIENCE,
    )
    .toBe(ALLOCATION)

  // A loan that is repaid is a gain.
  await borrower.send([
    price('200'),
    ...mayTake(weth, parseEther('2'), borrower),
    ...mayTake(token, usdc(10), borrower),
    { ...lending, functionName: 'borrow', args: [parseEther('1'), LOAN] },
  ])
  await borrower.send([{ ...lending, functionName: 'end', args: [borrower.address] }])
  const gained = await worth()
  expect(gained).toBeGreaterThan(ALLOCATION)

  // One whose pledge falls below it is a loss: 95 of 140.
  await borrower.send([{ ...lending, functionName: 'borrow', args: [parseEther('1'), LOAN] }])
  await liquidator.send([
    price('100'),
    ...mayTake(token, usdc(95), liquidator),
    { ...lending, functionName: 'end', args: [borrower.address] },
  ])
  const left = await worth()
  expect(left).toBeGreaterThan(gained - usdc(46))
  expect(left).toBeLessThan(gained - usdc(44))

  const shares = await onSpoke.client.readContract({
    ...{ address: venue, abi: lendingVenueAbi, functionName: 'shares', args: [account] },
  } as const)
  await onSpoke.send([{ ...lending, functionName: 'close', args: [account, shares] }])
  const returned = await onSpoke.client.readContract({
    ...{ address: vault, abi: collateralVaultAbi, functionName: 'depositedIn', args: [account, token] },
  } as const)
  expect(left - returned).toBeLessThan(10n)
  await expect.poll(() => cash(onHub), PATIENCE).toBe(parseEther('500') + returned * 10n ** 12n)
  expect(await cash(borrower)).toBe(parseEther('2000'))
}, 600_000)
