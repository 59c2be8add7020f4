export * from './prices/index.js'
