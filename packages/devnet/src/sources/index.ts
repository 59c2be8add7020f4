export { startDerivatives } from './derivatives.js'
export { localGuardianSet } from './pythUpdate.js'
export {
  type SourceFault,
  type SourceSimulators,
  type SourceSimulatorsParameters,
  startSourceSimulators,
} from './simulators.js'
