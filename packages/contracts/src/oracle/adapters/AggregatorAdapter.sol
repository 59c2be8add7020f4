// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IAggregatorV2} from "../../interfaces/IAggregatorV2.sol";
import {IAggregatorV3} from "../../interfaces/IAggregatorV3.sol";
import {IValueOracle} from "../../interfaces/IValueOracle.sol";
import {FeedReader} from "./FeedReader.sol";

/// @title AggregatorAdapter
/// @notice One feed as a Chainlink aggregator, for protocols that read those by either interface. A round is a slot.
/// @dev Every reading reverts with NoValue, StaleValue, UnconfirmedValue or TooFewDecimals, where an aggregator of Chainlink's
/// would answer with an old number, or with zero. Zero is no sign of "none" here: a rate may be zero, and a reader that
/// doesn't check would take it for a price.
contract AggregatorAdapter is IAggregatorV2, IAggregatorV3, FeedReader {
    error InvalidDecimals();
    /// @notice The feed has no value yet.
    error NoValue(uint256 feed);
    /// @notice The value is older than its feed's use-age.
    error StaleValue(uint256 feed, uint256 observedAt);
    /// @notice Only the newest round is kept on chain; earlier ones are in the oracle's events.
    error NoDataForRound(uint256 roundId);
    /// @notice The value is too small for these decimals.
    error TooFewDecimals();

    uint256 public constant version = 1;

    uint256 public immutable feed;
    uint8 public immutable decimals;
    string public description;

    /// @param decimals_ Of the answer, 0 to 18: readers of Chainlink's USD feeds expect 8. It is rounded down.
    /// @param description_ Such as "ETH / USD".
    constructor(IValueOracle oracle_, uint256 feed_, uint8 decimals_, string memory description_)
        FeedReader(oracle_)
    {
        if (decimals_ > 18) revert InvalidDecimals();
        oracle_.exponent(feed_); // reverts for an unknown feed
        (feed, decimals, description) = (feed_, decimals_, description_);
    }

    /* ROUNDS */

    /// @inheritdoc IAggregatorV3
    function latestRoundData()
        external
        view
        returns (uint80 roundId, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound)
    {
        (answer, updatedAt) = _latest();
        roundId = uint80(updatedAt);
        return (roundId, answer, updatedAt, updatedAt, roundId);
    }

    /// @inheritdoc IAggregatorV3
    /// @dev The newest round only.
    function getRoundData(uint80 roundId_)
        external
        view
        returns (uint80 roundId, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound)
    {
        (answer, updatedAt) = _round(roundId_);
        return (roundId_, answer, updatedAt, updatedAt, roundId_);
    }

    /// @inheritdoc IAggregatorV2
    function latestAnswer() external view returns (int256 answer) {
        (answer,) = _latest();
    }

    /// @inheritdoc IAggregatorV2
    function latestTimestamp() external view returns (uint256 updatedAt) {
        (, updatedAt) = _latest();
    }

    /// @inheritdoc IAggregatorV2
    function latestRound() external view returns (uint256 roundId) {
        (, roundId) = _latest();
    }

    /// @inheritdoc IAggregatorV2
    /// @dev The newest round only.
    function getAnswer(uint256 roundId) external view returns (int256 answer) {
        (answer,) = _round(roundId);
    }

    /// @inheritdoc IAggregatorV2
    /// @dev The newest round only.
    function getTimestamp(uint256 roundId) external view returns (uint256 updatedAt) {
        (, updatedAt) = _round(roundId);
    }

    /// @dev The time of a value is its round too: a feed that is held has no new round.
    function _latest() private view returns (int256 answer, uint256 updatedAt) {
        IValueOracle.Value memory value = _standing(feed);
        if (value.observedAt == 0) revert NoValue(feed);
        if (!value.fresh) revert StaleValue(feed, value.observedAt);
        int256 unit = int256(10 ** (18 - uint256(decimals)));
        answer = value.value / unit;
        // Towards minus infinity: a rate of -0.5 units is not 0.
        if (value.value % unit < 0) --answer;
        if (answer == 0 && value.value != 0) revert TooFewDecimals();
        return (answer, value.observedAt);
    }

    function _round(uint256 roundId) private view returns (int256 answer, uint256 updatedAt) {
        (answer, updatedAt) = _latest();
        if (updatedAt != roundId) revert NoDataForRound(roundId);
    }
}
