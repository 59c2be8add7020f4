// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {SafeCastLib} from "solady/utils/SafeCastLib.sol";
import {IClearinghouse} from "../interfaces/IClearinghouse.sol";
import {IInstrument} from "../interfaces/IInstrument.sol";
import {IPriceOracle} from "../interfaces/IPriceOracle.sol";
import {IRiskConfig} from "../interfaces/IRiskConfig.sol";
import {WadMath} from "../libraries/WadMath.sol";
import {Linear} from "./Linear.sol";

/// @title Perp
/// @notice Linear perpetuals. PnL = size × spot + quote. Longs pay shorts the premium of trades over the oracle, smoothed over an hour of
/// trading in the size of what is open; without trades it fades to nothing.
///
/// Trades cost nothing here, and one may trade with oneself. So a premium is moved by capital and time, not by the number of trades:
/// trades of one second weigh what the first of them weighs, each no more than its share of open interest.
contract Perp is IInstrument {
    using FixedPointMathLib for int256;
    using FixedPointMathLib for uint256;
    using SafeCastLib for int256;
    using WadMath for int256;
    using Linear for int256[];

    struct Funding {
        /// WAD quote per base unit that longs had paid when `rate` was set.
        int128 index;
        /// WAD quote per base unit and second, when it was set; it fades to 0 over FUNDING_PERIOD.
        int64 rate;
        /// Seconds; last trade that counted.
        uint64 updatedAt;
    }

    /// @notice The premium is paid once in this time (seconds).
    uint256 public constant FUNDING_PERIOD = 8 hours;
    /// @notice Bound of the premium, hence of funding per period (WAD): 5 bps.
    int256 public constant MAX_PREMIUM = 5e14;
    /// @notice A trade weighs dt ÷ (dt + this) × size ÷ (size + open interest), where dt is the time since the last that counted (seconds).
    uint256 public constant SMOOTHING = 1 hours;
    /// @notice A trade counts if it is at least this part of open interest (1 ÷ MIN_SHARE) and of this notional (WAD): dust neither moves
    /// the premium nor uses up the time that others have waited for.
    uint256 public constant MIN_SHARE = 1000;
    uint256 public constant MIN_NOTIONAL = 10e18;

    address public immutable clearinghouse;
    IPriceOracle public immutable oracle;
    IRiskConfig public immutable riskConfig;

    mapping(uint256 instrumentId => Funding) public funding;
    mapping(uint256 instrumentId => int256) internal _premiums;

    event FundingRateSet(uint256 indexed instrumentId, int256 premium, int256 rate);

    error OnlyClearinghouse();

    constructor(address clearinghouse_, IPriceOracle oracle_, IRiskConfig riskConfig_) {
        clearinghouse = clearinghouse_;
        oracle = oracle_;
        riskConfig = riskConfig_;
    }

    /// @notice size × spot + quote, rounded down.
    /// @inheritdoc IInstrument
    function pnl(Holding[] calldata holdings, uint256 count, uint256[] calldata spots, uint256[] calldata)
        external
        view
        returns (int256[] memory values, bool)
    {
        values = Linear.zeros(spots.length);
        uint256 bits;
        for (uint256 n; n < holdings.length; ++n) {
            Holding calldata h;
            assembly ("memory-safe") {
                h := add(holdings.offset, mul(n, 0xa0))
            }
            int256 quote = h.quote;
            // As WadMath.accrued. Where a product had no room, one of its operands is what `give` refuses.
            unchecked {
                int256 cost = h.size * (costIndex(h.instrumentId) - h.index);
                quote -= cost / 1e18;
                if (cost % 1e18 > 0) --quote;
            }
            bits |= h.quote.abs() | h.index.abs();
            bits |= values.add(spots, count, h.underlying, h.size, quote);
        }
        values.give(true, bits);
    }

    /// @inheritdoc IInstrument
    function mark(uint256 instrumentId) public view returns (uint256 price, bool fresh) {
        IPriceOracle.Price memory p = oracle.price(riskConfig.instrument(instrumentId).feed);
        return (p.price, p.fresh);
    }

    /// @notice A perpetual never expires.
    /// @inheritdoc IInstrument
    function settlement(uint256) external pure returns (bool, uint256) {
        return (false, 0);
    }

    /// @inheritdoc IInstrument
    function isLinear() external pure returns (bool) {
        return true;
    }

    /// @inheritdoc IInstrument
    function costIndex(uint256 instrumentId) public view returns (int256) {
        Funding storage f = funding[instrumentId];
        uint256 word;
        // One read, for every position of every account that is looked at.
        assembly ("memory-safe") {
            word := sload(f.slot)
        }
        unchecked {
            int256 index = int128(uint128(word));
            int256 rate = int64(uint64(word >> 128));
            if (rate == 0) return index;
            int256 period = int256(FUNDING_PERIOD);
            int256 t = int256((block.timestamp - (word >> 192)).min(FUNDING_PERIOD));
            // ∫ rate × (1 − t ÷ period) dt. The rate has 64 bits, t 15, the index 128.
            return index + rate * t * (2 * period - t) / (2 * period);
        }
    }

    /// @notice Nothing is stored: the index follows from the last trade and the time.
    /// @inheritdoc IInstrument
    function accrue(uint256 instrumentId) external view returns (int256) {
        return costIndex(instrumentId);
    }

    /// @notice Smoothed (trade − mid) ÷ mid now, WAD.
    function premium(uint256 instrumentId) public view returns (int256) {
        int256 period = int256(FUNDING_PERIOD);
        return _premiums[instrumentId] * (period - _fading(funding[instrumentId])) / period;
    }

    /// @notice The rate holds until the next trade that counts, at the mid of this one: between trades nothing needs an oracle.
    /// @inheritdoc IInstrument
    function onTrade(uint256 instrumentId, uint256 size, uint256 price) external {
        if (msg.sender != clearinghouse) revert OnlyClearinghouse();
        (uint256 open,) = IClearinghouse(clearinghouse).openInterest(instrumentId);
        if (size * MIN_SHARE < open || size * price < MIN_NOTIONAL * 1e18) return;
        Funding storage f = funding[instrumentId];
        (uint256 mid,) = mark(instrumentId);
        int256 traded = FixedPointMathLib.clamp(
            (int256(price) - int256(mid)) * 1e18 / int256(mid), -MAX_PREMIUM, MAX_PREMIUM
        );
        // The first trade of all has waited for no time, and weighs nothing.
        uint256 dt = f.updatedAt == 0 ? 0 : block.timestamp - f.updatedAt;
        uint256 weight = size.fullMulDiv(dt * 1e18, (size + open) * (dt + SMOOTHING));
        int256 value = premium(instrumentId);
        value += (traded - value).mulTrunc(int256(weight));
        int256 rate = int256(mid).mulTrunc(value) / int256(FUNDING_PERIOD);
        funding[instrumentId] =
            Funding(costIndex(instrumentId).toInt128(), rate.toInt64(), uint64(block.timestamp));
        _premiums[instrumentId] = value;
        emit FundingRateSet(instrumentId, value, rate);
    }

    /// @dev Seconds since the rate was set, at most the period over which it fades.
    function _fading(Funding memory f) internal view returns (int256) {
        return int256((block.timestamp - f.updatedAt).min(FUNDING_PERIOD));
    }
}
