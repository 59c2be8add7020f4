// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IAggregatorV3} from "../../interfaces/IAggregatorV3.sol";
import {IValueOracle} from "../../interfaces/IValueOracle.sol";
import {FeedReader} from "./FeedReader.sol";

/// @title AggregatorAdapter
/// @notice One feed as a Chainlink AggregatorV3, for protocols that read those. A round is a slot.
contract AggregatorAdapter is IAggregatorV3, FeedReader {
    error InvalidDecimals();
    /// @notice Only the newest round is kept on chain; earlier ones are in the oracle's events.
    error NoDataForRound(uint80 roundId);
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

    /// @inheritdoc IAggregatorV3
    /// @dev Reverts with NoValue, StaleValue, UnconfirmedValue or TooFewDecimals, where an aggregator of Chainlink's would
    /// answer with an old number.
    function latestRoundData()
        public
        view
        returns (uint80 roundId, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound)
    {
        IValueOracle.Value memory value = _fresh(feed);
        int256 unit = int256(10 ** (18 - uint256(decimals)));
        answer = value.value / unit;
        // Towards minus infinity: a rate of -0.5 units is not 0.
        if (value.value % unit < 0) --answer;
        if (answer == 0 && value.value != 0) revert TooFewDecimals();
        // The round is the value's own time: a feed that is held has no new round.
        roundId = uint80(value.observedAt);
        return (roundId, answer, value.observedAt, value.observedAt, roundId);
    }

    /// @inheritdoc IAggregatorV3
    /// @dev The newest round only.
    function getRoundData(uint80 roundId_)
        external
        view
        returns (uint80 roundId, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound)
    {
        (roundId, answer, startedAt, updatedAt, answeredInRound) = latestRoundData();
        if (roundId != roundId_) revert NoDataForRound(roundId_);
    }
}
