export { type Host, openRunDirectory, type RunDirectory } from './runDirectory.js'
export { type ManagedProcess, type ProcessExit, type ProcessOptions, startProcess } from './startProcess.js'
