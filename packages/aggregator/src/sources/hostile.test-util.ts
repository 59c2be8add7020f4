import fc from 'fast-check'

/** What becomes of a good text in hostile hands. */
export type Hostile =
  | { instead: string }
  /** Replaces the nth value of its JSON by a text, or takes it away. */
  | { edits: { nth: number; by: string | null }[] }
  | { cutTo: number }
  | { repeated: number }

/** JSON that no field expects. */
const strange = fc.constantFrom(
  ...['null', 'true', '[]', '{}', '""', '[[[]]]', '{"__proto__":{"price":1}}', '"__proto__"', '"\\ud800"'],
  ...['"NaN"', '"Infinity"', '"-0"', '-0', '0', '"0"', '-1', '"-1"', '"0x10"', '1e308', '1e999', '"1e400"'],
  ...[
    '9007199254740993',
    '"9007199254740993"',
    '0.1',
    '"1e-99"',
    `"${'9'.repeat(400)}"`,
    `${'9'.repeat(400)}`,
  ],
)
const nested = `${'['.repeat(20_000)}${']'.repeat(20_000)}`
const long = `"${'9'.repeat(1 << 20)}"`

const edit = fc.record({
  nth: fc.nat(1_000),
  by: fc.oneof(
    { weight: 6, arbitrary: strange },
    { weight: 3, arbitrary: fc.constant(null) },
    { weight: 3, arbitrary: fc.json({ maxDepth: 2 }) },
  ),
})

export const hostile: fc.Arbitrary<Hostile> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ edits: fc.array(edit, { minLength: 1, maxLength: 3 }) }) },
  { weight: 1, arbitrary: fc.record({ instead: fc.oneof(fc.json(), fc.string(), strange) }) },
  { weight: 1, arbitrary: fc.record({ cutTo: fc.double({ min: 0, max: 0.999, noNaN: true }) }) },
  { weight: 1, arbitrary: fc.record({ repeated: fc.integer({ min: 2, max: 3 }) }) },
)

/** What is too slow to try often. */
export const heavy: readonly Hostile[] = [
  { instead: nested },
  { instead: nested.slice(0, 20_000) },
  ...[nested, long].flatMap((by) => [0, 1, 2, 3, 5].map((nth) => ({ edits: [{ nth, by }] }))),
]

export function spoil(good: string, how: Hostile): string {
  if ('instead' in how) return how.instead
  if ('cutTo' in how) return good.slice(0, Math.floor(good.length * how.cutTo))
  if ('repeated' in how) return good.repeat(how.repeated)
  const root: Holder = { frame: JSON.parse(good) }
  for (const [at, { nth, by }] of how.edits.entries()) {
    const places = placesIn(root)
    const [holder, key] = places[nth % places.length] ?? [root, 'frame']
    if (by !== null) holder[key] = `@${at}@`
    else if (Array.isArray(holder)) holder.splice(Number(key), 1)
    else delete holder[key]
  }
  const text = JSON.stringify(root.frame) ?? ''
  return how.edits.reduce((all, { by }, at) => all.replace(`"@${at}@"`, () => by ?? ''), text)
}

type Holder = Record<string, unknown>

function placesIn(holder: Holder): [Holder, string][] {
  return Object.entries(holder).flatMap(([key, value]) => [
    [holder, key],
    ...(typeof value === 'object' && value !== null ? placesIn(value as Holder) : []),
  ])
}
