import { BaseError } from 'viem'
import type { Clock } from '../clock.js'
import { RetryableError } from '../errors.js'
import type { Sender } from './sender.js'

/** A signer that a node has refused is left out for so long, in the clock's milliseconds: it may lack funds. */
const REST_MS = 10_000

/** Several signers of one chain and purpose as one. */
export interface SenderPool extends Sender {
  /** How many may have a transaction in flight beside one another. */
  readonly size: number
}

/** What a pool knows of one of its signers. */
interface Member {
  sender: Sender
  /** Calls of `send` and `sendMany` under way. */
  calls: number
  lastCall: number
  restsUntil: number
}

/**
 * Sends each request, or each batch of `sendMany`, by the signer with the least in flight. One that is stuck gets nothing more until its nonce is
 * used up; make the members with `handsOver`, so that whoever waited for it hears of that as a RetryableError and, having looked at the chain
 * again, sends by another. All of them stuck: nothing is sent, so that the same work is never in flight more often than there are signers.
 * @throws RangeError without a sender.
 */
export function createSenderPool(senders: readonly Sender[], clock: Clock): SenderPool {
  const members = senders.map((sender): Member => ({ sender, calls: 0, lastCall: 0, restsUntil: 0 }))
  const [only] = senders
  if (only === undefined) throw new RangeError('a pool needs a sender')
  let calls = 0

  function next(): Member {
    const free = members.filter(({ sender }) => senders.length === 1 || !sender.isStuck())
    const rested = free.filter(({ restsUntil }) => restsUntil <= clock.now())
    const load = ({ sender, calls }: Member) => sender.inFlight() + calls
    const [first] = (rested.length > 0 ? rested : free).sort(
      (a, b) => load(a) - load(b) || a.lastCall - b.lastCall,
    )
    if (first === undefined) throw new RetryableError('every signer is stuck')
    return first
  }

  /** Its error is a node's, not a revert's: another signer may fare better. */
  function judge(member: Member, reason: unknown): void {
    const isRefused = reason instanceof RetryableError && reason.cause instanceof BaseError
    if (isRefused) member.restsUntil = clock.now() + REST_MS
  }

  async function by<T>(call: (sender: Sender) => Promise<T>, failures: (result: T) => unknown[]): Promise<T> {
    const member = next()
    member.calls++
    member.lastCall = ++calls
    try {
      const result = await call(member.sender)
      for (const reason of failures(result)) judge(member, reason)
      return result
    } catch (error) {
      judge(member, error)
      throw error
    } finally {
      member.calls--
    }
  }

  return {
    size: senders.length,
    /** Of whoever would send next: it is good to simulate by. */
    get address() {
      return senders.every((sender) => sender.isStuck()) ? only.address : next().sender.address
    },
    async start() {
      await Promise.all(senders.map((sender) => sender.start()))
    },
    send: (request) =>
      by(
        (sender) => sender.send(request),
        () => [],
      ),
    sendMany: (requests) =>
      by(
        (sender) => sender.sendMany(requests),
        (results) => results.flatMap((one) => (one.status === 'rejected' ? [one.reason] : [])),
      ),
    inFlight: () => senders.reduce((sum, sender) => sum + sender.inFlight(), 0),
    unclaimed: (read) => senders.reduce((sum, sender) => sum + sender.unclaimed(read), 0),
    isStuck: () => senders.every((sender) => sender.isStuck()),
    async close() {
      await Promise.all(senders.map((sender) => sender.close()))
    },
  }
}
