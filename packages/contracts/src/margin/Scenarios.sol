// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {IPriceOracle} from "../interfaces/IPriceOracle.sol";

/// @notice Spot scenarios of one underlying, as one stretch of memory that every instrument is priced over:
/// [mid, IM low block, IM high block, MM low block, MM high block], a block being
/// [base, −shock/2, +shock/2, −shock, +shock, −tail, +tail] around one end of the price interval.
/// A fall stops at zero. Rounding of a scenario spot is downwards, the same for IM and MM, so that their order is kept.
/// @dev The hot loops work on memory in assembly: they run for every underlying of every account that is looked at.
library Scenarios {
    using FixedPointMathLib for uint256;

    uint256 internal constant WAD = 1e18;
    uint256 internal constant BPS = 10_000;

    /// @dev Bytes from an underlying's first spot.
    uint256 internal constant IM_LOW = 0x20;
    uint256 internal constant IM_HIGH = 0x100;
    uint256 internal constant MM_LOW = 0x1e0;
    uint256 internal constant MM_HIGH = 0x2c0;
    uint256 internal constant COUNT = 29;
    uint256 internal constant BYTES = 0x3a0;

    /// @dev A scenario's price, or what is valued at it, has no room in 128 bits.
    error OutOfRange();

    /// @notice Writes the spots (WAD) of an underlying whose stored price, confidence and parked value are `price`.
    /// @param at Where in memory. @param shocks Packed, as in RiskConfig.marginParameters.
    function fill(uint256 at, IPriceOracle.Price memory price, uint256 shocks) internal pure {
        unchecked {
            uint256 tail = uint16(shocks >> 32);
            // A price that isn't fresh may have moved unseen: IM doubles the shock.
            uint256 shock = price.fresh ? uint16(shocks) : 2 * uint256(uint16(shocks));
            uint256 lowEnd = _storedLow(price);
            uint256 highEnd = _storedHigh(price);
            uint256 parked = price.parked;
            uint256 highest = highEnd.max(parked);
            // Shocks have 17 bits.
            if (highest >> 120 != 0) {
                if (highest.mulDiv(BPS + tail.max(shock), BPS) >> 127 != 0) revert OutOfRange();
            }
            assembly ("memory-safe") {
                mstore(at, mload(price))
            }
            _block(at + IM_LOW, parked == 0 ? lowEnd : lowEnd.min(parked), shock, tail);
            _block(at + IM_HIGH, highest, shock, tail);
            shock = uint16(shocks >> 16);
            _block(at + MM_LOW, lowEnd, shock, tail);
            _block(at + MM_HIGH, highEnd, shock, tail);
        }
    }

    /// @notice Lowest value that the oracle leaves possible (WAD): of the interval and of what is parked.
    function low(IPriceOracle.Price memory price) internal pure returns (uint256) {
        uint256 end = _storedLow(price);
        return price.parked == 0 ? end : end.min(price.parked);
    }

    /// @notice Value (WAD) at the base of a block, and the worst loss from there, never negative.
    /// @param spotsAt First spot of the block in memory. @param pnlAt First PnL of all positions at those, each below 2^192.
    /// @param claims WAD token units that count, scaled by credit; below 2^128.
    /// @param damping Weight of the tails, bps. Losses are rounded up.
    function lossOf(uint256 spotsAt, uint256 pnlAt, uint256 claims, uint256 damping)
        internal
        pure
        returns (int256 value, uint256 loss)
    {
        uint256 tailLoss;
        assembly ("memory-safe") {
            value := add(mload(pnlAt), div(mul(claims, mload(spotsAt)), 1000000000000000000))
            let worst := value
            let v :=
                add(mload(add(pnlAt, 0x20)), div(mul(claims, mload(add(spotsAt, 0x20))), 1000000000000000000))
            if slt(v, worst) { worst := v }
            v := add(
                mload(add(pnlAt, 0x40)),
                div(mul(claims, mload(add(spotsAt, 0x40))), 1000000000000000000)
            )
            if slt(v, worst) { worst := v }
            v := add(
                mload(add(pnlAt, 0x60)),
                div(mul(claims, mload(add(spotsAt, 0x60))), 1000000000000000000)
            )
            if slt(v, worst) { worst := v }
            v := add(
                mload(add(pnlAt, 0x80)),
                div(mul(claims, mload(add(spotsAt, 0x80))), 1000000000000000000)
            )
            if slt(v, worst) { worst := v }
            loss := sub(value, worst)
            worst := value
            v := add(
                mload(add(pnlAt, 0xa0)),
                div(mul(claims, mload(add(spotsAt, 0xa0))), 1000000000000000000)
            )
            if slt(v, worst) { worst := v }
            v := add(
                mload(add(pnlAt, 0xc0)),
                div(mul(claims, mload(add(spotsAt, 0xc0))), 1000000000000000000)
            )
            if slt(v, worst) { worst := v }
            // Below 2^197 times a damping of 16 bits.
            tailLoss := mul(sub(value, worst), damping)
            tailLoss := add(div(tailLoss, 10000), iszero(iszero(mod(tailLoss, 10000))))
        }
        loss = loss.max(tailLoss);
    }

    function _storedLow(IPriceOracle.Price memory price) private pure returns (uint256) {
        return price.price.mulWad(WAD.zeroFloorSub(price.confidence));
    }

    function _storedHigh(IPriceOracle.Price memory price) private pure returns (uint256) {
        return price.price.mulWad(WAD + price.confidence);
    }

    /// @dev base × (unit ∓ shock) ÷ unit, not below 0.
    function _block(uint256 at, uint256 base, uint256 shock, uint256 tail) private pure {
        assembly ("memory-safe") {
            mstore(at, base)
            // shock is at most 20,000 bps: half of it takes nothing below zero.
            mstore(add(at, 0x20), div(mul(base, sub(20000, shock)), 20000))
            mstore(add(at, 0x40), div(mul(base, add(20000, shock)), 20000))
            mstore(add(at, 0x60), div(mul(base, mul(gt(10000, shock), sub(10000, shock))), 10000))
            mstore(add(at, 0x80), div(mul(base, add(10000, shock)), 10000))
            mstore(add(at, 0xa0), div(mul(base, mul(gt(10000, tail), sub(10000, tail))), 10000))
            mstore(add(at, 0xc0), div(mul(base, add(10000, tail)), 10000))
        }
    }
}
