import { UserError } from '@clearspan/shared'

/** A whole replay should be watched in about this long, in real ms. */
const REPLAY_MS = 150_000
const MAX_SPEED = 600
const BLOCK_INTERVAL_MS = 1_000
const MIN_SLOT_S = 4
/** Blocks that a report may need to land on a machine that is busy with other work, too; two on an idle one. */
const LATE_BLOCKS = 18
/** The contract keeps it in 16 bits. */
const MAX_ACCEPT_AGE_S = 65_535

/** How an accelerated network keeps time. Everything but `blockIntervalMs` is in seconds of the network's time. */
export interface Timing {
  /** Network seconds per real second. */
  speed: number
  /** Real ms between the blocks of a chain. */
  blockIntervalMs: number
  /** Network seconds between blocks. */
  blockSeconds: number
  /** Length of an oracle slot. */
  slotSeconds: number
  /** A report is accepted when its slot began no longer ago. */
  acceptAge: number
  /** A stored price supports new risk for so long. */
  useAge: number
  /** Agreeing prices beyond the jump guard must span this before they are stored. */
  jumpConfirm: number
  /** A source's price is stale when it is older. */
  sourceAge: number
  /** How far clocks may differ: a message's time, a source's time. */
  skew: number
  /** Auction: price falls fast, then slowly; nobody bids for `takeOverAfter`: the backstop's turn. */
  auctionFast: number
  auctionSlow: number
  takeOverAfter: number
  /** A regressed counter is booked after it. */
  regressionDelay: number
  /** Sale of a lot by the LiquidationExecutor: from above the oracle's price to its floor. */
  lotSeconds: number
  /** A chain that has nothing to say sends an empty message after it. */
  heartbeat: number
  /** Fund shares cool down for so long. */
  fundCoolDown: number
}

/**
 * What a network at this speed can keep to. Ages and delays are those of a production network, unless the clock runs so fast that a few
 * blocks or slots take longer: a report that needs two blocks to land can't be asked to be younger than one.
 */
export function planTiming(options: { windowMs: number; speed?: number | undefined }): Timing {
  const speed = options.speed ?? Math.min(MAX_SPEED, Math.max(1, Math.ceil(options.windowMs / REPLAY_MS)))
  if (!Number.isFinite(speed) || speed < 1 || speed > 3_600)
    throw new UserError('--speed', 'must be a number from 1 (real time) to 3600 (an hour a second)')
  const blockSeconds = Math.ceil((speed * BLOCK_INTERVAL_MS) / 1000)
  const slotSeconds = Math.max(MIN_SLOT_S, Math.ceil(speed))
  return {
    speed,
    blockIntervalMs: BLOCK_INTERVAL_MS,
    blockSeconds,
    slotSeconds,
    acceptAge: Math.min(MAX_ACCEPT_AGE_S, Math.max(30, LATE_BLOCKS * blockSeconds)),
    useAge: Math.max(120, 2 * LATE_BLOCKS * blockSeconds),
    jumpConfirm: Math.max(60, 2 * blockSeconds),
    sourceAge: Math.max(60, 10 * slotSeconds),
    // The clearinghouse itself ignores what is further ahead than 15 minutes.
    skew: Math.min(900, Math.max(60, 2 * blockSeconds)),
    auctionFast: Math.max(900, 4 * blockSeconds),
    auctionSlow: 12 * 3_600,
    takeOverAfter: Math.max(3_600, 8 * blockSeconds),
    regressionDelay: Math.max(3_600, 10 * blockSeconds),
    lotSeconds: Math.max(1_800, 6 * blockSeconds),
    heartbeat: Math.max(3_600, 30 * blockSeconds),
    fundCoolDown: 14 * 86_400,
  }
}
