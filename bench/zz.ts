import { startSourceSimulators } from '@clearspan/devnet'
export default async (say: (line: string) => void) => {
  say('measuring')
  return [
    { name: 'a.b_ms', value: typeof startSourceSimulators === 'function' ? 3 : 0, unit: 'ms', baseline: 2 },
    { name: 'c', value: 1, unit: 'MB', baseline: null },
  ]
}
