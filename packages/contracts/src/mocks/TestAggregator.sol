// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @title TestAggregator
/// @notice For tests only: a Chainlink feed, proxy and aggregator in one, that says what it is told.
contract TestAggregator {
    uint8 public immutable decimals;
    int192 public immutable minAnswer;
    int192 public immutable maxAnswer;

    uint80 private _round;
    int256 private _answer;
    uint256 private _startedAt;
    uint256 private _updatedAt;

    constructor(uint8 decimals_, int192 minAnswer_, int192 maxAnswer_) {
        decimals = decimals_;
        minAnswer = minAnswer_;
        maxAnswer = maxAnswer_;
    }

    function set(int256 answer, uint256 startedAt, uint256 updatedAt) external {
        _round++;
        (_answer, _startedAt, _updatedAt) = (answer, startedAt, updatedAt);
    }

    function aggregator() external view returns (address) {
        return address(this);
    }

    function latestRoundData() external view returns (uint80, int256, uint256, uint256, uint80) {
        return (_round, _answer, _startedAt, _updatedAt, _round);
    }
}
