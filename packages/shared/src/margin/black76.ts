import { PermanentError } from '../errors.js'
import { max, WAD } from './math.js'

/** Fixed point of `Black76.sol`: 96 bits. Shifts of negative numbers round down there and here. */
const BITS = 96n
const ONE = 1n << BITS
const LN2 = 54916777467707473351141471128n
const SQRT2 = 112045541949572279837463876454n
const SQRT_2PI = 198595552305314927273837084509n
const SPLIT = 560227709747860983714166184892n
const FAR = 10n << BITS
const CONTINUED = 51498305634271819435803567718n
/** Highest power first. */
const NUMERATOR = [
  2793782811274865708995792344n,
  55490063251982985439325613973n,
  504997313321183988772789751343n,
  2686854064982610631744200026450n,
  8879836321276928843208352153033n,
  17526346747716136297837296789480n,
  17446585517718866593419072006541n,
]
const DENOMINATOR = [
  7002846371848264277131140168n,
  139098283325591648216536793020n,
  1272735271903413669289948260021n,
  6875477954081866250299004168023n,
  23496240498236730931794024435254n,
  50494772681144588634273116487714n,
  62893415942062134000840181617016n,
  34893171035437733186838144013083n,
]
/** 1 ÷ (2n + 1) and 1 ÷ n!, the last ones first. */
const ARTANH = [
  2934376389417197688649775938n,
  3169126500570573503741758013n,
  3444702718011492938849736971n,
  3772769643536397028263997635n,
  4169903290224438820712839491n,
  4660480147897902211384938255n,
  5281877500950955839569596689n,
  6094474039558795199503380795n,
  7202560228569485235776722758n,
  8803129168251593065949327815n,
  11318308930609191084791992905n,
  15845632502852867518708790067n,
  26409387504754779197847983445n,
  79228162514264337593543950336n,
]
const EXPONENTIAL = [
  3786692068236304n,
  60587073091780857n,
  908806096376712848n,
  12723285349273979877n,
  165402709540561738402n,
  1984832514486740860829n,
  21833157659354149469120n,
  218331576593541494691204n,
  1964984189341873452220832n,
  15719873514734987617766657n,
  110039114603144913324366598n,
  660234687618869479946199586n,
  3301173438094347399730997931n,
  13204693752377389598923991723n,
  39614081257132168796771975168n,
  79228162514264337593543950336n,
  79228162514264337593543950336n,
]

const MIN_DEVIATION = 10n ** 14n
const MAX_DEVIATION = 10n ** 19n
const PRICE_BITS = 120n

/**
 * Undiscounted values of a European call and put on a forward by Black (1976), equal to `Black76.values` of the contracts to the wei.
 *
 * Error below 2 × 10^-16 of the larger of forward and strike, plus one wei.
 *
 * @param forward Price of the underlying for the expiry, WAD, below 2^120. @param strike The same.
 * @param deviation σ√T, WAD, T in years; 0.01 % to 1,000 %.
 * @throws PermanentError where the contract reverts: beyond these bounds.
 */
export function black76(forward: bigint, strike: bigint, deviation: bigint): { call: bigint; put: bigint } {
  if (forward <= 0n || forward >> PRICE_BITS !== 0n)
    throw new PermanentError('black76: forward is out of range')
  if (strike <= 0n || strike >> PRICE_BITS !== 0n) throw new PermanentError('black76: strike is out of range')
  if (deviation < MIN_DEVIATION || deviation > MAX_DEVIATION)
    throw new PermanentError('black76: deviation is out of range')
  const [low, high] = forward < strike ? [forward, strike] : [strike, forward]
  const outside = outOfTheMoney(low, logarithm((high << BITS) / low), scaledDeviation(deviation))
  const inside = outside + high - low
  return forward < strike ? { call: outside, put: inside } : { call: inside, put: outside }
}

/** `Black76.ln`: of 1 to 2^120 − 1, 96 bits. */
export function logarithmOf(x: bigint): bigint {
  return logarithm(x << BITS)
}

/** `Black76.scaled` of a deviation (WAD) within the bounds of {@link black76}: 96 bits. */
export function scaledDeviation(deviation: bigint): bigint {
  return (deviation << BITS) / WAD
}

/**
 * `Black76.value`: one of both from the logarithms of forward and strike and the `scaledDeviation`. All within the bounds of {@link black76}.
 */
export function black76Value(
  isCall: boolean,
  forward: bigint,
  strike: bigint,
  lnForward: bigint,
  lnStrike: bigint,
  s: bigint,
): bigint {
  const rises = forward < strike
  const log = rises ? lnStrike - lnForward : lnForward - lnStrike
  const outside = outOfTheMoney(rises ? forward : strike, max(log, 0n), s)
  if (isCall === rises) return outside
  return outside + (rises ? strike - forward : forward - strike)
}

/** low × Φ(s/2 − l) − high × Φ(−s/2 − l), l = ln(high/low)/s, with one density for both. */
function outOfTheMoney(low: bigint, log: bigint, s: bigint): bigint {
  const x = (log << BITS) / s - (s >> 1n)
  if (x >= FAR) return 0n
  const density = exponentialOfMinus((x * x) >> (BITS + 1n))
  const share = (x < 0n ? ONE - tail(-x, density) : tail(x, density)) - tail(x + s, density)
  return share > 0n ? (low * share) >> BITS : 0n
}

/** density × (1 − Φ(x)) ÷ e^(−x²/2) for x ≥ 0. */
function tail(x: bigint, density: bigint): bigint {
  if (x < SPLIT) return (density * polynomial(NUMERATOR, x)) / polynomial(DENOMINATOR, x)
  let fraction = x + CONTINUED
  for (const k of [4n, 3n, 2n, 1n]) fraction = x + (k << (2n * BITS)) / fraction
  return (((density << BITS) / fraction) << BITS) / SQRT_2PI
}

/** ln of a ratio ≥ 1. */
function logarithm(ratio: bigint): bigint {
  let k = binaryDigits(ratio) - 1n - BITS
  let m = ratio >> k
  if (m > SQRT2) {
    m >>= 1n
    k++
  }
  const z = ((m - ONE) << BITS) / (m + ONE)
  return ((2n * z * polynomial(ARTANH, (z * z) >> BITS)) >> BITS) + k * LN2
}

/** e^−y for y ≥ 0. */
function exponentialOfMinus(y: bigint): bigint {
  const k = (y + LN2 / 2n) / LN2
  return polynomial(EXPONENTIAL, k * LN2 - y) >> k
}

function polynomial(coefficients: readonly bigint[], x: bigint): bigint {
  let sum = 0n
  for (const coefficient of coefficients) sum = ((sum * x) >> BITS) + coefficient
  return sum
}

/** Of x > 0. Written out in sixteens: in twos it would take longer than the logarithm. */
function binaryDigits(x: bigint): bigint {
  const digits = x.toString(16)
  return BigInt(4 * digits.length - Math.clz32(Number.parseInt(digits[0]!, 16)) + 28)
}
