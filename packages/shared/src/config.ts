import { readFile } from 'node:fs/promises'
import type { z } from 'zod'
import { UserError } from './errors.js'

/** The path of a field as a person writes it: `chains[0].rpcUrls`. */
function fieldPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>(
    (text, part) =>
      typeof part === 'number' ? `${text}[${part}]` : text === '' ? String(part) : `${text}.${String(part)}`,
    '',
  )
}

/** The first issue of the deepest kind: a union reports the branch that got furthest, not just "invalid input". */
function firstIssue(issues: readonly z.core.$ZodIssue[]): { path: PropertyKey[]; message: string } {
  const issue = issues[0]
  if (issue === undefined) return { path: [], message: 'is not valid' }
  if (issue.code === 'unrecognized_keys')
    return { path: [...issue.path, ...issue.keys.slice(0, 1)], message: 'is not a known field: remove it' }
  if (issue.code === 'invalid_union' && issue.errors.length > 0) {
    const inner = issue.errors
      .map(firstIssue)
      .reduce((best, next) => (next.path.length > best.path.length ? next : best))
    return { path: [...issue.path, ...inner.path], message: inner.message }
  }
  return { path: issue.path, message: issue.message }
}

/**
 * Checks `value` against a schema. `where` says whence it came (`network.json`, `--speed`).
 * @throws UserError naming the first field that is wrong and what it must be.
 */
export function parseConfig<S extends z.ZodType>(schema: S, value: unknown, where: string): z.output<S> {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const { path, message } = firstIssue(result.error.issues)
  const field = fieldPath(path)
  throw new UserError(field === '' ? where : `${where} ${field}`, message)
}

/** The `code` of a system error such as ENOENT. */
function systemCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unreadable'
}

/**
 * Reads a JSON file and checks it.
 * @throws UserError when it can't be read, is not JSON, or does not fit the schema.
 */
export async function readJson<S extends z.ZodType>(path: string, schema: S): Promise<z.output<S>> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw new UserError(path, `can't be read (${systemCode(error)}): check the path and its permissions`)
  })
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new UserError(path, `is not JSON: ${error instanceof Error ? error.message : String(error)}`)
  }
  return parseConfig(schema, value, path)
}

/** Where a secret lies: in an environment variable or in a file that holds nothing else. Exactly one. */
export interface KeySpec {
  env?: string
  file?: string
}

/** A process's variables, as the command line hands them on. */
export type Environment = Readonly<Record<string, string | undefined>>

/**
 * Loads an access token, which goes into an HTTP header: printable ASCII without spaces. The value appears in no error and no log.
 * @throws UserError naming the variable or file, never its content.
 */
export async function loadToken(spec: KeySpec, env: Environment): Promise<string> {
  const { where, text } = await readSecret(spec, env, 'an access token')
  if (!/^[\x21-\x7e]{1,4096}$/.test(text))
    throw new UserError(where, 'must hold an access token: printable characters, no spaces')
  return text
}

/** The text of a secret without blanks around it, and where it lies, for errors. @throws UserError when it can't be read. */
export async function readSecret(
  { env: variable, file }: KeySpec,
  env: Environment,
  what: string,
): Promise<{ where: string; text: string }> {
  if ((variable === undefined) === (file === undefined))
    throw new UserError('key', 'give exactly one of env (a variable name) and file (a path)')
  const where = variable ?? file ?? ''
  const text =
    variable === undefined
      ? await readFile(where, 'utf8').catch((error: unknown) => {
          throw new UserError(where, `the key file can't be read (${systemCode(error)})`)
        })
      : env[variable]
  if (text === undefined) throw new UserError(where, `is not set: it must hold ${what}`)
  return { where, text: text.trim() }
}
