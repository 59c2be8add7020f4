import { marginEngineAbi } from '@clearspan/contracts'
import { type ChainClient, createLogger, RetryableError } from '@clearspan/shared'
import {
  createPublicClient,
  custom,
  decodeFunctionData,
  encodeFunctionResult,
  getAddress,
  type Hex,
  multicall3Abi,
  numberToHex,
  pad,
  RpcRequestError,
} from 'viem'
import { expect, it } from 'vitest'
import { risksOf } from './risks.js'

const accounts = Array.from({ length: 45 }, (_, i) => pad(numberToHex(i + 1)))
const moment = { blockNumber: 7n, time: 1_000n }
const address = (n: number) => getAddress(pad(numberToHex(n), { size: 20 }))

interface CallRequest {
  method: string
  params: [{ data: Hex }, Hex, unknown, { time?: Hex }?]
}

/** The arguments with which the deployless multicall was asked: its last parameters. */
function askedOf(data: Hex): (readonly Hex[])[] {
  const from = data.lastIndexOf('82ad56cb')
  const { args } = decodeFunctionData({ abi: multicall3Abi, data: `0x${data.slice(from)}` })
  const calls = args?.[0] as readonly { callData: Hex }[]
  return calls.map(({ callData }) => {
    const { args: own } = decodeFunctionData({ abi: marginEngineAbi, data: callData })
    return own?.[0] as readonly Hex[]
  })
}

/** Values accounts by a node: `bears` accounts in one request, and reverts for those in `broken`. */
async function simulate({ bears = 1_000, broken = [] as Hex[], down = false }) {
  const requests: CallRequest[] = []
  const lines: { level: number; account?: Hex }[] = []
  const request = async (call: CallRequest) => {
    requests.push(call)
    if (down) throw new Error('connection refused')
    const groups = askedOf(call.params[0].data)
    if (groups.flat().length > bears)
      throw new RpcRequestError({ body: {}, url: '', error: { code: -32003, message: 'out of gas' } })
    const results = groups.map((group) => {
      const fails = group.some((account) => broken.includes(account))
      const healths = group.map((account) => ({
        equity: 0n,
        im: 0n,
        mm: -BigInt(account),
        notional: 0n,
        pnl: 0n,
        fresh: true,
        inputsFresh: true,
      }))
      const returnData = fails
        ? '0x'
        : encodeFunctionResult({ abi: marginEngineAbi, functionName: 'accountsHealth', result: healths })
      return { success: !fails, returnData } as const
    })
    return encodeFunctionResult({ abi: multicall3Abi, functionName: 'aggregate3', result: results })
  }
  const client = createPublicClient({ transport: custom({ request }, { retryCount: 0 }) }) as ChainClient
  const destination = { write: (line: string) => void lines.push(JSON.parse(line)) }
  const logger = createLogger({ name: 'test', level: 'debug', destination })
  const contracts = { priceOracle: address(1), marginEngine: address(2) }
  const outcome = await risksOf({ client, contracts, report: undefined, moment, logger }, accounts).catch(
    (error: unknown) => error,
  )
  return { outcome, requests, lines }
}

it('values all accounts in the state of one block, in one request', async () => {
  const { outcome, requests, lines } = await simulate({})
  expect(outcome).toEqual(accounts.map((account) => ({ account, mm: -BigInt(account) })))
  expect(requests.map(({ params: [, block] }) => block)).toEqual(['0x7'])
  expect(lines).toEqual([])
})

it("names the account that can't be valued, and values all others", async () => {
  const broken = [accounts[30] as Hex]
  const { outcome, lines } = await simulate({ broken })
  expect(outcome).toHaveLength(accounts.length - 1)
  expect(lines).toMatchObject([{ level: 50, account: broken[0] }])
})

it('asks for less at once when the node does not bear all', async () => {
  const { outcome, lines } = await simulate({ bears: 4 })
  expect(outcome).toEqual(accounts.map((account) => ({ account, mm: -BigInt(account) })))
  expect(lines).toEqual([])
})

it.each([
  ['is down', { down: true }, 1],
  ['refuses everything', { bears: 0 }, 7],
])('a node that %s is no fault of an account', async (_, node, most) => {
  const { outcome, requests, lines } = await simulate(node)
  expect(outcome).toBeInstanceOf(RetryableError)
  expect(requests.length).toBeLessThanOrEqual(most)
  expect(lines).toEqual([])
})
