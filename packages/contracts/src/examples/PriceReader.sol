// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IPyth} from "@pythnetwork/pyth-sdk-solidity/IPyth.sol";
import {PythStructs} from "@pythnetwork/pyth-sdk-solidity/PythStructs.sol";
import {IAggregatorV3} from "../interfaces/IAggregatorV3.sol";
import {IValueOracle} from "../interfaces/IValueOracle.sol";

/// @title PriceReader
/// @notice An example to copy: an action of a protocol whose user brings the price along. One transaction stores the user's report
/// in the chain's oracle and acts on what it says. It does nothing but note what the action was priced at.
/// @dev Three ways to the same value. The oracle's own interface is the one to take: it alone has the interval. The other two are for
/// protocols that are written for Chainlink's or Pyth's.
contract PriceReader {
    /// @notice What an action was priced at, in WAD of the feed's quote, of units of 10^18 of its base.
    struct Deal {
        uint256 amount;
        /// What the amount is worth at least, and at most.
        uint256 low;
        uint256 high;
        /// Seconds; of the price.
        uint256 observedAt;
    }

    /// @notice No price, none fresh, one that a newer one contradicts, or one older than this protocol takes.
    error NoPrice(uint256 observedAt);

    uint256 private constant WAD = 1e18;

    IValueOracle public immutable oracle;
    uint256 public immutable feed;
    /// @notice Seconds. A user can choose among the reports of so long, and no more: the shorter, the less there is to choose.
    uint256 public immutable maxAge;
    IAggregatorV3 public immutable aggregator;
    IPyth public immutable pyth;
    bytes32 public immutable pythId;

    mapping(address user => Deal) public deals;

    /// @param aggregator_ AggregatorAdapter of the same feed, with 18 decimals. @param pyth_ PythAdapter that lists it as `pythId_`.
    constructor(
        IValueOracle oracle_,
        uint256 feed_,
        uint256 maxAge_,
        IAggregatorV3 aggregator_,
        IPyth pyth_,
        bytes32 pythId_
    ) {
        (oracle, feed, maxAge) = (oracle_, feed_, maxAge_);
        (aggregator, pyth, pythId) = (aggregator_, pyth_, pythId_);
    }

    /// @param report `encoded` of an oracle node's report. Where the chain has one not older, it changes nothing.
    function act(bytes calldata report, uint256 amount) external {
        oracle.update(report);
        IValueOracle.Value memory v = oracle.value(feed);
        if (!v.fresh || v.isParked || v.value <= 0) revert NoPrice(v.observedAt);
        _deal(amount, uint256(v.value), v.confidence, v.observedAt);
    }

    /// @notice The same through Chainlink's interface: a number without an interval.
    function actOnAggregator(bytes calldata report, uint256 amount) external {
        oracle.update(report);
        (, int256 answer,, uint256 updatedAt,) = aggregator.latestRoundData();
        if (answer <= 0) revert NoPrice(updatedAt);
        _deal(amount, uint256(answer), 0, updatedAt);
    }

    /// @notice The same through Pyth's interface, as protocols of Pyth's take their updates.
    function actOnPyth(bytes[] calldata updates, uint256 amount) external payable {
        pyth.updatePriceFeeds{value: pyth.getUpdateFee(updates)}(updates);
        PythStructs.Price memory p = pyth.getPriceNoOlderThan(pythId, maxAge);
        if (p.price <= 0) revert NoPrice(p.publishTime);
        uint256 unit = 10 ** uint256(18 + int256(p.expo));
        _deal(amount, uint256(int256(p.price)) * unit, p.conf * unit, p.publishTime);
    }

    /// @dev The protocol takes the end of the interval that is worse for whoever acts.
    function _deal(uint256 amount, uint256 price, uint256 confidence, uint256 observedAt) private {
        if (block.timestamp - observedAt > maxAge) revert NoPrice(observedAt);
        deals[msg.sender] = Deal({
            amount: amount,
            low: (amount * (price > confidence ? price - confidence : 0)) / WAD,
            high: (amount * (price + confidence)) / WAD,
            observedAt: observedAt
        });
    }
}
