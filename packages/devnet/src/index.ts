export * from './chains/index.js'
export * from './layerzero/index.js'
export * from './prices/index.js'
export * from './processes/index.js'
