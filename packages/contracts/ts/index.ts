export * from './abi.generated.js'
