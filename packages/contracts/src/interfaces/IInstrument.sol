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

    /// @notice PnL (WAD) of all holdings together in each scenario, costs up to now included, as if `accrue` had just been called: what brings an
    /// account up to now must not change what it is worth. Every value is below 2^192, or the call reverts.
    /// @param count Scenarios of an underlying.
    /// @param spots `count` absolute WAD prices of the first underlying, then of the next. Holdings of several underlyings meet in one call.
    /// @param volatilities WAD factor on implied volatility in each of the `count` scenarios, the same for every underlying; none: 1 in all.
    /// @return values In the order of `spots`; 0 where nothing is held.
    /// @return fresh What it needs for them beside `spots`, such as a volatility, is.
    function pnl(
        Holding[] calldata holdings,
        uint256 count,
        uint256[] calldata spots,
        uint256[] calldata volatilities
    ) external view returns (int256[] memory values, bool fresh);

    /// @notice Value of one unit of size now (WAD quote), costs aside: what trades are banded around and PnL is settled at.
    /// @return price @return fresh Every price that it needs is.
    function mark(uint256 instrumentId) external view returns (uint256 price, bool fresh);

    /// @notice Once expired and fixed, what a unit of size is worth for ever (WAD quote).
    function settlement(uint256 instrumentId) external view returns (bool settled, uint256 price);

    /// @notice Value is a straight line in the spot, whatever the volatility: margin then needs only the ends of its grid.
    function isLinear() external view returns (bool);

    /// @notice Cumulative cost per unit of size (WAD quote per base unit) that a long pays and a short receives: funding, coupons.
    function costIndex(uint256 instrumentId) external view returns (int256);

    /// @notice Brings the cost index to now. Idempotent within a second. Anyone.
    function accrue(uint256 instrumentId) external returns (int256 index);

    /// @notice Told by the clearinghouse after each trade (WAD), for funding. Reverts where nothing may be traded any more.
    function onTrade(uint256 instrumentId, uint256 size, uint256 price) external;
}
