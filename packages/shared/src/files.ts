import { type FileHandle, open, rename } from 'node:fs/promises'
import { dirname } from 'node:path'

/** Replaces a file as a whole, durably: after a crash it is either the old one or the new one. The caller closes the handle. */
export async function replaceFile(path: string, text: string): Promise<FileHandle> {
  const temporary = `${path}.new`
  const file = await open(temporary, 'w')
  try {
    await file.appendFile(text)
    await file.datasync()
    await rename(temporary, path)
    await syncDirectory(dirname(path))
    return file
  } catch (error) {
    await file.close()
    throw error
  }
}

/** Makes the names in a directory durable. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}
