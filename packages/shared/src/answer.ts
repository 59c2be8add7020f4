/** The text of an answer; null, and the connection ended, when it is longer than any honest one. The body is read to its end, or the connection is not free for the next message. */
export async function readAnswer(response: Response, maxBytes: number): Promise<string | null> {
  const decoder = new TextDecoder()
  let text = ''
  let bytes = 0
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length
    // Leaving the loop cancels the stream.
    if (bytes > maxBytes) return null
    text += decoder.decode(chunk, { stream: true })
  }
  return text
}
