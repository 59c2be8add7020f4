// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @notice What older readers of Chainlink's data feeds call (AggregatorInterface); with IAggregatorV3, AggregatorV2V3Interface.
interface IAggregatorV2 {
    /// @return In units of 10^-decimals.
    function latestAnswer() external view returns (int256);

    /// @return Seconds.
    function latestTimestamp() external view returns (uint256);

    function latestRound() external view returns (uint256);

    /// @param roundId A round as `latestRound` names it.
    function getAnswer(uint256 roundId) external view returns (int256);

    function getTimestamp(uint256 roundId) external view returns (uint256);
}
