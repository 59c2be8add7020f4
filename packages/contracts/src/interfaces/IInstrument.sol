// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @notice A pricing module. One module serves many instruments of its kind (ids of RiskConfig).
interface IInstrument {
    /// @notice PnL of `size` (WAD base, signed) held from `quote` (WAD) at each spot scenario (absolute WAD prices of the underlying).
    function pnl(uint256 instrumentId, int256 size, int256 quote, uint256[] calldata spots)
        external
        view
        returns (int256[] memory);

    /// @notice Cumulative cost per unit of size (WAD quote per base unit) that a long pays and a short receives: funding, coupons.
    function costIndex(uint256 instrumentId) external view returns (int256);

    /// @notice Brings the cost index to now. Idempotent within a second. Anyone.
    function accrue(uint256 instrumentId) external returns (int256 index);

    /// @notice Told by the clearinghouse after each trade (WAD), for funding.
    function onTrade(uint256 instrumentId, uint256 size, uint256 price) external;
}
