// Imports run one way: shared <- contracts <- aggregator, relayer, sdk, zk <- devnet <- cli.
// The swc parser reads the TypeScript, because TypeScript 7 has no JavaScript API. Cycles of types alone count too.
// Without this parser every .ts file would be passed over in silence.
require('@swc/core')

const order = ['shared', 'contracts', 'aggregator|relayer|sdk|zk', 'devnet', 'cli']
const siblings = order[2]
const tests = '[.](test|test-util)[.]ts$|/testData[.]ts$|/testClients[.]ts$'

module.exports = {
  forbidden: [
    { name: 'no-cycle', severity: 'error', from: {}, to: { circular: true } },
    { name: 'resolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
    ...order.slice(0, -1).map((packages, i) => ({
      name: `one-way-${packages}`,
      severity: 'error',
      from: { path: `^packages/(${packages})/` },
      to: { path: `^packages/(${order.slice(i + 1).join('|')})/` },
    })),
    {
      name: 'no-sibling',
      severity: 'error',
      comment: 'Only a test may use a sibling, and by its public face.',
      from: { path: `^packages/(${siblings})/`, pathNot: tests },
      to: { path: `^packages/(${siblings})/`, pathNot: '^packages/$1/' },
    },
    {
      name: 'public-face-only',
      severity: 'error',
      comment:
        'Another package is imported by its name, never by a path into it; its `exports` hold the rest.',
      from: { path: '^packages/([^/]+)/' },
      to: { path: '^packages/[^/]+/', pathNot: '^packages/$1/', dependencyTypes: ['local'] },
    },
    {
      name: 'no-test-code',
      severity: 'error',
      from: { pathNot: tests },
      to: { path: tests },
    },
  ],
  options: {
    parser: 'swc',
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '/(dist|out|cache)/' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['@clearspan/source', 'import', 'default'],
    },
  },
}
