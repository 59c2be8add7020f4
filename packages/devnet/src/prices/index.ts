export * from './builtIn.js'
export { loadPriceTape, parsePriceTape } from './csv.js'
export { LEGS, type PriceSeries, type PriceTape, type TimeRange } from './tape.js'
export { deepestFall, type Fall, type ReplayWindow, selectWindow } from './window.js'
