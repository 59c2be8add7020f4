import { type DestinationStream, type LevelWithSilent, type Logger, pino, stdTimeFunctions } from 'pino'
import { prettyFactory } from 'pino-pretty'

export type { LevelWithSilent, Logger }

export interface LoggerOptions {
  /** Who speaks: `relayer`, `oracle-2`. Every line carries it. */
  name: string
  level: LevelWithSilent
  /** Lines for people instead of JSON. */
  pretty?: boolean
  /** Where lines go; standard error by default, because standard output belongs to the program's answer. */
  destination?: DestinationStream
}

/** A JSON string or a flat array under a name that smells of a secret, at any depth. */
const SECRET_FIELD =
  /("[^"]*(?:key|secret|mnemonic|passw|passphrase|seed|credential|authorization)[^"]*"):(?:"(?:[^"\\]|\\.)*"|\[[^\]]*\])/gi
/** The user part of a URL: `redis://:password@host`. */
const URL_CREDENTIALS = /(\w:\/\/)[^\s"/@]+@/g

/**
 * Hides secrets in one finished log line. Working on the text rather than on known paths covers bindings of
 * child loggers, nested objects and fields of errors alike; it hides too much rather than too little.
 */
export function redactLine(line: string): string {
  return line.replace(SECRET_FIELD, '$1:"[redacted]"').replace(URL_CREDENTIALS, '$1[redacted]@')
}

/** Lines held back while their file can't be written. */
const MAX_HELD_CHARS = 1 << 20

/** Writes lines to a file descriptor at once. What can't be written, on a full disk, is lost: logging ends no process. */
export function lineStream(fd: number): DestinationStream {
  const stream = pino.destination({ fd, sync: true, maxLength: MAX_HELD_CHARS })
  stream.on('error', () => {})
  return stream
}

/** A pino logger that never writes a value whose name looks like a key, secret or password. */
export function createLogger({ name, level, pretty: forPeople = false, destination }: LoggerOptions): Logger {
  const stream = destination ?? lineStream(2)
  const options = { name, level, timestamp: stdTimeFunctions.isoTime, hooks: { streamWrite: redactLine } }
  if (!forPeople) return pino(options, stream)
  const format = prettyFactory({ ignore: 'pid,hostname', translateTime: 'SYS:HH:MM:ss.l' })
  return pino(options, { write: (line) => stream.write(format(line) ?? '') })
}
