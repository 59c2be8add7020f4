import {
  clearinghouseAbi,
  futureAbi,
  iClearinghouseAbi,
  iCollateralVaultAbi,
  optionAbi,
  rateSwapAbi,
  testTokenAbi,
  venueAbi,
} from '@clearspan/contracts'
import { accountId, type Chain, createChainClient, type Logger, type Token } from '@clearspan/shared'
import { type Address, erc20Abi, type Hex, maxUint256 } from 'viem'
import type { LocalNetwork } from '../network/localNetwork.js'
import type { LocalKey } from '../network/roles.js'
import { type Call, createWallet, type Wallet } from './wallet.js'

/** A person of the story: an account on the hub and a wallet on every chain. */
export interface Actor {
  name: string
  key: LocalKey
  account: Hex
  /** By chain, in the network's order. */
  wallets: readonly Wallet[]
  /** Wallet on the hub's chain. */
  hub: Wallet
  close(): Promise<void>
}

export function createActor(
  network: Pick<LocalNetwork, 'manifest' | 'timing' | 'realClock'>,
  key: LocalKey,
  logger: Logger,
): Actor {
  const wallets = network.manifest.chains.map(({ chainId, rpcUrls, name }) =>
    createWallet({
      client: createChainClient({ chainId, name, rpcUrls, blockMs: network.timing.blockIntervalMs }),
      account: key.account,
      chainId,
      clock: network.realClock,
      logger,
    }),
  )
  const hub = network.manifest.chains.findIndex(({ chainId }) => chainId === network.manifest.hub.chainId)
  return {
    name: key.name,
    key,
    account: accountId(key.account.address),
    wallets,
    hub: wallets[hub]!,
    close: async () => {
      await Promise.all(wallets.map((wallet) => wallet.close()))
    },
  }
}

/** Mints test tokens to the actor. Token decimals. */
export function mint(actor: Actor, token: Token, amount: bigint): Call {
  return {
    to: token.address,
    abi: testTokenAbi,
    functionName: 'mint',
    args: [actor.key.account.address, amount],
  }
}

export function approve(token: Token, spender: Hex, amount: bigint): Call {
  return { to: token.address, abi: erc20Abi, functionName: 'approve', args: [spender, amount] }
}

/** What it takes to deposit from nothing: mint, approve, deposit. Token decimals. */
export function depositCalls(actor: Actor, chain: Chain, token: Token, amount: bigint): Call[] {
  const { vault } = chain.contracts
  return [
    mint(actor, token, amount),
    approve(token, vault, amount),
    {
      to: vault,
      abi: iCollateralVaultAbi,
      functionName: 'deposit',
      args: [actor.account, token.address, amount],
    },
  ]
}

/** What a trader does once on the hub: opens rows for collateral that isn't cash, chooses a margin set, and lets the venue trade. */
export function enrolCalls(
  network: Pick<LocalNetwork, 'manifest'>,
  actor: Actor,
  assetIds: readonly number[],
  portfolio = false,
): Call[] {
  const { clearinghouse, venue } = network.manifest.hub.contracts
  const hub = { to: clearinghouse, abi: iClearinghouseAbi }
  return [
    ...assetIds.map((id) => ({ ...hub, functionName: 'openRow', args: [actor.account, BigInt(id)] })),
    ...(portfolio ? [{ ...hub, functionName: 'setPortfolioMargin', args: [actor.account, true] }] : []),
    { ...hub, functionName: 'approveVenue', args: [actor.account, venue, maxUint256] },
  ]
}

/** Withdraws to the actor's own address on the asset's chain. Token decimals. */
export function withdrawCall(network: LocalNetwork, actor: Actor, assetId: number, amount: bigint): Call {
  return {
    to: network.manifest.hub.contracts.clearinghouse,
    abi: iClearinghouseAbi,
    functionName: 'withdraw',
    args: [actor.account, BigInt(assetId), actor.key.account.address, amount],
  }
}

/** An order as the venue's EIP-712 type has it. */
export interface Order {
  account: Hex
  instrumentId: bigint
  /** WAD, positive to buy. */
  size: bigint
  /** WAD. */
  limitPrice: bigint
  /** Unix seconds. */
  expiry: bigint
  nonce: bigint
  /** Who alone may pair it; the zero address: anyone. */
  matcher: Address
}

export interface Match {
  buyer: { actor: Actor; order: Order }
  seller: { actor: Actor; order: Order }
  /** WAD. */
  size: bigint
  price: bigint
}

/** What the venue calls may refuse for reasons of its own. */
const VENUE_ABI = [
  ...venueAbi,
  ...[...clearinghouseAbi, ...futureAbi, ...optionAbi, ...rateSwapAbi].filter(({ type }) => type === 'error'),
]

/** Signs an order for one of the hub's venues as its owner. */
export function signOrder(
  { manifest }: { manifest: { hub: { chainId: number }; networkId: Hex } },
  { actor, order }: { actor: Pick<Actor, 'key'>; order: Order },
  venue: { name: string; address: Address },
): Promise<Hex> {
  return actor.key.account.signTypedData({
    domain: {
      name: venue.name,
      version: '1',
      chainId: manifest.hub.chainId,
      verifyingContract: venue.address,
      salt: manifest.networkId,
    },
    types: {
      Order: [
        { name: 'account', type: 'bytes32' },
        { name: 'instrumentId', type: 'uint256' },
        { name: 'size', type: 'int256' },
        { name: 'limitPrice', type: 'uint256' },
        { name: 'expiry', type: 'uint64' },
        { name: 'nonce', type: 'uint256' },
        { name: 'matcher', type: 'address' },
      ],
    },
    primaryType: 'Order',
    message: order,
  })
}

/** Both orders signed as their owners, and the call that fills them. */
export async function matchCall(network: Pick<LocalNetwork, 'manifest'>, match: Match): Promise<Call> {
  const { venue } = network.manifest.hub.contracts
  const sign = (side: Match['buyer']) => signOrder(network, side, { name: 'Clearspan Venue', address: venue })
  const [buy, sell] = await Promise.all([sign(match.buyer), sign(match.seller)])
  return {
    to: venue,
    abi: VENUE_ABI,
    functionName: 'matchOrders',
    args: [match.buyer.order, buy, match.seller.order, sell, match.size, match.price],
  }
}
