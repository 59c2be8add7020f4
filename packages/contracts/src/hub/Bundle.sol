// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IClearinghouse} from "../interfaces/IClearinghouse.sol";
import {IMarginEngine} from "../interfaces/IMarginEngine.sol";

/// @notice What liquidation offers of an account. Claims and cash under regression stay behind (Clearinghouse.transferFraction
/// leaves them), so nobody pays for them; margin still counts them until they are booked.
library Bundle {
    struct Valuation {
        /// The account as a whole: decides whether it is liquidatable.
        IMarginEngine.Health account;
        /// What can be taken: decides the price.
        IMarginEngine.Health offered;
        /// WAD, that can be taken.
        int256 cash;
        /// Something of it is under regression.
        bool impaired;
        /// Nothing but cash can be taken.
        bool empty;
    }

    function value(IClearinghouse clearinghouse, IMarginEngine marginEngine, bytes32 account)
        internal
        view
        returns (Valuation memory v)
    {
        IClearinghouse.Portfolio memory p = clearinghouse.portfolio(account);
        v.account = marginEngine.health(p);
        for (uint256 i; i < p.impaired.length; ++i) {
            if (p.impaired[i] == 0) continue;
            v.impaired = true;
            if (i < p.claims.length) p.claims[i] -= p.impaired[i];
            else p.cash = _free(p.cash, p.impaired[i]);
            p.impaired[i] = 0;
        }
        v.offered = v.impaired ? marginEngine.health(p) : v.account;
        v.cash = p.cash;
        v.empty = _isEmpty(p);
    }

    function _isEmpty(IClearinghouse.Portfolio memory p) private pure returns (bool) {
        for (uint256 i; i < p.claims.length; ++i) {
            if (p.claims[i] != 0) return false;
        }
        for (uint256 i; i < p.sizes.length; ++i) {
            if (p.sizes[i] != 0) return false;
        }
        return true;
    }

    /// @notice Cash of an account that isn't under regression, WAD.
    function freeCash(IClearinghouse clearinghouse, bytes32 account) internal view returns (uint256) {
        IClearinghouse.Portfolio memory p = clearinghouse.portfolio(account);
        int256 free = _free(p.cash, p.impaired[p.impaired.length - 1]);
        return free > 0 ? uint256(free) : 0;
    }

    function _free(int256 cash, uint256 impaired) private pure returns (int256) {
        if (cash <= 0) return cash;
        return uint256(cash) > impaired ? cash - int256(impaired) : int256(0);
    }
}
