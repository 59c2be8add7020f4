/** Why a frame, or a quote in it, was dropped. Every drop is counted under one of these. */
export type RejectReason =
  | 'malformed'
  | 'too_large'
  | 'unexpected_shape'
  | 'bad_price'
  | 'bad_confidence'
  | 'bad_time'
  | 'crossed_book'
  | 'unknown_symbol'
  | 'future'
  | 'out_of_order'
  /** Ten times or a tenth of the market's price less than a minute before: a slipped decimal point, not a market. */
  | 'decimal_slip'
  /** The last quote once more, to the last digit, or its number and price with another time: a repetition refreshes nothing. */
  | 'duplicate'
  /** A number is missing before this one; the market has no price until the venue is subscribed anew. */
  | 'sequence_gap'
  /** A Pyth update of a guardian set that isn't configured. */
  | 'unknown_guardians'
  | 'no_quorum'
  | 'bad_signature'
  /** Signed by guardians, but not for Pyth. */
  | 'bad_emitter'
  /** A message that the signed Merkle root doesn't contain. */
  | 'bad_proof'
  /** An RPC of another chain than configured. */
  | 'wrong_chain'
  /** A call that reverts, or finds no such contract. */
  | 'reverted'
  /** An answer older than its feed's heartbeat. */
  | 'stale'
  /** An answer at the least or largest that its aggregator can give: the market may be anywhere beyond. */
  | 'pinned_answer'
  | 'sequencer_down'
  /** The sequencer came back too recently for prices to have followed. */
  | 'sequencer_grace'
  /** A pool that remembers fewer observations than asked for, or not the whole window. */
  | 'thin_history'
  | 'thin_liquidity'
  | 'venue_error'

/** One price as a venue sent it, not yet tied to a market. */
export interface Tick {
  symbol: string
  /** WAD: quote units for one base unit, times 1e18. Positive. */
  price: bigint
  /** Half width of the price's interval, WAD, same unit as the price; null when the frame does not tell. */
  confidence: bigint | null
  /** The venue's own time of the price, unix ms of network time. */
  eventTime: number
  /** The venue's sequence number, when it has one. */
  sequence: bigint | null
  /** Set where the venue numbers a market's ticks without gaps: the tick before this one has `sequence - 1`. */
  contiguous?: true
  /** Set by slow sources: see Quote. */
  expiresAt?: number
}

/** What one frame of a venue means. A decoder is pure and total: any input gives one of these and nothing throws. */
export type Decoded =
  | { kind: 'ticks'; ticks: Tick[]; skipped?: Skipped[] }
  /** A spread without a price or a time: it only informs the confidence of later ticks. WAD. */
  | { kind: 'spread'; symbol: string; halfSpread: bigint }
  /** Acknowledgements and heartbeats: they show that the connection lives, never that a price is fresh. */
  | { kind: 'control' }
  /** The number of the market's newest tick, by the venue's own heartbeat: one second later a tick with it must have arrived. */
  | { kind: 'heartbeat'; symbol: string; sequence: bigint }
  /** With a symbol: what the market's last quote said is withdrawn. */
  | { kind: 'rejected'; reason: RejectReason; symbol?: string }
  | Skipped

/** What a sound frame says of one market that can't be meant: dropped alone, and the market's last quote stands until it is stale. */
export interface Skipped {
  kind: 'skipped'
  symbol: string
  reason: RejectReason
}

export type Decoder = (frame: string) => Decoded

/** A market of a source: `symbol` in the venue's own spelling. */
export interface Market {
  symbol: string
  base: string
  quote: string
  chainlink?: ChainlinkMarket | undefined
  twap?: TwapMarket | undefined
}

/** What a Chainlink feed promises; its symbol is the feed's address. */
export interface ChainlinkMarket {
  /** The longest that a live feed is silent, seconds. */
  heartbeatSeconds: number
  /** How far the market may be from a live answer, basis points: the feed's deviation threshold. */
  deviationBps: number
}

/** How a Uniswap v3 pool is read; its symbol is the pool's address. */
export interface TwapMarket {
  /** Which of the pool's two tokens is the base. */
  baseToken: string
  windowSeconds: number
  /** Observations that the pool must be able to keep. */
  minCardinality: number
  /** Least harmonic mean of in-range liquidity over the window, in the pool's own unit: a whole number. */
  minLiquidity: string
  /** How far the market may be from the average, basis points. */
  bandBps: number
}

/** The chain that slow sources are read from. */
export interface ChainSource {
  chainId: number
  /** Real ms between two readings. */
  pollMs: number
  /** For a rollup: its Chainlink uptime feed, and how long after an outage no answer counts, seconds. */
  sequencer?: { feed: string; graceSeconds: number } | undefined
}

/** `price`: votes. `bound`: from a slow source; it only limits what the votes may say, and never votes. */
export type QuoteKind = 'price' | 'bound'

/** The only thing that a source hands on. */
export interface Quote {
  source: string
  kind: QuoteKind
  market: Market
  /** WAD, quote units for one base unit. */
  price: bigint
  /** Half width, WAD, same unit as the price. */
  confidence: bigint
  /** Unix ms of network time, by the venue. */
  eventTime: number
  /** Unix ms of network time, by this node. */
  receiveTime: number
  /**
   * Unix ms of network time from which on the quote says nothing, by the source's own heartbeat. Never null for a bound, whose event
   * time is old by nature; always null for a price, which the aggregation's ages judge.
   */
  expiresAt: number | null
  sequence: bigint | null
}
