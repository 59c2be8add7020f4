import { createHash } from 'node:crypto'
import { PermanentError } from '@clearspan/shared'

/** Hex digits of a line's check: enough that no accident passes, and short beside what it follows. */
const CHECK_DIGITS = 16

/** A line of 500 ticks is some 40,000: what has none as long as this was never a segment. */
const MAX_LINE_CHARACTERS = 16 << 20

const BIGINT = /^~*-?\d+n$/

/**
 * Lines of a segment, each ending with a check that also covers all lines before it: JSON, a tab, the first 16 hex digits of
 * SHA-256(previous check | JSON). So any changed, missing or moved byte shows at its own line. BigInts are written as text with an `n`, and
 * a text that looks like one, by a source's name or a venue's symbol, with a tilde before it.
 */
export function createLineWriter(): (value: object) => string {
  let previous = ''
  return (value) => {
    const json = JSON.stringify(value, (_, item) => {
      if (typeof item === 'bigint') return `${item}n`
      return typeof item === 'string' && BIGINT.test(item) ? `~${item}` : item
    })
    previous = nextCheck(previous, json)
    return `${json}\t${previous}\n`
  }
}

/**
 * The inverse. Throws PermanentError for a line that isn't as it was written. A line that isn't `wanted` is checked all the same, and
 * undefined.
 */
export function createLineReader(wanted = (_json: string) => true): (line: string) => unknown {
  let previous = ''
  return (line) => {
    const tab = line.lastIndexOf('\t')
    const json = line.slice(0, tab)
    if (tab < 0 || checkOf(line) !== nextCheck(previous, json)) {
      throw new PermanentError("is damaged: its check doesn't fit")
    }
    previous = checkOf(line)
    if (!wanted(json)) return undefined
    return JSON.parse(json, (_, item) => {
      if (typeof item !== 'string' || !BIGINT.test(item)) return item
      return item.startsWith('~') ? item.slice(1) : BigInt(item.slice(0, -1))
    })
  }
}

/** What follows the last line end was cut off by a crash: it was never a line. */
export async function* completeLines(
  chunks: AsyncIterable<string>,
  where: string,
  onRest: (rest: string) => void,
): AsyncGenerator<string> {
  let rest = ''
  for await (const chunk of chunks) {
    const lines = (rest + chunk).split('\n')
    rest = lines.pop() ?? ''
    yield* lines
    if (rest.length > MAX_LINE_CHARACTERS) throw new PermanentError(`${where}: holds no segment`)
  }
  onRest(rest)
}

/** The check of a line without its end: it stands for all lines up to it. */
export function checkOf(line: string): string {
  return line.slice(line.lastIndexOf('\t') + 1)
}

function nextCheck(previous: string, json: string): string {
  return createHash('sha256').update(previous).update(json).digest('hex').slice(0, CHECK_DIGITS)
}
