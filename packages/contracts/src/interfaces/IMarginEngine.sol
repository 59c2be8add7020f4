// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IClearinghouse} from "./IClearinghouse.sol";

/// @notice Values a portfolio: prices from PriceOracle, parameters from RiskConfig. Its own are only moving averages of prices.
interface IMarginEngine {
    /// @notice All WAD settlement units.
    struct Health {
        /// Mark-to-market at mid prices, claims at full value.
        int256 equity;
        /// Equity less initial margin at the adverse end of prices. New risk and withdrawals need >= 0.
        int256 im;
        /// Equity less maintenance margin at the favourable end of prices. Liquidation needs < 0. Always mm >= im.
        int256 mm;
        /// Unrealised PnL of all positions and unpaid PnL of closed ones, at mid prices, and warming profit. Part of equity.
        int256 pnl;
        /// Sum over underlyings of |net size| × mid price: positions that offset one another add nothing.
        uint256 notional;
        /// Everything that the portfolio is valued by is fresh. What leaves the account, and taking another over, need it.
        bool fresh;
        /// What its instruments need beside the prices of their underlyings, such as a volatility, is: IM holds nothing back for such inputs
        /// as are old, so new risk needs it.
        bool inputsFresh;
    }

    /// @notice An account, and what liquidation offers of it. Claims and cash under regression stay behind (Clearinghouse.transferFraction leaves
    /// them), so nobody pays for them; margin still counts them until they are booked.
    struct Valuation {
        /// The account as a whole: decides whether it is liquidatable.
        Health account;
        /// What can be taken: decides the price.
        Health offered;
        /// WAD, that can be taken.
        int256 cash;
        /// Something of it is under regression.
        bool impaired;
        /// Nothing but cash can be taken.
        bool empty;
    }

    /// @notice Of a portfolio as Clearinghouse.portfolio gives them, its quotes with all costs up to now.
    /// Reverts for an id that isn't listed, more ids than an account may have, a claim that has no room in 120 bits, lists that differ in length.
    function health(IClearinghouse.Portfolio calldata portfolio) external view returns (Health memory);

    /// @notice The same as if all prices were sure: without their confidence and what is parked. By it a position that its interval favours is reduced.
    function healthAtMid(IClearinghouse.Portfolio calldata portfolio) external view returns (Health memory);

    /// @notice Health of an account of the clearinghouse.
    function accountHealth(bytes32 account) external view returns (Health memory);

    /// @notice Several at once, for keepers.
    function accountsHealth(bytes32[] calldata accounts) external view returns (Health[] memory);

    /// @notice Health.fresh of an account, for a small part of the gas.
    function isFresh(bytes32 account) external view returns (bool);

    function valuation(bytes32 account) external view returns (Valuation memory);

    /// @notice What Clearinghouse.portfolio answers.
    function portfolio(bytes32 account) external view returns (IClearinghouse.Portfolio memory);

    /// @notice Brings the moving average of a feed's price to now, and lets the price as it is count from now on. Trades and settlements do so for
    /// their underlying. Anyone. @return due Who keeps averages going should: a price that nobody observes again counts for a few minutes only.
    function observe(uint256 feed) external returns (bool due);

    /// @notice Moving average of a feed's price (WAD), which bounds the profit that IM counts; 0 if it was never observed, and the mark counts.
    function averageOf(uint256 feed) external view returns (uint256);
}
