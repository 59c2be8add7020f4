// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";

/// @notice Value of a European option on a forward, undiscounted: F Φ(d₁) − K Φ(d₂) for a call, d₁ = ln(F/K)/s + s/2, d₂ = d₁ − s, s = σ√T
/// (F. Black, The pricing of commodity contracts, 1976).
///
/// Of both options at a strike the one out of the money is computed, from tails of the normal distribution, which are small numbers of high
/// relative precision; the other follows by parity. So no value is below its intrinsic one, and call − put is F − K to the wei.
/// Error: below 2 × 10^-16 of the larger of forward and strike, plus one wei, against a reference of 50 decimals.
/// @dev Fixed point of 96 bits: a shift costs less than a division, and what is lost lies far below the error of the coefficients.
/// `black76` in packages/shared/src/margin is the exact twin.
library Black76 {
    using FixedPointMathLib for uint256;

    /// @dev One, ln 2, √2, √(2π).
    int256 private constant ONE = 1 << 96;
    int256 private constant LN2 = 54916777467707473351141471128;
    int256 private constant SQRT2 = 112045541949572279837463876454;
    int256 private constant SQRT_2PI = 198595552305314927273837084509;
    /// @dev Where the rational function ends, and beyond which an option is worth less than 10^-23 of the smaller of forward and strike.
    int256 private constant SPLIT = 560227709747860983714166184892;
    int256 private constant FAR = 10 << 96;

    /// @notice σ√T of which a price can tell, WAD: 0.01 % to 1,000 %.
    uint256 internal constant MIN_DEVIATION = 1e14;
    uint256 internal constant MAX_DEVIATION = 10e18;

    /// @dev Zero, or no room in 120 bits.
    error InvalidForward(uint256 forward);
    error InvalidStrike(uint256 strike);
    error InvalidDeviation(uint256 deviation);

    /// @param forward Price of the underlying for the expiry, WAD. @param strike WAD. @param deviation σ√T, WAD, T in years.
    /// @return call WAD of the quote for one unit of the underlying. @return put
    function values(uint256 forward, uint256 strike, uint256 deviation)
        internal
        pure
        returns (uint256 call, uint256 put)
    {
        if (forward == 0 || forward >> 120 != 0) revert InvalidForward(forward);
        if (strike == 0 || strike >> 120 != 0) revert InvalidStrike(strike);
        if (deviation < MIN_DEVIATION || deviation > MAX_DEVIATION) revert InvalidDeviation(deviation);
        unchecked {
            (uint256 low, uint256 high) = forward < strike ? (forward, strike) : (strike, forward);
            int256 s = int256((deviation << 96) / 1e18);
            uint256 outside = _outside(low, _ln((high << 96) / low), s);
            (call, put) = forward < strike ? (outside, outside + high - low) : (outside + high - low, outside);
        }
    }

    /// @notice The same for one of both, where what each strike and each forward needs is at hand: they meet many times.
    /// @param forward Above 0 and below 2^120, as `strike`. @param lnForward `ln` of it, and so on.
    /// @param s `scaled` of the deviation.
    function value(bool isCall, uint256 forward, uint256 strike, int256 lnForward, int256 lnStrike, int256 s)
        internal
        pure
        returns (uint256 result)
    {
        unchecked {
            if (forward < strike) {
                result = _outside(forward, lnStrike - lnForward, s);
                if (!isCall) result += strike - forward;
            } else {
                result = _outside(strike, lnForward - lnStrike, s);
                if (isCall) result += forward - strike;
            }
        }
    }

    /// @notice A deviation (WAD) in 96 bits. What is beyond its bounds counts as at them: at the least an option is worth at most 0.004 % of the
    /// forward more than without any, at the most its limit.
    function scaled(uint256 deviation) internal pure returns (int256) {
        unchecked {
            return int256((deviation.clamp(MIN_DEVIATION, MAX_DEVIATION) << 96) / 1e18);
        }
    }

    /// @notice ln x, 96 bits. @param x 1 to 2^120 − 1.
    function ln(uint256 x) internal pure returns (int256) {
        return _ln(x << 96);
    }

    /// @dev Both options out of the money have this form: low × Φ(s/2 − l) − high × Φ(−s/2 − l), l = ln(high/low)/s. As
    /// high × φ(s/2 + l) = low × φ(s/2 − l), one density serves both.
    /// @param log ln(high/low), 96 bits. @param s 96 bits.
    function _outside(uint256 low, int256 log, int256 s) private pure returns (uint256) {
        unchecked {
            // A difference of two roundings could be less than nothing.
            if (log < 0) log = 0;
            int256 half = s >> 1;
            int256 x = (log << 96) / s - half;
            if (x >= FAR) return 0;
            int256 density = _expNegative((x * x) >> 97);
            int256 share = x < 0 ? ONE - _tail(-x, density) : _tail(x, density);
            share -= _tail(x + s, density);
            return share > 0 ? (low * uint256(share)) >> 96 : 0;
        }
    }

    /// @dev density × (1 − Φ(x)) ÷ e^(−x²/2) for x >= 0: of the tail what is left when its exponential is put in from outside, a rational
    /// function, and further out a continued fraction (J. F. Hart, Computer Approximations, 1968, 5666; G. West, Better approximations to
    /// cumulative normal functions, 2005).
    function _tail(int256 x, int256 density) private pure returns (int256) {
        unchecked {
            if (x >= SPLIT) {
                int256 b = x + 51498305634271819435803567718;
                b = x + (4 << 192) / b;
                b = x + (3 << 192) / b;
                b = x + (2 << 192) / b;
                b = x + (1 << 192) / b;
                return (((density << 96) / b) << 96) / SQRT_2PI;
            }
            int256 n = 2793782811274865708995792344;
            n = ((n * x) >> 96) + 55490063251982985439325613973;
            n = ((n * x) >> 96) + 504997313321183988772789751343;
            n = ((n * x) >> 96) + 2686854064982610631744200026450;
            n = ((n * x) >> 96) + 8879836321276928843208352153033;
            n = ((n * x) >> 96) + 17526346747716136297837296789480;
            n = ((n * x) >> 96) + 17446585517718866593419072006541;
            int256 d = 7002846371848264277131140168;
            d = ((d * x) >> 96) + 139098283325591648216536793020;
            d = ((d * x) >> 96) + 1272735271903413669289948260021;
            d = ((d * x) >> 96) + 6875477954081866250299004168023;
            d = ((d * x) >> 96) + 23496240498236730931794024435254;
            d = ((d * x) >> 96) + 50494772681144588634273116487714;
            d = ((d * x) >> 96) + 62893415942062134000840181617016;
            d = ((d * x) >> 96) + 34893171035437733186838144013083;
            return density * n / d;
        }
    }

    /// @dev ln of a ratio >= 1, 96 bits: 2^k m with m about 1, ln m = 2 artanh((m − 1) ÷ (m + 1)).
    function _ln(uint256 ratio) private pure returns (int256) {
        unchecked {
            uint256 k = FixedPointMathLib.log2(ratio) - 96;
            int256 m = int256(ratio >> k);
            if (m > SQRT2) (m, k) = (m >> 1, k + 1);
            int256 z = ((m - ONE) << 96) / (m + ONE);
            int256 w = (z * z) >> 96;
            int256 r = 2934376389417197688649775938;
            r = ((r * w) >> 96) + 3169126500570573503741758013;
            r = ((r * w) >> 96) + 3444702718011492938849736971;
            r = ((r * w) >> 96) + 3772769643536397028263997635;
            r = ((r * w) >> 96) + 4169903290224438820712839491;
            r = ((r * w) >> 96) + 4660480147897902211384938255;
            r = ((r * w) >> 96) + 5281877500950955839569596689;
            r = ((r * w) >> 96) + 6094474039558795199503380795;
            r = ((r * w) >> 96) + 7202560228569485235776722758;
            r = ((r * w) >> 96) + 8803129168251593065949327815;
            r = ((r * w) >> 96) + 11318308930609191084791992905;
            r = ((r * w) >> 96) + 15845632502852867518708790067;
            r = ((r * w) >> 96) + 26409387504754779197847983445;
            r = ((r * w) >> 96) + ONE;
            return ((2 * z * r) >> 96) + int256(k) * LN2;
        }
    }

    /// @dev e^−y for y >= 0, 96 bits: 2^−k e^r with |r| <= ½ ln 2.
    function _expNegative(int256 y) private pure returns (int256) {
        unchecked {
            int256 k = (y + LN2 / 2) / LN2;
            int256 r = k * LN2 - y;
            int256 e = 3786692068236304;
            e = ((e * r) >> 96) + 60587073091780857;
            e = ((e * r) >> 96) + 908806096376712848;
            e = ((e * r) >> 96) + 12723285349273979877;
            e = ((e * r) >> 96) + 165402709540561738402;
            e = ((e * r) >> 96) + 1984832514486740860829;
            e = ((e * r) >> 96) + 21833157659354149469120;
            e = ((e * r) >> 96) + 218331576593541494691204;
            e = ((e * r) >> 96) + 1964984189341873452220832;
            e = ((e * r) >> 96) + 15719873514734987617766657;
            e = ((e * r) >> 96) + 110039114603144913324366598;
            e = ((e * r) >> 96) + 660234687618869479946199586;
            e = ((e * r) >> 96) + 3301173438094347399730997931;
            e = ((e * r) >> 96) + 13204693752377389598923991723;
            e = ((e * r) >> 96) + 39614081257132168796771975168;
            e = ((e * r) >> 96) + 79228162514264337593543950336;
            e = ((e * r) >> 96) + 79228162514264337593543950336;
            return e >> uint256(k);
        }
    }
}
