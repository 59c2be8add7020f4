// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IClearinghouse} from "../../src/interfaces/IClearinghouse.sol";
import {SystemChains} from "./SystemChains.sol";

/// @notice Invariant 6, act by act: where somebody who has no part in an act stood before it, and after.
abstract contract SystemBystanders is SystemChains {
    struct Standing {
        uint256 who;
        int256 mm;
        int256 equity;
        /// Of what is his: positions, cash, warming profit, shares of claims.
        bytes32 rows;
    }

    /// @dev Roundings of shares of a vault that others left, WAD.
    uint256 private constant ROUNDING = 1e9;

    /// @dev Who only deposits and withdraws, and the first of a thief's two, who pay one another too.
    uint256 internal constant PASSIVE = 3;
    uint256 internal constant THIEF = 4;

    uint256 internal _turn;
    /// @dev Interest on their cash so far (WAD): nothing else changes it while nothing is done.
    mapping(uint256 n => int256) internal _earned;

    /// @param time Seconds.
    function _pass(uint256 time) internal {
        int256[3] memory cash;
        for (uint256 i; i < 3; ++i) {
            cash[i] = hub.cash(_account(PASSIVE + i));
        }
        vm.warp(block.timestamp + time);
        for (uint256 i; i < 3; ++i) {
            int256 interest = hub.cash(_account(PASSIVE + i)) - cash[i];
            assertGe(interest, 0, "6: time takes cash");
            _earned[PASSIVE + i] += interest;
        }
    }

    /// @dev Of somebody other than these two, each in turn. No time may pass until `_unmoved`.
    function _bystander(uint256 a, uint256 b) internal returns (Standing memory s) {
        uint256 n = _turn++ % USERS;
        while (n == a || n == b) {
            n = (n + 1) % USERS;
        }
        return _standing(n);
    }

    function _standing(uint256 n) private view returns (Standing memory s) {
        bytes32 account = _account(n);
        IClearinghouse.Portfolio memory p = hub.portfolio(account);
        s.who = n;
        (s.mm, s.equity) = (engine.health(p).mm, engine.health(p).equity);
        s.rows = keccak256(
            abi.encode(
                hub.cash(account),
                p.warming,
                p.sizes,
                p.quotes,
                hub.row(account, WETH_A).claim,
                hub.row(account, WETH_B).claim,
                hub.row(account, NEXT_WETH).claim
            )
        );
    }

    /// @dev 6.6: what others do with what is theirs changes nothing of mine.
    function _unmoved(Standing memory before) internal view {
        Standing memory s = _standing(before.who);
        assertEq(s.rows, before.rows, "6: a stranger changed my rows");
        assertApproxEqAbs(s.mm, before.mm, ROUNDING, "6: a stranger changed my maintenance margin");
    }

    /// @dev Changes whenever a part of a side is closed.
    function _sidesOf() internal view returns (bytes32) {
        (uint256 scaleLong, uint256 generationLong) = hub.sideOf(PERP, true);
        (uint256 scaleShort, uint256 generationShort) = hub.sideOf(PERP, false);
        return keccak256(abi.encode(scaleLong, generationLong, scaleShort, generationShort));
    }

    /// @dev 6.6: but for positions closed at the mark, against one that nobody took: of which everybody has as much as before.
    function _unmovedBy(Standing memory before, bool closing) internal view {
        if (!closing) return _unmoved(before);
        assertApproxEqAbs(_standing(before.who).equity, before.equity, 1e6, "6: not closed at the mark");
    }

    /// @dev 6.6: what is told of a vault changes nothing at once, but takes effect in time: of what is in doubt, as much as a second or two of it.
    function _unmovedAtOnce(Standing memory before) internal view {
        Standing memory s = _standing(before.who);
        assertEq(s.rows, before.rows, "6: a message changed a stranger's rows");
        int256 most = int256(ROUNDING) + (before.equity > 0 ? before.equity / 1000 : int256(0));
        assertGe(s.mm, before.mm - most, "6: maintenance margin fell at once");
    }
}
