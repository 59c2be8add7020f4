import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
const pages = ['README.md', ...readdirSync(join(root, 'docs')).map((name) => `docs/${name}`)]
const inPackages = readdirSync(join(root, 'packages')).flatMap((name) =>
  ['src', 'ts', 'test'].map((part) => join('packages', name, part)),
)
const tests = ['test', ...inPackages]
  .filter((directory) => existsSync(join(root, directory)))
  .flatMap((directory) =>
    readdirSync(join(root, directory), { recursive: true, encoding: 'utf8' }).map((path) =>
      join('/', directory, path),
    ),
  )
const solidity = tests
  .filter((path) => path.endsWith('.t.sol'))
  .map((path) => readFileSync(join(root, path), 'utf8'))

/** What pages call by name in backticks, each with its page. */
function named(pattern: RegExp): [page: string, name: string][] {
  return pages.flatMap((page) =>
    [...readFileSync(join(root, page), 'utf8').matchAll(pattern)].map(([, name]): [string, string] => [
      page,
      name!,
    ]),
  )
}

test('every contract test that a page names is there', () => {
  const names = named(/`((?:test|testFuzz|invariant)_\w+)`/g)
  expect(names.length).toBeGreaterThan(20)
  expect(names.filter(([, name]) => !solidity.some((text) => text.includes(`function ${name}(`)))).toEqual([])
})

test('every test file that a page names is there', () => {
  const files = named(/`([\w./-]+\.(?:t\.sol|test\.ts))`/g)
  expect(files.length).toBeGreaterThan(20)
  expect(files.filter(([, name]) => !tests.some((path) => path.endsWith(`/${name}`)))).toEqual([])
})
