export {
  type AttestServiceOptions,
  attestConfigSchema,
  startAttestService,
} from './attest/service.js'
export { type Bidder, createBidder } from './bidder.js'
export type { BidderOptions } from './bidder-options.js'
export type { RelayerKeys } from './chains/context.js'
export { type RelayerConfig, type RelayerConfigInput, relayerConfigSchema } from './config.js'
export { type ExitCall, exitCalls, type GovernedCall, hubEnd, openingCalls } from './exits/calls.js'
export {
  type LastWordFile,
  lastWordFileSchema,
  lastWordText,
  type SignedWord,
  signedWordSchema,
} from './exits/file.js'
export { checkLastWord, makeLastWord, signLastWord } from './exits/last-word.js'
export { noteSigned } from './exits/record.js'
export type { DeliveryView } from './lanes/deliver-view.js'
export { prepareRecovery, recoveryActions } from './layerzero/recovery.js'
export { createRelayer, type Relayer, type RelayerOptions, type RelayerStatus } from './relayer.js'
export type { MessageStages, Percentiles, TransactionSample } from './stages.js'
