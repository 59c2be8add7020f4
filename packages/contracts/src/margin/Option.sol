// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {IInstrument} from "../interfaces/IInstrument.sol";
import {IPriceOracle} from "../interfaces/IPriceOracle.sol";
import {IRiskConfig} from "../interfaces/IRiskConfig.sol";
import {Black76} from "../libraries/Black76.sol";
import {WadMath} from "../libraries/WadMath.sol";
import {CashSettled} from "./CashSettled.sol";
import {Dated} from "./Dated.sol";
import {Linear} from "./Linear.sol";

/// @title Option
/// @notice European calls and puts, settled in cash. A unit is worth its undiscounted Black-76 value with the spot of its feed as the forward;
/// between expiry and fixing what it would pay at the spot, and from then on what it pays.
///
/// Deviation s = σ√T, T in years of 365 days to expiry. σ is the at-the-money volatility of its feed times a skew,
/// 1 + slope × x + curvature × x², x = ln(K/F)/√T, each clamped. F is the oracle's price, whatever the scenario: a strike keeps its
/// volatility as the spot moves, and a scenario moves it by its own factor.
contract Option is CashSettled {
    using FixedPointMathLib for int256;
    using FixedPointMathLib for uint256;
    using Linear for int256[];
    using WadMath for int256;

    struct Payoff {
        /// WAD.
        uint120 strike;
        uint16 volatilityFeed;
        bool isCall;
        /// Black76.ln of the strike.
        int104 lnStrike;
    }

    /// @dev bps. It goes from one to the other in a straight line over RAMP.
    struct Ramp {
        int16 fromSlope;
        uint16 fromCurvature;
        int16 slope;
        uint16 curvature;
        uint40 since;
    }

    /// @dev One holding of a call of `pnl`, laid out for the loop over its scenarios.
    struct Curve {
        /// First of its spots and, if there are any, of the factors on volatility, in calldata.
        uint256 spotsAt;
        uint256 factorsAt;
        /// First of its logarithms and values, in memory.
        uint256 logsAt;
        uint256 valuesAt;
        int256 size;
        int256 quote;
        uint256 strike;
        int256 lnStrike;
        bool isCall;
        /// Before a scenario's factor; 0 once expired.
        uint256 deviation;
    }

    /// @dev What the holdings of a call of `pnl` share.
    struct Sheet {
        uint256 count;
        int256[] values;
        uint256 bits;
        /// Logarithm of each spot that was needed so far.
        int256[] logs;
        /// Something that was read isn't fresh.
        bool stale;
        /// Feeds read so far.
        uint256 known;
        uint256[] feeds;
        uint256[] prices;
    }

    /// @notice Bound of |slope| and curvature, bps.
    uint16 public constant MAX_SKEW = 10_000;
    /// @notice Seconds over which a new skew comes into force: it moves margin, and nobody's by surprise.
    uint256 public constant RAMP = 1 days;
    /// @notice Bounds of |x| and of the skew's factor (WAD).
    int256 public constant MAX_MONEYNESS = 2e18;
    int256 public constant MIN_FACTOR = 0.25e18;
    int256 public constant MAX_FACTOR = 4e18;

    uint256 internal constant YEAR = 365 days;
    int256 internal constant WAD = 1e18;

    mapping(uint256 instrumentId => Payoff) public payoffs;
    /// @dev By expiry and feed of the underlying.
    mapping(uint256 expiry => mapping(uint256 feed => Ramp)) internal _ramps;

    event Listed(
        uint256 indexed instrumentId,
        bool isCall,
        uint256 strike,
        uint256 expiry,
        uint256 feed,
        uint256 fixingFeed,
        uint256 volatilityFeed
    );
    event SkewSet(uint256 indexed feed, uint256 indexed expiry, int256 slope, uint256 curvature);

    /// @notice Zero, or no room in 120 bits.
    error InvalidStrike(uint256 strike);
    /// @notice Not one factor on volatility a scenario.
    error MalformedScenarios();
    error InvalidSkew(int256 slope, uint256 curvature);

    constructor(address owner, IPriceOracle oracle_, IRiskConfig riskConfig_)
        Dated(owner, oracle_, riskConfig_)
    {}

    /// @notice Lists the terms of an instrument for ever. Only the owner.
    /// @param strike WAD. @param expiry Seconds; one of the fixing feed's. @param feed Of the underlying, as in RiskConfig.
    /// @param volatilityFeed At-the-money implied volatility, annualised, 1.0 = 100 %; it must have had a value.
    function list(
        uint256 instrumentId,
        bool isCall,
        uint256 strike,
        uint40 expiry,
        uint16 feed,
        uint16 fixingFeed,
        uint16 volatilityFeed
    ) external onlyOwner {
        if (strike == 0 || strike >> 120 != 0) revert InvalidStrike(strike);
        _requirePrice(volatilityFeed);
        _list(instrumentId, expiry, feed, fixingFeed);
        payoffs[instrumentId] = Payoff(uint120(strike), volatilityFeed, isCall, int104(Black76.ln(strike)));
        emit Listed(instrumentId, isCall, strike, expiry, feed, fixingFeed, volatilityFeed);
    }

    /// @notice Sets the skew of all options on a feed with an expiry, bps per unit of x and of x². Only the owner.
    function setSkew(uint16 feed, uint40 expiry, int16 slope, uint16 curvature) external onlyOwner {
        if (int256(slope).abs() > MAX_SKEW || curvature > MAX_SKEW) revert InvalidSkew(slope, curvature);
        (int256 fromSlope, int256 fromCurvature) = skew(feed, expiry);
        _ramps[expiry][feed] = Ramp(
            int16(fromSlope / 1e14),
            uint16(uint256(fromCurvature / 1e14)),
            slope,
            curvature,
            uint40(block.timestamp)
        );
        emit SkewSet(feed, expiry, slope, curvature);
    }

    /// @notice As it is now, WAD.
    function skew(uint256 feed, uint256 expiry) public view returns (int256 slope, int256 curvature) {
        Ramp memory r = _ramps[expiry][feed];
        int256 done = int256((block.timestamp - r.since).min(RAMP));
        int256 left = int256(RAMP) - done;
        slope = (r.fromSlope * left + r.slope * done) * 1e14 / int256(RAMP);
        curvature = (int256(uint256(r.fromCurvature)) * left + int256(uint256(r.curvature)) * done) * 1e14
            / int256(RAMP);
    }

    /* PRICES */

    /// @notice size × value + quote, rounded down. A price or volatility that is stale counts as it last was: nothing keeps an account from
    /// being valued.
    /// @inheritdoc IInstrument
    function pnl(
        Holding[] calldata holdings,
        uint256 count,
        uint256[] calldata spots,
        uint256[] calldata volatilities
    ) external view returns (int256[] memory values, bool) {
        Sheet memory sheet;
        (values, sheet.count) = (Linear.zeros(spots.length), count);
        (sheet.values, sheet.logs) = (values, new int256[](spots.length));
        sheet.feeds = new uint256[](2 * holdings.length);
        sheet.prices = new uint256[](2 * holdings.length);
        for (uint256 n; n < holdings.length; ++n) {
            _add(sheet, holdings[n], spots, volatilities);
        }
        values.give(!sheet.stale, sheet.bits);
    }

    function _add(
        Sheet memory sheet,
        Holding calldata h,
        uint256[] calldata spots,
        uint256[] calldata volatilities
    ) private view {
        Dates memory d = _current(h.instrumentId);
        Payoff memory o = payoffs[h.instrumentId];
        // It has no costs of its own, but losses charged to its side are costs too.
        int256 quote = WadMath.accrued(h.size, h.quote, h.index, 0);
        if (h.size == 0 || d.fixing != 0) {
            sheet.bits |= sheet.values
            .addFixed(sheet.count, h.underlying, h.size, _payment(o, d.fixing), quote);
            return;
        }
        if ((h.size.abs() | quote.abs()) >> 127 != 0) revert Linear.TooLarge();
        if (volatilities.length != 0 && volatilities.length != sheet.count) revert MalformedScenarios();
        Curve memory c = Curve(0, 0, 0, 0, h.size, quote, o.strike, o.lnStrike, o.isCall, 0);
        if (block.timestamp < d.expiry) {
            c.deviation = _deviation(o, d, _price(sheet, d.feed), _price(sheet, o.volatilityFeed));
        } else {
            // Its value is that of the spot: only whether that is known.
            _price(sheet, d.feed);
        }
        _point(c, sheet, Linear.place(h.underlying, sheet.count, spots.length), spots, volatilities);
        _addCurve(c, 32 * sheet.count);
    }

    /// @dev Tells where the scenarios lie, of which `from` is the first.
    function _point(
        Curve memory c,
        Sheet memory sheet,
        uint256 from,
        uint256[] calldata spots,
        uint256[] calldata volatilities
    ) private pure {
        (int256[] memory values, int256[] memory logs) = (sheet.values, sheet.logs);
        assembly ("memory-safe") {
            from := shl(5, from)
            mstore(c, add(spots.offset, from))
            if volatilities.length { mstore(add(c, 0x20), volatilities.offset) }
            mstore(add(c, 0x40), add(add(logs, 32), from))
            mstore(add(c, 0x60), add(add(values, 32), from))
        }
    }

    /// @dev Adds a holding's value in each scenario: size × unit + quote, rounded down, of 127 bits times 121, and 21 holdings at most.
    /// @param end Bytes.
    function _addCurve(Curve memory c, uint256 end) private pure {
        uint256 last;
        int256 s;
        for (uint256 at; at < end;) {
            uint256 spot;
            uint256 factor = 1e18;
            assembly ("memory-safe") {
                spot := calldataload(add(mload(c), at))
                let factorsAt := mload(add(c, 0x20))
                if factorsAt { factor := calldataload(add(factorsAt, at)) }
            }
            // Scenarios of the same volatility lie side by side.
            if (factor != last || at == 0) (last, s) = (factor, _scaled(c.deviation, factor));
            uint256 unit = _unit(c, at, spot, s);
            assembly ("memory-safe") {
                let size := mload(add(c, 0x80))
                let lower := mul(slt(size, 0), 999999999999999999)
                let value := sdiv(sub(mul(size, unit), lower), 1000000000000000000)
                let to := add(mload(add(c, 0x60)), at)
                mstore(to, add(mload(to), add(value, mload(add(c, 0xa0)))))
                at := add(at, 32)
            }
        }
    }

    /// @dev Value of one unit in a scenario; notes the logarithm of its spot.
    function _unit(Curve memory c, uint256 at, uint256 spot, int256 s) private pure returns (uint256) {
        uint256 strike = c.strike;
        if (spot == 0 || s == 0) {
            if (spot >> 120 != 0) revert Linear.TooLarge();
            return _intrinsic(c.isCall, strike, spot);
        }
        uint256 logAt;
        int256 log;
        assembly ("memory-safe") {
            logAt := add(mload(add(c, 0x40)), at)
            log := mload(logAt)
        }
        if (log == 0) {
            log = _ln(spot);
            assembly ("memory-safe") {
                mstore(logAt, log)
            }
        }
        return Black76.value(c.isCall, spot, strike, log, c.lnStrike, s);
    }

    /// @inheritdoc IInstrument
    function mark(uint256 instrumentId) external view returns (uint256 price, bool fresh) {
        Dates memory d = _current(instrumentId);
        Payoff memory o = payoffs[instrumentId];
        if (d.fixing != 0) return (_payment(o, d.fixing), true);
        IPriceOracle.Price memory spot = oracle.price(d.feed);
        if (block.timestamp >= d.expiry) return (_payment(o, spot.price), spot.fresh);
        IPriceOracle.Price memory volatility = oracle.price(o.volatilityFeed);
        uint256 deviation = _deviation(o, d, spot.price, volatility.price);
        price = Black76.value(
            o.isCall, spot.price, o.strike, _ln(spot.price), o.lnStrike, Black76.scaled(deviation)
        );
        fresh = spot.fresh && volatility.fresh;
    }

    /// @inheritdoc IInstrument
    function settlement(uint256 instrumentId) external view returns (bool settled, uint256 price) {
        uint256 fixing = _listed(instrumentId).fixing;
        if (fixing != 0) return (true, _payment(payoffs[instrumentId], fixing));
    }

    /// @inheritdoc IInstrument
    function isLinear() external pure returns (bool) {
        return false;
    }

    /* INTERNAL */

    /// @dev σ√T at the price of now, WAD, before any scenario's factor; at least 1, as 0 stands for expired.
    function _deviation(Payoff memory o, Dates memory d, uint256 mid, uint256 volatility)
        private
        view
        returns (uint256)
    {
        if (mid == 0) revert NoPrice(d.feed);
        if (volatility == 0) revert NoPrice(o.volatilityFeed);
        (int256 slope, int256 curvature) = skew(d.feed, d.expiry);
        int256 factor = WAD;
        int256 root = int256(((d.expiry - block.timestamp) * 1e36 / YEAR).sqrt());
        if (slope != 0 || curvature != 0) {
            int256 x = (((o.lnStrike - _ln(mid)) * WAD) >> 96) * WAD / root;
            x = FixedPointMathLib.clamp(x, -MAX_MONEYNESS, MAX_MONEYNESS);
            factor += (slope * x + curvature * x / WAD * x) / WAD;
            factor = FixedPointMathLib.clamp(factor, MIN_FACTOR, MAX_FACTOR);
        }
        // Within 127 bits, so that a factor within 127 can multiply it.
        return volatility.mulWad(uint256(factor)).mulWad(uint256(root)).clamp(1, (1 << 127) - 1);
    }

    /// @dev Black76.scaled of a deviation times a scenario's factor; 0 once expired.
    function _scaled(uint256 deviation, uint256 factor) private pure returns (int256) {
        if (factor >> 127 != 0) revert Linear.TooLarge();
        if (deviation == 0) return 0;
        unchecked {
            return Black76.scaled(deviation * factor / 1e18);
        }
    }

    function _payment(Payoff memory o, uint256 price) private pure returns (uint256) {
        return _intrinsic(o.isCall, o.strike, price);
    }

    function _intrinsic(bool isCall, uint256 strike, uint256 price) private pure returns (uint256) {
        return isCall ? price.zeroFloorSub(strike) : strike.zeroFloorSub(price);
    }

    function _ln(uint256 spot) private pure returns (int256) {
        if (spot >> 120 != 0) revert Linear.TooLarge();
        return Black76.ln(spot);
    }

    /// @dev The oracle's, asked once a feed.
    function _price(Sheet memory sheet, uint256 feed) private view returns (uint256 price) {
        uint256 known = sheet.known;
        for (uint256 n; n < known; ++n) {
            if (sheet.feeds[n] == feed) return sheet.prices[n];
        }
        IPriceOracle.Price memory p = oracle.price(feed);
        price = p.price;
        if (!p.fresh) sheet.stale = true;
        (sheet.feeds[known], sheet.prices[known], sheet.known) = (feed, price, known + 1);
    }
}
