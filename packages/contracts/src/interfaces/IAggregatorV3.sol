// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @notice What readers of Chainlink's data feeds call (AggregatorV3Interface).
interface IAggregatorV3 {
    /// @notice Digits after the point of an answer.
    function decimals() external view returns (uint8);

    function description() external view returns (string memory);

    function version() external view returns (uint256);

    /// @param roundId_ A round as `latestRoundData` names it.
    function getRoundData(uint80 roundId_)
        external
        view
        returns (uint80 roundId, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound);

    /// @return roundId Grows with every new value.
    /// @return answer In units of 10^-decimals.
    /// @return startedAt Seconds; when the value was observed.
    /// @return updatedAt The same.
    /// @return answeredInRound The same as `roundId`.
    function latestRoundData()
        external
        view
        returns (uint80 roundId, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound);
}
