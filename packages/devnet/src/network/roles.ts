import type { Hex } from 'viem'
import { type PrivateKeyAccount, privateKeyToAccount } from 'viem/accounts'
import { localKeys } from '../chains/index.js'

const ORACLE_NODES = 4
/** Two of them must sign. */
const ATTESTORS = 3
const TRADERS = ['alice', 'bob', 'carol', 'dave', 'erin', 'frank', 'grace'] as const

export type TraderName = (typeof TRADERS)[number]

/** One key of a local network: everybody knows them, so they exist on local chains only. */
export interface LocalKey {
  name: string
  key: Hex
  account: PrivateKeyAccount
}

/** Who is who on a local network; one key for one purpose. Equal in every run. */
export interface LocalRoles {
  /** Deploys, and then owns nothing any more. */
  deployer: LocalKey
  /** Of governance. */
  council: LocalKey
  guardian: LocalKey
  lister: LocalKey
  relayer: {
    price: LocalKey
    bulk: LocalKey
    urgent: LocalKey
    peer: LocalKey
    dvnSigners: LocalKey[]
    /** What may wait of the keeper's, where that is a process of its own. */
    keeper: LocalKey
  }
  /** Sign for the Attestor. */
  attestors: LocalKey[]
  /** Submits matched orders to the venue. */
  operator: LocalKey
  /** Takes the other side of every trade. */
  maker: LocalKey
  /** Bids in auctions and buys collateral lots. */
  bidder: LocalKey
  /** Deposits into the insurance fund. */
  underwriter: LocalKey
  observers: LocalKey[]
  traders: Record<TraderName, LocalKey>
  /** How many accounts of the mnemonic these are; chains fund as many. */
  count: number
}

export function localRoles(): LocalRoles {
  const names = [
    'deployer',
    'relayer price',
    'relayer bulk',
    'relayer urgent',
    'dvn signer 0',
    'dvn signer 1',
    'operator',
    'maker',
    'bidder',
    'underwriter',
    ...Array.from({ length: ORACLE_NODES }, (_, index) => `oracle node ${index}`),
    ...TRADERS,
    'relayer peer',
    ...Array.from({ length: ATTESTORS }, (_, index) => `attestor ${index}`),
    'keeper bulk',
    'council',
    'guardian',
    'lister',
  ]
  const keys = new Map(
    localKeys(names.length).map((key, index): [string, LocalKey] => {
      const name = names[index]!
      return [name, { name, key, account: privateKeyToAccount(key) }]
    }),
  )
  const of = (name: string) => keys.get(name)!
  return {
    deployer: of('deployer'),
    council: of('council'),
    guardian: of('guardian'),
    lister: of('lister'),
    relayer: {
      price: of('relayer price'),
      bulk: of('relayer bulk'),
      urgent: of('relayer urgent'),
      peer: of('relayer peer'),
      dvnSigners: [of('dvn signer 0'), of('dvn signer 1')],
      keeper: of('keeper bulk'),
    },
    attestors: Array.from({ length: ATTESTORS }, (_, index) => of(`attestor ${index}`)),
    operator: of('operator'),
    maker: of('maker'),
    bidder: of('bidder'),
    underwriter: of('underwriter'),
    observers: Array.from({ length: ORACLE_NODES }, (_, index) => of(`oracle node ${index}`)),
    traders: Object.fromEntries(TRADERS.map((name) => [name, of(name)])) as Record<TraderName, LocalKey>,
    count: names.length,
  }
}
