// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {IInstrument} from "../interfaces/IInstrument.sol";
import {IPriceOracle} from "../interfaces/IPriceOracle.sol";
import {IRiskConfig} from "../interfaces/IRiskConfig.sol";

/// @notice Instruments that end. RiskConfig gives an id its module and feed; then the owner (a timelock) lists its terms here, once and for
/// ever. Until then it has no mark, so nobody trades it.
abstract contract Dated is IInstrument, Ownable {
    /// @notice Longest life (seconds).
    uint256 public constant MAX_LIFE = 50 * 365 days;

    IPriceOracle public immutable oracle;
    IRiskConfig public immutable riskConfig;

    error Unlisted(uint256 instrumentId);
    error AlreadyListed(uint256 instrumentId);
    /// @notice RiskConfig names another module for it, or none.
    error ForeignInstrument(uint256 instrumentId);
    /// @notice Its feed is another in RiskConfig.
    error FeedMismatch(uint256 feed, uint256 expected);
    /// @notice Past, or beyond MAX_LIFE.
    error InvalidExpiry(uint256 expiry);
    /// @notice The feed has had no value yet.
    error NoPrice(uint256 feed);
    error Expired(uint256 instrumentId);

    constructor(address owner, IPriceOracle oracle_, IRiskConfig riskConfig_) Ownable(owner) {
        oracle = oracle_;
        riskConfig = riskConfig_;
    }

    /// @dev What every listing must hold. A feed that has had a value keeps one for ever, so that what is listed can always be priced.
    /// @param fixingFeed Need not have a value yet, but must exist.
    function _requireListable(uint256 instrumentId, uint256 expiry, uint256 feed, uint256 fixingFeed)
        internal
        view
    {
        IRiskConfig.Instrument memory i = riskConfig.instrument(instrumentId);
        if (i.module != address(this)) revert ForeignInstrument(instrumentId);
        if (i.feed != feed) revert FeedMismatch(feed, i.feed);
        if (_expiry(instrumentId) != 0) revert AlreadyListed(instrumentId);
        if (expiry <= block.timestamp || expiry > block.timestamp + MAX_LIFE) revert InvalidExpiry(expiry);
        _requirePrice(feed);
        oracle.price(fixingFeed);
    }

    function _requirePrice(uint256 feed) internal view {
        if (oracle.price(feed).price == 0) revert NoPrice(feed);
    }

    /// @inheritdoc IInstrument
    function onTrade(uint256 instrumentId, uint256, uint256) external view {
        uint256 expiry = _expiry(instrumentId);
        if (expiry == 0) revert Unlisted(instrumentId);
        if (block.timestamp >= expiry) revert Expired(instrumentId);
    }

    /// @dev Seconds; 0: not listed.
    function _expiry(uint256 instrumentId) internal view virtual returns (uint256);
}
