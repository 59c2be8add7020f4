import {
  type Address,
  concat,
  encodeFunctionData,
  encodePacked,
  type Hex,
  keccak256,
  pad,
  parseEther,
  parseEventLogs,
  size,
  slice,
} from 'viem'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startTestChains } from '../chains/chains.test-util.js'
import { createBatch, type LocalChain, localAccounts } from '../chains/index.js'
import { type LayerZeroArtifacts, layerZeroArtifacts } from './artifacts.js'
import { deployLayerZero, type LayerZeroDeployment } from './index.js'

const EIDS = [30901, 30902, 30903] as const
const accounts = localAccounts(5)
const [deployer, worker, user] = accounts
const signers = accounts.slice(3).sort((a, b) => (a.address.toLowerCase() < b.address.toLowerCase() ? -1 : 1))

const closes: (() => Promise<void>)[] = []

async function boot() {
  const choices = EIDS.map((eid) => ({ name: `c${eid}`, chainId: eid + 1000 }))
  const { chains, close } = await startTestChains(choices, { accounts: 5 })
  closes.push(close)
  const deployment = await deployLayerZero({
    chains: chains.map((chain, index) => ({ chain, eid: EIDS[index]!, confirmations: index + 1 })),
    deployer: deployer!,
    dvnSigners: signers.map(({ address }) => address),
    quorum: 2,
    workerAdmins: [worker!.address],
  })
  return { chains, deployment }
}

let chains: LocalChain[]
let deployment: LayerZeroDeployment
let again: Awaited<ReturnType<typeof boot>>
let artifacts: LayerZeroArtifacts

beforeAll(async () => {
  artifacts = await layerZeroArtifacts()
  for (const name of ['first', 'second']) {
    again = await boot()
    if (name === 'first') ({ chains, deployment } = again)
  }
})
afterAll(async () => {
  await Promise.all(closes.map((close) => close()))
})

it('has equal addresses on all chains and in every run, and an equal block', async () => {
  expect(again.deployment.layerzero).toEqual(deployment.layerzero)
  for (const address of Object.values(deployment.layerzero).filter((one) => one !== undefined)) {
    for (const chain of chains)
      expect(size((await chain.client.getCode({ address })) ?? '0x')).toBeGreaterThan(100)
  }
  for (const [index, chain] of chains.entries()) {
    const [one, two] = await Promise.all([chain.client.getBlock(), again.chains[index]!.client.getBlock()])
    expect([one.number, one.hash]).toEqual([1n, two.hash])
  }
})

it('configures each direction of each pair with the confirmations of its source', async () => {
  const { sendUln, receiveUln, dvn } = deployment.layerzero
  for (const [local, chain] of chains.entries()) {
    for (const [remote, eid] of EIDS.entries()) {
      if (local === remote) continue
      const config = (name: 'SendUln302' | 'ReceiveUln302', address: Address) =>
        chain.client.readContract({
          address,
          abi: artifacts[name].abi,
          functionName: 'getUlnConfig',
          args: [user!.address, eid],
        })
      expect(await config('SendUln302', sendUln)).toMatchObject({
        confirmations: BigInt(local + 1),
        requiredDVNs: [dvn],
      })
      expect(await config('ReceiveUln302', receiveUln)).toMatchObject({ confirmations: BigInt(remote + 1) })
    }
  }
})

