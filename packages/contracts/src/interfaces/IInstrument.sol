// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @notice A pricing module. One module serves many instruments of its kind (ids of RiskConfig).
interface IInstrument {
    /// @notice A position to be priced. WAD.
    struct Holding {
        uint256 instrumentId;
        /// Base units, signed.
        int256 size;
        /// Quote units, signed, with costs up to `index`.
        int256 quote;
        /// Cost index (as `costIndex`) at which `quote` stands.
        int256 index;
        /// Place of its underlying among those of `spots`.
        uint256 underlying;
    }

    /// @notice PnL (WAD) of all holdings together at each spot, costs up to now included. Every value is below 2^192, or the call reverts.
    /// @param count Scenarios of an underlying.
    /// @param spots `count` absolute WAD prices of the first underlying, then of the next. Holdings of several underlyings meet in one call.
    /// @return values In the order of `spots`; 0 where nothing is held.
    function pnl(Holding[] calldata holdings, uint256 count, uint256[] calldata spots)
        external
        view
        returns (int256[] memory values);

    /// @notice Cumulative cost per unit of size (WAD quote per base unit) that a long pays and a short receives: funding, coupons.
    function costIndex(uint256 instrumentId) external view returns (int256);

    /// @notice Brings the cost index to now. Idempotent within a second. Anyone.
    function accrue(uint256 instrumentId) external returns (int256 index);

    /// @notice Told by the clearinghouse after each trade (WAD), for funding.
    function onTrade(uint256 instrumentId, uint256 size, uint256 price) external;
}
