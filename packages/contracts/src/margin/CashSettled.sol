// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {SafeCastLib} from "solady/utils/SafeCastLib.sol";
import {IInstrument} from "../interfaces/IInstrument.sol";
import {IPriceOracle} from "../interfaces/IPriceOracle.sol";
import {Dated} from "./Dated.sol";

/// @notice Instruments that pay once, by one signed fixing of their underlying.
///
/// A fixing feed has one value from a few slots after an expiry until the next one, and none between. So the first value whose time is at or
/// after the expiry is its fixing; it is stored for ever. Where nobody stores it before the next expiry of that feed, the next fixing
/// counts: a later price is better than none, and everybody had all that time. Expiries are those of the fixing feed: the owner sees to it.
abstract contract CashSettled is Dated {
    using SafeCastLib for uint256;

    struct Dates {
        /// Seconds.
        uint40 expiry;
        uint16 feed;
        uint16 fixingFeed;
        /// WAD; 0 until it is known.
        uint128 fixing;
    }

    mapping(uint256 instrumentId => Dates) public dates;

    event Fixed(uint256 indexed instrumentId, uint256 fixing);

    /// @notice Its fixing hasn't been signed yet.
    error NotFixed(uint256 instrumentId);

    /// @notice Stores the fixing. Idempotent; anyone.
    /// @return fixing WAD.
    function fix(uint256 instrumentId) external returns (uint256 fixing) {
        fixing = _fix(instrumentId);
        if (fixing == 0) revert NotFixed(instrumentId);
    }

    /// @notice Nothing accrues; stores the fixing if it is there, so that settling needs no other call.
    /// @inheritdoc IInstrument
    function accrue(uint256 instrumentId) external returns (int256) {
        _fix(instrumentId);
        return 0;
    }

    /// @inheritdoc IInstrument
    function costIndex(uint256) external pure returns (int256) {
        return 0;
    }

    function _list(uint256 instrumentId, uint40 expiry, uint16 feed, uint16 fixingFeed) internal {
        _requireListable(instrumentId, expiry, feed, fixingFeed);
        dates[instrumentId] = Dates(expiry, feed, fixingFeed, 0);
    }

    function _fix(uint256 instrumentId) private returns (uint128 fixing) {
        Dates memory d = dates[instrumentId];
        fixing = _fixing(d);
        if (fixing == d.fixing) return fixing;
        dates[instrumentId].fixing = fixing;
        emit Fixed(instrumentId, fixing);
    }

    function _fixing(Dates memory d) private view returns (uint128 fixing) {
        fixing = d.fixing;
        if (fixing != 0 || d.expiry == 0 || block.timestamp < d.expiry) return fixing;
        IPriceOracle.Price memory p = oracle.price(d.fixingFeed);
        if (p.observedAt >= d.expiry) fixing = p.price.toUint128();
    }

    /// @dev With the fixing that would be stored now: who is valued before somebody stores it is valued no differently.
    function _current(uint256 instrumentId) internal view returns (Dates memory d) {
        d = _listed(instrumentId);
        d.fixing = _fixing(d);
    }

    function _listed(uint256 instrumentId) internal view returns (Dates memory d) {
        d = dates[instrumentId];
        if (d.expiry == 0) revert Unlisted(instrumentId);
    }

    function _expiry(uint256 instrumentId) internal view override returns (uint256) {
        return dates[instrumentId].expiry;
    }
}