it('carries a packet: paid workers at the source, then verify, commit and execute in one transaction', async () => {
  const [source, , destination] = chains as [LocalChain, LocalChain, LocalChain]
  const { endpoint, dvn, executor, receiveUln, receiveUlnView, workerMulticall } = deployment.layerzero
  // A receiver that answers 1 to everything, thus allows every path and accepts every message.
  const receiving = await createBatch(destination, user!)
  const receiver = receiving.create('Receiver', {
    abi: [],
    bytecode: '0x69600160005260206000f3600052600a6016f3',
  })
  await receiving.send()

  // lzReceive with 200,000 gas
  const options = encodePacked(['uint16', 'uint8', 'uint16', 'uint8', 'uint128'], [3, 1, 17, 1, 200_000n])
  const message = '0xc0ffee'
  const params = { dstEid: EIDS[2], receiver: pad(receiver), message, options, payInLzToken: false }
  const { nativeFee } = (await source.client.readContract({
    address: endpoint,
    abi: artifacts.EndpointV2.abi,
    functionName: 'quote',
    args: [params, user!.address],
  })) as { nativeFee: bigint }
  expect(nativeFee).toBeGreaterThan(0n)
  const sending = await createBatch(source, user!)
  const abi = artifacts.EndpointV2.abi
  sending.call(endpoint, { abi, functionName: 'send', args: [params, user!.address], value: nativeFee })
  const sent = (await sending.send()).receipts[0]!
  const logs = parseEventLogs({ abi: [...abi, ...artifacts.SendUln302.abi], logs: sent.logs })
  const named = (name: string) => logs.find(({ eventName }) => eventName === name)?.args as never
  const { fees, requiredDVNs } = named('DVNFeePaid') as { fees: bigint[]; requiredDVNs: Address[] }
  expect(requiredDVNs).toEqual([dvn])
  expect(fees[0]).toBeGreaterThan(0n)
  expect(named('ExecutorFeePaid')).toMatchObject({ executor })
  const { encodedPayload } = named('PacketSent') as { encodedPayload: Hex }

  const header = slice(encodedPayload, 0, 81)
  const payloadHash = keccak256(slice(encodedPayload, 81))
  const state = () =>
    destination.client.readContract({
      address: receiveUlnView,
      abi: artifacts.ReceiveUln302View.abi,
      functionName: 'verifiable',
      args: [header, payloadHash],
    })
  expect(await state()).toBe(0)
  const delivering = await createBatch(destination, worker!)
  const wait = await dvnExecution({ header, payloadHash, confirmations: 1n, destination, receiveUln })
  delivering.call(dvn, { abi: artifacts.DVN.abi, functionName: 'execute', args: [[wait]] })
  await delivering.send()
  expect(await state()).toBe(1)

  const calls = [
    {
      target: receiveUln,
      data: encodeFunctionData({
        abi: artifacts.ReceiveUln302.abi,
        functionName: 'commitVerification',
        args: [header, payloadHash],
      }),
    },
    {
      target: executor,
      data: encodeFunctionData({
        abi: artifacts.Executor.abi,
        functionName: 'execute302',
        args: [
          {
            receiver,
            origin: { srcEid: EIDS[0], sender: pad(user!.address), nonce: 1n },
            guid: slice(encodedPayload, 81, 113),
            message,
            extraData: '0x',
            gasLimit: 200_000n,
          },
        ],
      }),
    },
  ].map((call) => ({ ...call, gasLimit: 1_000_000n, value: 0n, revertOnError: true }))
  delivering.call(workerMulticall, {
    abi: artifacts.EssenceDVNWrapper.abi,
    functionName: 'multiCall',
    args: [calls],
  })
  const delivered = (await delivering.send()).receipts[0]!
  expect(parseEventLogs({ abi, logs: delivered.logs }).map(({ eventName }) => eventName)).toEqual([
    'PacketVerified',
    'PacketDelivered',
  ])
})

it('refuses a deployer whose nonce would move the addresses', async () => {
  const chain = chains[0]!
  await expect(
    deployLayerZero({
      chains: [{ chain, eid: EIDS[0], confirmations: 1 }],
      deployer: user!,
      dvnSigners: [signers[0]!.address],
      quorum: 1,
      workerAdmins: [],
    }),
  ).rejects.toThrow(/nonce on c30901 is 1/)
  expect(await chain.client.getBalance({ address: user!.address })).toBeLessThan(parseEther('10000'))
})

/** What DVN.execute takes to verify one packet, signed by the whole quorum in ascending order of address. */
async function dvnExecution(packet: {
  header: Hex
  payloadHash: Hex
  confirmations: bigint
  destination: LocalChain
  receiveUln: Address
}) {
  const { header, payloadHash, confirmations, destination, receiveUln } = packet
  const callData = encodeFunctionData({
    abi: artifacts.ReceiveUln302.abi,
    functionName: 'verify',
    args: [header, payloadHash, confirmations],
  })
  const vid = (destination.chainId - 1000) % 30_000
  const expiration = BigInt(destination.lastTimestamp() + 600)
  const hash = keccak256(
    encodePacked(['uint32', 'address', 'uint256', 'bytes'], [vid, receiveUln, expiration, callData]),
  )
  const signatures = concat(
    await Promise.all(signers.map((signer) => signer.signMessage({ message: { raw: hash } }))),
  )
  return { vid, target: receiveUln, callData, expiration, signatures }
}
