// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {IPythReader} from "../../interfaces/IPythReader.sol";
import {IValueOracle} from "../../interfaces/IValueOracle.sol";
import {FeedReader} from "./FeedReader.sol";

/// @title PythAdapter
/// @notice Feeds under Pyth's ids, for protocols that read a Pyth contract; an update is one of our reports.
contract PythAdapter is IPythReader, FeedReader {
    struct Listing {
        bytes32 id;
        uint256 feed;
    }

    error UnknownId(bytes32 id);
    error DuplicateId(bytes32 id);
    /// @notice An update is free: whoever pays has mistaken the contract.
    error FeeNotNeeded();

    /// @dev Feed plus 1.
    mapping(bytes32 id => uint256) private _listed;

    /// @param listings Fixed for ever. Id: the one that the protocol is built with, such as Pyth's for ETH/USD.
    constructor(IValueOracle oracle_, Listing[] memory listings) FeedReader(oracle_) {
        for (uint256 i; i < listings.length; ++i) {
            oracle_.exponent(listings[i].feed); // reverts for an unknown feed
            if (_listed[listings[i].id] != 0) revert DuplicateId(listings[i].id);
            _listed[listings[i].id] = listings[i].feed + 1;
        }
    }

    /// @inheritdoc IPythReader
    /// @dev Reverts with NoValue or UnconfirmedValue.
    function getPriceUnsafe(bytes32 id) external view returns (Price memory) {
        uint256 feed = _feed(id);
        return _convert(feed, _standing(feed));
    }

    /// @inheritdoc IPythReader
    /// @dev Nor older than the feed's use-age. Reverts with NoValue, StaleValue or UnconfirmedValue.
    function getPriceNoOlderThan(bytes32 id, uint256 age) external view returns (Price memory) {
        uint256 feed = _feed(id);
        IValueOracle.Value memory value = _fresh(feed);
        if (block.timestamp - value.observedAt > age) revert StaleValue(feed, value.observedAt);
        return _convert(feed, value);
    }

    /// @inheritdoc IPythReader
    function priceFeedExists(bytes32 id) external view returns (bool) {
        return _listed[id] != 0 && oracle.value(_listed[id] - 1).observedAt != 0;
    }

    /// @inheritdoc IPythReader
    /// @param updateData Reports, as an oracle node serves them. One not newer is skipped; an invalid one reverts.
    function updatePriceFeeds(bytes[] calldata updateData) external payable {
        if (msg.value != 0) revert FeeNotNeeded();
        for (uint256 i; i < updateData.length; ++i) {
            oracle.update(updateData[i]);
        }
    }

    /// @inheritdoc IPythReader
    function getUpdateFee(bytes[] calldata) external pure returns (uint256) {
        return 0;
    }

    function _feed(bytes32 id) private view returns (uint256) {
        uint256 listed = _listed[id];
        if (listed == 0) revert UnknownId(id);
        return listed - 1;
    }

    /// @dev Exact, as the feed's unit is Pyth's: the half width is rounded up.
    function _convert(uint256 feed, IValueOracle.Value memory value) private view returns (Price memory) {
        int8 exponent = oracle.exponent(feed);
        uint256 unit = 10 ** uint256(18 + int256(exponent));
        return Price({
            price: SafeCast.toInt64(value.value / int256(unit)),
            conf: SafeCast.toUint64((value.confidence + unit - 1) / unit),
            expo: exponent,
            publishTime: value.observedAt
        });
    }
}
