import { type Logger, RetryableError, UserError } from '@clearspan/shared'

/** What must hold of a chain before anything is done that rests on it. */
export interface StartCheck {
  /**
   * Whether it holds; asked of the chain until that has once told.
   * @throws RetryableError while the chain's nodes don't.
   */
  holds(): Promise<boolean>
  /** Why nothing is done, for people; undefined when it holds. */
  problem(): string | undefined
}

/**
 * Checks at once, and again whenever asked while the chain's nodes don't answer: an outage of one chain keeps nobody from starting, and nothing
 * unchecked is relied on.
 * @throws UserError when it doesn't hold. What comes to light only later stops that chain's work, and no other's.
 */
export async function createStartCheck(
  chain: string,
  check: () => Promise<void>,
  log: Logger,
): Promise<StartCheck> {
  let problem: string | undefined
  let isSettled = false

  async function attempt(): Promise<void> {
    try {
      await check()
      if (problem !== undefined) log.info({ chain }, 'the chain answers, its start checks hold')
      problem = undefined
      isSettled = true
    } catch (error) {
      if (error instanceof UserError) {
        problem = error.message
        isSettled = true
      } else if (error instanceof RetryableError)
        problem = `${chain}: its nodes don't answer, so what its messages rest on is not checked; nothing is delivered to it until then`
      throw error
    }
  }

  await attempt().catch((error: unknown) => {
    if (!(error instanceof RetryableError)) throw error
    log.warn({ chain, err: error }, 'start checks wait for the nodes of the chain')
  })
  return {
    async holds() {
      if (!isSettled)
        await attempt().catch((err: unknown) => {
          if (!(err instanceof UserError)) throw err
          log.error({ chain, err }, 'a start check does not hold, nothing is delivered to the chain')
        })
      return problem === undefined
    },
    problem: () => problem,
  }
}
