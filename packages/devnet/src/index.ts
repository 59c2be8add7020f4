export { unlessAborted } from './abort.js'
export * from './chains/index.js'
export * from './layerzero/index.js'
export {
  type Delivery,
  deliveries,
  type LocalNetwork,
  type LocalNetworkOptions,
  startLocalNetwork,
} from './network/localNetwork.js'
export * from './prices/index.js'
export * from './processes/index.js'
export { describeNetwork } from './report/describe.js'
export { formatReport } from './report/format.js'
export type { ClosingReport } from './report/index.js'
export { playStory } from './scenario/story.js'
export * from './sources/index.js'
