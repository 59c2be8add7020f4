export {
  deployLayerZero,
  type LayerZeroChain,
  type LayerZeroDeployment,
  type LayerZeroOptions,
} from './deployLayerZero.js'
export { publishedAddresses, publishedChains } from './published.js'
