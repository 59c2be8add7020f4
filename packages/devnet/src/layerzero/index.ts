export {
  deployLayerZero,
  type LayerZeroChain,
  type LayerZeroDeployment,
  type LayerZeroOptions,
} from './deployLayerZero.js'
