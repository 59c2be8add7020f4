// Imports run one way (docs/architecture.md): shared <- contracts <- aggregator, relayer <- devnet <- cli.
const order = ['shared', 'contracts', 'aggregator|relayer|sdk|zk', 'devnet', 'cli']
module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    ...order.slice(0, -1).map((from, i) => ({
      name: `one-way-${i}`,
      severity: 'error',
      from: { path: `^packages/(${from})/` },
      to: { path: `^packages/(${order.slice(i + 1).join('|')})/` },
    })),
    {
      name: 'no-siblings',
      severity: 'error',
      from: { path: '^packages/(aggregator|relayer|sdk|zk)/' },
      to: { path: '^packages/(aggregator|relayer|sdk|zk)/', pathNot: '^packages/$1/' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '/dist/|/out/|/cache/' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: { conditionNames: ['@clearspan/source', 'import', 'default'] },
  },
}
