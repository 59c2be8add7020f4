export {
  type SourceFault,
  type SourceSimulators,
  type SourceSimulatorsParameters,
  startSourceSimulators,
} from './simulators.js'
