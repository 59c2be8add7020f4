// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {SafeCastLib} from "solady/utils/SafeCastLib.sol";
import {IInstrument} from "../interfaces/IInstrument.sol";
import {IPriceOracle} from "../interfaces/IPriceOracle.sol";
import {IRiskConfig} from "../interfaces/IRiskConfig.sol";
import {WadMath} from "../libraries/WadMath.sol";

/// @title Perp
/// @notice Linear perpetuals. PnL = size × spot + quote. Longs pay shorts the premium of trades over the oracle, as an hourly-smoothed rate.
contract Perp is IInstrument {
    using FixedPointMathLib for int256;
    using SafeCastLib for int256;
    using WadMath for int256;

    struct Funding {
        /// WAD quote per base unit that longs have paid up to `accruedAt`.
        int128 index;
        /// WAD quote per base unit and second.
        int64 rate;
        /// Seconds.
        uint64 accruedAt;
    }

    struct Premium {
        /// Smoothed (trade − mid) ÷ mid, WAD.
        int128 value;
        /// Seconds; last trade that counted.
        uint64 updatedAt;
    }

    /// @notice The premium is paid once in this time (seconds).
    uint256 public constant FUNDING_PERIOD = 8 hours;
    /// @notice Bound of the premium, hence of funding per period (WAD): 5 bps.
    int256 public constant MAX_PREMIUM = 5e14;
    /// @notice A trade weighs dt ÷ (dt + this), where dt is the time since the last one (seconds): many trades at once weigh no more than one.
    uint256 public constant SMOOTHING = 1 hours;

    address public immutable clearinghouse;
    IPriceOracle public immutable oracle;
    IRiskConfig public immutable riskConfig;

    mapping(uint256 instrumentId => Funding) public funding;
    mapping(uint256 instrumentId => Premium) public premium;

    event FundingRateSet(uint256 indexed instrumentId, int256 premium, int256 rate);

    error OnlyClearinghouse();
    error TooLarge();

    constructor(address clearinghouse_, IPriceOracle oracle_, IRiskConfig riskConfig_) {
        clearinghouse = clearinghouse_;
        oracle = oracle_;
        riskConfig = riskConfig_;
    }

    /// @notice Rounded down.
    /// @inheritdoc IInstrument
    function pnl(uint256, int256 size, int256 quote, uint256[] calldata spots)
        external
        pure
        returns (int256[] memory values)
    {
        uint256 count = spots.length;
        values = new int256[](count);
        // One check for all, instead of one a product: within 128 bits neither product nor sum can wrap.
        uint256 bits = size.abs() | quote.abs();
        unchecked {
            for (uint256 n; n < count; ++n) {
                uint256 spot = spots[n];
                bits |= spot;
                values[n] = (size * int256(spot)).divFloor() + quote;
            }
        }
        if (bits >> 127 != 0) revert TooLarge();
    }

    /// @inheritdoc IInstrument
    function costIndex(uint256 instrumentId) public view returns (int256) {
        Funding memory f = funding[instrumentId];
        return f.index + int256(f.rate) * int256(block.timestamp - f.accruedAt);
    }

    /// @inheritdoc IInstrument
    function accrue(uint256 instrumentId) public returns (int256 index) {
        index = costIndex(instrumentId);
        Funding storage f = funding[instrumentId];
        f.index = index.toInt128();
        f.accruedAt = uint64(block.timestamp);
    }

    /// @notice The rate holds until the next trade, at the mid of this one: between trades nothing needs an oracle.
    /// @inheritdoc IInstrument
    function onTrade(uint256 instrumentId, uint256, uint256 price) external {
        if (msg.sender != clearinghouse) revert OnlyClearinghouse();
        accrue(instrumentId);
        uint256 mid = oracle.price(riskConfig.instrument(instrumentId).feed).price;
        int256 traded = FixedPointMathLib.clamp(
            (int256(price) - int256(mid)) * 1e18 / int256(mid), -MAX_PREMIUM, MAX_PREMIUM
        );
        Premium storage p = premium[instrumentId];
        // The first trade of all has waited for no time, and weighs nothing.
        uint256 dt = p.updatedAt == 0 ? 0 : block.timestamp - p.updatedAt;
        int256 value = p.value + (traded - p.value) * int256(dt) / int256(dt + SMOOTHING);
        p.value = int128(value);
        p.updatedAt = uint64(block.timestamp);
        int256 rate = int256(mid).mulTrunc(value) / int256(FUNDING_PERIOD);
        funding[instrumentId].rate = rate.toInt64();
        emit FundingRateSet(instrumentId, value, rate);
    }
}
