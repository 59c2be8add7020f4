export { type Host, openRunDirectory, type RunDirectory } from './runDirectory.js'
export {
  INHERITED_FD,
  type ManagedProcess,
  type ProcessExit,
  type ProcessOptions,
  startProcess,
} from './startProcess.js'
