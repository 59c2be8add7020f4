// The empty database that an embedded queue begins with, since making one takes PostgreSQL seconds.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const shared = join(dirname(fileURLToPath(import.meta.url)), '../packages/shared')

/** Writes `packages/shared/dist/empty-database.tar`, unless it is there and of the installed version. */
export async function writeDatabase() {
  const main = createRequire(join(shared, 'package.json')).resolve('@electric-sql/pglite')
  const { version } = JSON.parse(readFileSync(join(dirname(main), '../package.json'), 'utf8'))
  const target = join(shared, 'dist/empty-database.tar')
  const stamp = `${target}.version`
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === version) return
  const { PGlite } = await import(pathToFileURL(join(dirname(main), 'index.js')))
  const db = await PGlite.create()
  try {
    await db.exec('CHECKPOINT')
    const dump = await db.dumpDataDir('none')
    mkdirSync(dirname(target), { recursive: true })
    writeFileSync(target, Buffer.from(await dump.arrayBuffer()))
    writeFileSync(stamp, version)
  } finally {
    await db.close()
  }
}
