// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @notice What readers of Pyth's on-chain prices call, except for moving averages, which our reports don't carry, and for
/// parsing of updates.
interface IPythReader {
    struct Price {
        /// In units of 10^expo; so is conf, the half width of the interval.
        int64 price;
        uint64 conf;
        int32 expo;
        /// Seconds.
        uint256 publishTime;
    }

    /// @notice The last price, of whatever age: the reader checks `publishTime`.
    function getPriceUnsafe(bytes32 id) external view returns (Price memory);

    /// @notice The price, if it is at most `age` seconds old.
    function getPriceNoOlderThan(bytes32 id, uint256 age) external view returns (Price memory);

    function priceFeedExists(bytes32 id) external view returns (bool);

    /// @notice Stores what is newer than what is stored.
    function updatePriceFeeds(bytes[] calldata updateData) external payable;

    /// @notice Wei that `updatePriceFeeds` costs.
    function getUpdateFee(bytes[] calldata updateData) external view returns (uint256);
}
