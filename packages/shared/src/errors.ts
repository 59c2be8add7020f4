/**
 * Every error that a worker can meet is one of three, decided where it arises and never by its text:
 * retryable (the world may change), permanent (only a person or a new input changes it), already done (success by another's hand).
 */
export class RetryableError extends Error {
  override name = 'RetryableError'
}

export class PermanentError extends Error {
  override name = 'PermanentError'
}

export class AlreadyDoneError extends Error {
  override name = 'AlreadyDoneError'
}

/** Bad input from a person: one line that names the field and the fix. The command line prints it without a stack and exits with 2. */
export class UserError extends PermanentError {
  override name = 'UserError'
  constructor(
    /** The option, field or file position at fault, such as `--speed` or `prices.csv:12 close`. */
    readonly field: string,
    /** What is wrong and how to mend it. */
    readonly fix: string,
  ) {
    // Either may repeat what a file holds: what breaks a line or moves a terminal's cursor is spelt out.
    super(`${field}: ${fix}`.replace(/\p{Cc}/gu, escaped))
  }
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}
