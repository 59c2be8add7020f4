// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IPriceOracle} from "./IPriceOracle.sol";

interface ISlots {
    /// @notice Length of a slot: a report's time is seq * slotSeconds, unix.
    function slotSeconds() external view returns (uint32);
}

/// @notice Reads signed reports that need not be stored. Of a slot there is one.
interface IReportOracle is IPriceOracle, ISlots {
    /// @notice What a signed report says of a feed, whatever is stored and whatever a jump guard would make of it.
    /// @return seq Its slot. @return reported WAD; 0 where the report has no usable value.
    /// Reverts as `update` does for what its quorum hasn't signed, and for a feed that is signed or that its epoch doesn't have.
    function priceIn(bytes calldata report, uint256 feed) external view returns (uint64 seq, uint256 reported);
}
