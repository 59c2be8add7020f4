// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IInstrument} from "../interfaces/IInstrument.sol";
import {IPriceOracle} from "../interfaces/IPriceOracle.sol";
import {IRiskConfig} from "../interfaces/IRiskConfig.sol";
import {WadMath} from "../libraries/WadMath.sol";
import {CashSettled} from "./CashSettled.sol";
import {Dated} from "./Dated.sol";
import {Linear} from "./Linear.sol";

/// @title Future
/// @notice Dated futures. A unit is worth the spot of its feed (the index stands for the forward: no basis), and from its fixing on the fixing.
contract Future is CashSettled {
    using Linear for int256[];

    event Listed(uint256 indexed instrumentId, uint256 expiry, uint256 feed, uint256 fixingFeed);

    constructor(address owner, IPriceOracle oracle_, IRiskConfig riskConfig_)
        Dated(owner, oracle_, riskConfig_)
    {}

    /// @notice Lists the terms of an instrument for ever. Only the owner.
    /// @param expiry Seconds; one of the fixing feed's. @param feed Of the underlying, as in RiskConfig.
    function list(uint256 instrumentId, uint40 expiry, uint16 feed, uint16 fixingFeed) external onlyOwner {
        _list(instrumentId, expiry, feed, fixingFeed);
        emit Listed(instrumentId, expiry, feed, fixingFeed);
    }

    /// @notice size × (spot, or the fixing) + quote, rounded down.
    /// @inheritdoc IInstrument
    function pnl(Holding[] calldata holdings, uint256 count, uint256[] calldata spots, uint256[] calldata)
        external
        view
        returns (int256[] memory values, bool)
    {
        values = Linear.zeros(spots.length);
        uint256 bits;
        for (uint256 n; n < holdings.length; ++n) {
            Holding calldata h = holdings[n];
            uint256 fixing = _current(h.instrumentId).fixing;
            // It has no costs of its own, but losses charged to its side are costs too.
            int256 quote = WadMath.accrued(h.size, h.quote, h.index, 0);
            bits |= fixing == 0
                ? values.add(spots, count, h.underlying, h.size, quote)
                : values.addFixed(count, h.underlying, h.size, fixing, quote);
        }
        values.give(true, bits);
    }

    /// @inheritdoc IInstrument
    function mark(uint256 instrumentId) external view returns (uint256 price, bool fresh) {
        Dates memory d = _current(instrumentId);
        if (d.fixing != 0) return (d.fixing, true);
        IPriceOracle.Price memory p = oracle.price(d.feed);
        return (p.price, p.fresh);
    }

    /// @inheritdoc IInstrument
    function settlement(uint256 instrumentId) external view returns (bool settled, uint256 price) {
        price = _listed(instrumentId).fixing;
        settled = price != 0;
    }

    /// @inheritdoc IInstrument
    function isLinear() external pure returns (bool) {
        return true;
    }
}
