/**
 * The text of an answer; null, and the connection ended, when it is longer than any honest one. The body is read to its end, or the
 * connection is not free for the next message. Rejects once `signal` aborts, which must be that of the request: Node 20's fetch leaves
 * the reader of a body that can't be unpacked waiting, aborted or not.
 */
export async function readAnswer(
  response: Response,
  maxBytes: number,
  signal: AbortSignal,
): Promise<string | null> {
  const reader = response.body?.getReader()
  if (!reader) return ''
  let end = () => {}
  const aborted = new Promise<never>((_, reject) => {
    end = () => reject(signal.reason)
  })
  signal.addEventListener('abort', end, { once: true })
  if (signal.aborted) end()
  const decoder = new TextDecoder()
  let text = ''
  let bytes = 0
  try {
    for (;;) {
      const { done, value } = await Promise.race([reader.read(), aborted])
      if (done) return text + decoder.decode()
      bytes += value.length
      if (bytes > maxBytes) return null
      text += decoder.decode(value, { stream: true })
    }
  } finally {
    signal.removeEventListener('abort', end)
    // Of a body read to its end nothing is left to cancel; one that failed says so once more.
    reader.cancel().catch(() => {})
  }
}
