import { once } from 'node:events'
import { createServer, type Server } from 'node:net'
import { UserError } from '@clearspan/shared'

/** A port that a person chose, and the option by which they can choose another. 0 means any free one. */
export interface PortChoice {
  option: string
  port: number
}

/** Throws UserError, naming option and port, unless every port can be listened on at 127.0.0.1 (and no two are the same). */
export async function checkPorts(choices: readonly PortChoice[]): Promise<void> {
  const held: Server[] = []
  try {
    for (const { option, port } of choices) {
      if (port === 0) continue
      const server = createServer()
      try {
        server.listen(port, '127.0.0.1')
        await once(server, 'listening')
      } catch (error) {
        throw portError(option, port, error as NodeJS.ErrnoException)
      }
      held.push(server)
    }
  } finally {
    await Promise.all(held.map((server) => new Promise((resolve) => server.close(resolve))))
  }
}

function portError(option: string, port: number, error: NodeJS.ErrnoException): UserError {
  const why =
    error.code === 'EADDRINUSE'
      ? 'is occupied'
      : error.code === 'EACCES'
        ? 'may not be opened by this user'
        : `cannot be opened (${error.message})`
  return new UserError(option, `port ${port} ${why}; pass another port, or 0 for any free one`)
}
