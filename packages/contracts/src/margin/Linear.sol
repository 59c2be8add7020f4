// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {WadMath} from "../libraries/WadMath.sol";

/// @notice The answer to IInstrument.pnl, built where it is returned from: one value a scenario.
/// @dev Loops in assembly: they run for every holding of every account that is looked at. Instead of one check a product the callers
/// collect the bits of all operands: within 127 bits neither product nor sum can wrap.
library Linear {
    using FixedPointMathLib for int256;
    using WadMath for int256;

    error UnknownUnderlying(uint256 underlying);
    /// @dev A size, quote or spot has no room in 127 bits.
    error TooLarge();

    /// @notice As many zeros as there are spots, with room for the head of the answer's ABI encoding before them.
    function zeros(uint256 length) internal pure returns (int256[] memory values) {
        assembly ("memory-safe") {
            values := add(mload(0x40), 64)
            let size := shl(5, length)
            mstore(values, length)
            let first := add(values, 32)
            calldatacopy(first, calldatasize(), size)
            mstore(0x40, add(first, size))
        }
    }

    /// @notice First place of an underlying's scenarios.
    function place(uint256 underlying, uint256 count, uint256 length) internal pure returns (uint256 from) {
        unchecked {
            from = underlying * count;
            if ((underlying | count) >> 64 != 0 || from + count > length) {
                revert UnknownUnderlying(underlying);
            }
        }
    }

    /// @notice Adds size × spot + quote, rounded down, to each scenario of an underlying.
    /// @return bits Of all operands.
    function add(
        int256[] memory values,
        uint256[] calldata spots,
        uint256 count,
        uint256 underlying,
        int256 size,
        int256 quote
    ) internal pure returns (uint256 bits) {
        uint256 from = place(underlying, count, spots.length);
        bits = size.abs() | quote.abs();
        assembly ("memory-safe") {
            let at := shl(5, from)
            let end := add(at, shl(5, count))
            let to := sub(add(values, 32), spots.offset)
            at := add(spots.offset, at)
            end := add(spots.offset, end)
            // Every product has the sign of the size: what makes truncation a floor is the same for all.
            let lower := mul(slt(size, 0), 999999999999999999)
            for {} lt(at, end) { at := add(at, 32) } {
                let spot := calldataload(at)
                bits := or(bits, spot)
                let value := add(sdiv(sub(mul(size, spot), lower), 1000000000000000000), quote)
                let to_ := add(to, at)
                mstore(to_, add(mload(to_), value))
            }
        }
    }

    /// @notice Adds size × price + quote, rounded down, to each scenario of an underlying: a price that no scenario moves.
    /// @return bits Of all operands.
    function addFixed(
        int256[] memory values,
        uint256 count,
        uint256 underlying,
        int256 size,
        uint256 price,
        int256 quote
    ) internal pure returns (uint256 bits) {
        uint256 from = place(underlying, count, values.length);
        bits = size.abs() | price | quote.abs();
        if (bits >> 127 != 0) revert TooLarge();
        int256 value = size.mulFloor(int256(price)) + quote;
        for (uint256 k = from; k < from + count; ++k) {
            values[k] += value;
        }
    }

    /// @notice Ends the call with the values, unless `bits` of what they were made of have no room.
    function give(int256[] memory values, bool fresh, uint256 bits) internal pure {
        if (bits >> 127 != 0) revert TooLarge();
        assembly ("memory-safe") {
            mstore(sub(values, 64), 64)
            mstore(sub(values, 32), fresh)
            return(sub(values, 64), add(96, shl(5, mload(values))))
        }
    }
}
