import {
  clearinghouseAbi,
  collateralVaultAbi,
  futureAbi,
  governanceAbi,
  optionAbi,
  rateSwapAbi,
  riskConfigAbi,
} from '@clearspan/contracts'
import type { Chain } from '@clearspan/shared'
import { type Abi, type Address, isAddressEqual, parseAbi, parseEventLogs, toFunctionSelector } from 'viem'
import type { LocalNetwork } from '../network/localNetwork.js'

const ownableAbi = parseAbi(['function owner() view returns (address)'])
const endpointAbi = parseAbi([
  'function delegates(address oapp) view returns (address)',
  'function skip(address oapp, uint32 srcEid, bytes32 sender, uint64 nonce)',
])
const ROLES = ['council', 'guardian', 'lister']
/** Whose functions roles other than the council's may hold. */
const POWERS: Abi = [
  ...[...collateralVaultAbi, ...clearinghouseAbi, ...futureAbi, ...optionAbi, ...rateSwapAbi],
  ...endpointAbi,
]
const NAMES = new Map(
  POWERS.flatMap((item) =>
    item.type === 'function' ? [[toFunctionSelector(item), item.name] as const] : [],
  ),
)

/** Who may do what on one chain, as the chain has it. */
export interface AuthorityReport {
  chain: string
  /** Contracts that governance owns. */
  governed: string[]
  /** What belongs to somebody else; `as` is `owner`, or `delegate` of a LayerZero application. */
  others: { contract: string; as: 'owner' | 'delegate'; account: Address }[]
  roles: {
    role: string
    account: Address
    /** Between what is scheduled and when it may be done. */
    delaySeconds: number
    /** `contract.function`; the council's are all of an owner. */
    may: string[]
  }[]
}

/** Reads every owner, LayerZero delegate and role. */
export async function authorities({
  manifest,
  chains,
}: Pick<LocalNetwork, 'manifest' | 'chains'>): Promise<AuthorityReport[]> {
  return Promise.all(
    manifest.chains.map(async (chain, index) => {
      const { client } = chains[index]!
      const isHub = chain.chainId === manifest.hub.chainId
      const { riskConfig } = manifest.hub.contracts
      const dynamicRisk = { address: riskConfig, abi: riskConfigAbi, functionName: 'dynamicRisk' } as const
      const contracts: Record<string, Address | undefined> = {
        ...chain.contracts,
        attestor: chain.layerzero.attestor,
        ...(isHub && { ...manifest.hub.contracts, dynamicRisk: await client.readContract(dynamicRisk) }),
      }
      const named = Object.entries(contracts).flatMap(([name, address]) =>
        address === undefined ? [] : [{ name, address }],
      )
      return {
        chain: chain.name,
        ...(await ownersOf(client, chain, named)),
        roles: await rolesOf(client, chain, [
          { name: 'endpoint', address: chain.layerzero.endpoint },
          ...named,
        ]),
      }
    }),
  )
}

type Client = LocalNetwork['chains'][number]['client']
interface Named {
  name: string
  address: Address
}

async function ownersOf(client: Client, { contracts, layerzero }: Chain, named: readonly Named[]) {
  const { governance } = contracts
  const [owners, delegates] = await Promise.all([
    client.multicall({
      contracts: named.map(({ address }) => ({ address, abi: ownableAbi, functionName: 'owner' }) as const),
      deployless: true,
    }),
    client.multicall({
      contracts: named.map(({ address }) => {
        const call = { address: layerzero.endpoint, abi: endpointAbi, functionName: 'delegates' } as const
        return { ...call, args: [address] } as const
      }),
      allowFailure: false,
      deployless: true,
    }),
  ])
  const governed: string[] = []
  const others: AuthorityReport['others'] = []
  for (const [at, { name }] of named.entries()) {
    // Without an owner it answers nothing.
    const owner = owners[at]?.result
    const delegate = delegates[at]!
    if (owner !== undefined && isAddressEqual(owner, governance)) governed.push(name)
    else if (owner !== undefined) others.push({ contract: name, as: 'owner', account: owner })
    if (BigInt(delegate) !== 0n && !isAddressEqual(delegate, governance))
      others.push({ contract: name, as: 'delegate', account: delegate })
  }
  return { governed, others }
}

async function rolesOf(client: Client, { contracts }: Chain, named: readonly Named[]) {
  const address = contracts.governance
  const logs = await client.getLogs({ address, fromBlock: 0n })
  const granted = parseEventLogs({ abi: governanceAbi, logs, eventName: 'RoleGranted' })
  const powers = new Map(
    parseEventLogs({ abi: governanceAbi, logs, eventName: 'TargetFunctionRoleUpdated' }).map(({ args }) => {
      const contract = named.find((one) => isAddressEqual(one.address, args.target))?.name ?? args.target
      const name = `${contract}.${NAMES.get(args.selector) ?? args.selector}`
      return [name, args.roleId] as const
    }),
  )
  const members = new Map(granted.map(({ args }) => [`${args.roleId}:${args.account}`, args]))
  const roles = [...members.values()].map(async ({ roleId, account }) => {
    const call = { address, abi: governanceAbi, functionName: 'getAccess' } as const
    const [since, delay] = await client.readContract({ ...call, args: [roleId, account] })
    const may = [...powers].flatMap(([name, role]) => (role === roleId ? [name] : []))
    const role = ROLES[Number(roleId)] ?? `role ${roleId}`
    return since === 0 ? [] : [{ role, account, delaySeconds: delay, may }]
  })
  return (await Promise.all(roles)).flat()
}
