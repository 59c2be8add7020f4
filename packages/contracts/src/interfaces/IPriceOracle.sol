// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @notice One signed median report for all feeds, equal on every chain.
interface IPriceOracle {
    /// @notice A feed's price as an interval, in WAD quote units per whole base unit.
    struct Price {
        /// Last stored price (WAD). 0 when the feed has none yet.
        uint256 price;
        /// Half width of the interval as a WAD fraction of the price: signed confidence plus widening by age.
        uint256 confidence;
        /// Seconds; start of the slot of the stored value.
        uint256 observedAt;
        /// A newer value beyond the jump guard, waiting for confirmation (WAD), or 0. IM uses the worse of both, MM the stored one.
        uint256 parked;
        /// The value exists, is usable and is younger than the feed's use-age: new risk may rely on it.
        bool fresh;
    }

    /// @notice A report was accepted. One event a report; `values` are the packed words as signed.
    event ReportStored(uint32 indexed epoch, uint64 indexed seq, bytes32[] values);
    /// @notice Feeds of this report that lie beyond the jump guard (bit i = feed i); their stored values are unchanged.
    event FeedsParked(uint64 indexed seq, uint256 feeds);

    /// @notice Verifies and stores a report (layout: TypeScript `encodeReport`).
    /// @return stored False, without a revert, when the report is not newer than the stored one.
    function update(bytes calldata report) external returns (bool stored);

    /// @notice Zeros for a feed without a value. Reverts for an unknown feed, and for a signed one, such as a rate.
    function price(uint256 feed) external view returns (Price memory);

    /// @notice Same as `price` for several feeds.
    function prices(uint256[] calldata feeds) external view returns (Price[] memory);

    /// @notice Slot of the newest stored report, and the epoch that signed it.
    function latest() external view returns (uint32 epoch, uint64 seq);

    function feedCount() external view returns (uint256);
}
