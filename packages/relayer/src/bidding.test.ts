import { liquidationAuctionAbi } from '@clearspan/contracts'
import {
  type ChainClient,
  createLogger,
  type Network,
  PermanentError,
  type Sender,
  systemClock,
  type TransactionRequest,
} from '@clearspan/shared'
import {
  ContractFunctionRevertedError,
  decodeFunctionData,
  encodeErrorResult,
  getAddress,
  type Hex,
  numberToHex,
  pad,
  parseEther,
  RawContractError,
} from 'viem'
import { expect, it } from 'vitest'
import type { BidderOptions } from './bidder-options.js'
import { bidOnAuctions } from './bidding.js'

const WAD = parseEther('1')
const accountOf = (n: number) => pad(numberToHex(n))
const address = (n: number) => getAddress(pad(numberToHex(n), { size: 20 }))
const bidder = accountOf(9)

interface World {
  cash: bigint
  /** Largest fraction that the bidder's margin bears, by account; all of it by default. */
  bearable?: Record<Hex, bigint>
  /** Accounts whose transaction fails although its simulation did not. */
  failing?: Hex[]
  /** Accounts whose auction is over. */
  over?: Hex[]
}

/** Bids in a hub where each account has 1,000 of equity at half of it, and answers what was sent and logged. */
async function bid(accounts: Hex[], { cash, bearable = {}, failing = [], over = [] }: World) {
  const refused = (data: Hex) =>
    new ContractFunctionRevertedError({
      abi: liquidationAuctionAbi,
      data,
      functionName: 'bid',
      cause: new RawContractError({ data }),
    })
  const client = {
    multicall: async ({ contracts, allowFailure }: MulticallArgs) =>
      contracts.map(({ functionName }) => {
        const result = { quote: [WAD / 2n, 0n, WAD], accountHealth: SOLVENT, cash }[functionName]
        return allowFailure ? { status: 'success', result } : result
      }),
    simulateContract: async ({ args: [account, , fraction] }: { args: [Hex, Hex, bigint] }) => {
      const errors = { abi: liquidationAuctionAbi } as const
      if (over.includes(account))
        throw refused(encodeErrorResult({ ...errors, errorName: 'NoAuction', args: [account] }))
      if (fraction > (bearable[account] ?? WAD))
        throw refused(encodeErrorResult({ ...errors, errorName: 'BidderUnsafe', args: [bidder, -1n] }))
    },
  } as unknown as ChainClient
  const sent: [Hex, bigint, bigint][] = []
  const sender = {
    address: address(9),
    async send({ data = '0x' }: TransactionRequest) {
      const { args } = decodeFunctionData({ abi: liquidationAuctionAbi, data })
      const [account, , fraction, maxPayment] = args as [Hex, Hex, bigint, bigint]
      if (failing.includes(account)) throw new PermanentError('bid reverted')
      sent.push([account, fraction, maxPayment])
    },
  } as unknown as Sender
  const lines: { level: number; msg: string }[] = []
  const destination = { write: (line: string) => void lines.push(JSON.parse(line)) }
  const logger = createLogger({ name: 'test', level: 'debug', destination })
  const contracts = { liquidationAuction: address(1), marginEngine: address(2), clearinghouse: address(3) }
  const options = {
    network: { hub: { contracts } } as unknown as Network,
    account: bidder,
    chains: [],
    maxShare: WAD / 2n,
    minReward: 0n,
    lotMarginBps: 0n,
    maxFraction: WAD,
    startBlock: 0n,
    clock: systemClock,
    logger,
  } satisfies BidderOptions
  await bidOnAuctions(options, { client, sender } as BidderOptions['chains'][number], accounts)
  return { sent, lines }
}

interface MulticallArgs {
  contracts: { functionName: 'quote' | 'accountHealth' | 'cash' }[]
  allowFailure: boolean
}
const SOLVENT = { equity: parseEther('1000'), notional: parseEther('5000') }
const [a, b, c] = [accountOf(1), accountOf(2), accountOf(3)]

it('bids for the rest of a round when one bid is refused and one fails, never for its own account', async () => {
  const { sent, lines } = await bid([bidder, a, b, c], { cash: parseEther('1000'), over: [a], failing: [b] })
  expect(sent).toEqual([[c, WAD, parseEther('500')]])
  // 40: warn.
  expect(lines.filter(({ level }) => level >= 40)).toEqual([])
  expect(lines.map(({ msg }) => msg)).toEqual(['bid would be refused', 'bid failed', 'bid'])
})

it('takes less of an account when its margin or cash bears no more, and gives up when it bears nearly none', async () => {
  const tight = { [a]: WAD / 4n, [b]: WAD / 100n }
  const { sent } = await bid([a, b, c], { cash: parseEther('300'), bearable: tight })
  expect(sent).toEqual([
    [a, WAD / 4n, parseEther('125')],
    [c, WAD / 2n, parseEther('250')],
  ])
})
