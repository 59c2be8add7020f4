// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ILedger} from "../../src/interfaces/ILedger.sol";
import {SystemBystanders} from "./SystemBystanders.sol";

/// @notice Invariant 8, act by act: what is booked as lost, who bears it, and how much each.
abstract contract SystemLosses is SystemBystanders {
    uint256 internal constant FUND = 7;

    /// @dev Where losses are, WAD.
    struct Borne {
        uint256 index;
        uint256 total;
        uint256 warming;
        int256 lost;
        uint256 fund;
        int256[9] cash;
        /// Tokens that accounts left with in kind.
        uint256[9] kept;
    }

    /// @dev What cuts of all cash, and losses where it was kept in kind, took of an account; less what was found there (WAD).
    mapping(uint256 n => int256) internal _bornBy;
    /// @dev What cuts of all cash took, and of all warming profit for lost backing (WAD).
    uint256 internal _cutOfCash;
    uint256 internal _cutOfWarming;
    /// @dev Debt of accounts at whose taking over some of it was lost (WAD).
    uint256 internal _badDebt;
    /// @dev Roundings so far, at most (WAD).
    uint256 internal _dust = 1e12;

    /// @dev Everything that anyone may do about a row.
    function _settle(uint256 id, uint256 n) internal {
        _book(id, n);
        _repair(id);
        hub.mature(_account(n), id);
    }

    function _book(uint256 id, uint256 n) private {
        ILedger.Row memory r = hub.row(_account(n), id);
        if (r.regressedSince == 0) return;
        Borne memory before = _borne();
        try hub.bookRegression(_account(n), id) {
            ++_calls["book"];
            uint256 cause = _listed[id].settlement ? (r.credited - r.target) * _listed[id].unit : 0;
            _holds8_lossOrder(before, n, cause);
        } catch {}
    }

    function _repair(uint256 id) internal {
        (,, uint128 written, uint128 short, uint128 returned) = hub.vaulted(id);
        if (written == short && returned == 0 && hub.lostBacking() == 0) {
            assertEq(hub.repair(id), 0, "8: repaired what is whole");
            return;
        }
        Borne memory before = _borne();
        hub.repair(id);
        (,, uint128 now_,,) = hub.vaulted(id);
        if (now_ > written) ++_calls["writtenOff"];
        if (now_ < written) ++_calls["takenBack"];
        uint256 cause = _listed[id].settlement && now_ > written ? (now_ - written) * _listed[id].unit : 0;
        _holds8_lossOrder(before, type(uint256).max, cause);
    }

    function _borne() internal view returns (Borne memory b) {
        (b.total, b.index) = hub.totalCash();
        (b.warming,,,) = hub.warmings();
        (b.lost, b.fund) = (hub.lostBacking(), hub.fundBorne());
        for (uint256 n; n < ACCOUNTS; ++n) {
            b.cash[n] = hub.cash(_account(n));
        }
        for (uint256 id = 1; id <= ASSETS; ++id) {
            (, uint256 all) = hub.keptOf(_account(0), id);
            for (uint256 n; all != 0 && n < ACCOUNTS; ++n) {
                (uint256 kept,) = hub.keptOf(_account(n), id);
                b.kept[n] += kept * _listed[id].unit;
            }
        }
    }

    /// @dev Of debt that nobody pays: all cash bears what warming profit doesn't, and no more than was owed.
    function _holds8_debt(Borne memory before, int256 held) internal {
        (Borne memory b, uint256 cut) = _noteCut(before);
        uint256 owed = held < 0 ? uint256(-held) : 0;
        assertLe(b.lost - before.lost + int256(cut), int256(owed + _dust), "8: more than the debt");
        if (cut == 0 && b.lost == before.lost) return;
        ++_calls["badDebt"];
        _badDebt += owed;
    }

    /// @dev What an act cut of all cash (WAD), and whose part of it was how large.
    function _noteCut(Borne memory before) private returns (Borne memory b, uint256 cut) {
        b = _borne();
        assertLe(b.index, before.index, "8: cut cash came back");
        for (uint256 n; n < ACCOUNTS; ++n) {
            _bornBy[n] += int256(before.kept[n]) - int256(b.kept[n]);
            if (b.cash[n] > 0) _bornBy[n] += b.cash[n] * int256(before.index - b.index) / int256(b.index);
        }
        if (b.index == before.index) return (b, 0);
        ++_calls["cut"];
        cut = b.total * (before.index - b.index) / b.index;
        // What the index rounds off.
        _dust += before.total / b.index + ACCOUNTS;
        _cutOfCash += cut;
    }

    /// @dev 6.8: the fund, then warming profit, then all cash by one ratio; and all of them no more than what was lost.
    /// @param own Whose loss it was: he pays first.
    function _holds8_lossOrder(Borne memory before, uint256 own, uint256 cause) private {
        (Borne memory b, uint256 cut) = _noteCut(before);
        _dust += 10 * 1e12;
        if (cut != 0) {
            assertLe(hub.freeCash(_account(FUND)), before.warming / 1e6, "8: cash paid before the fund");
            assertEq(b.warming, 0, "8: cash paid before warming profit");
        }
        if (b.warming < before.warming) {
            assertLe(hub.freeCash(_account(FUND)), before.warming / 1e6, "8: profit paid before the fund");
            ++_calls["warmingCut"];
            _cutOfWarming += before.warming - b.warming;
        }
        int256 paid = b.lost - before.lost + int256(b.fund) - int256(before.fund);
        paid += int256(cut + before.warming - b.warming);
        assertLe(paid, int256(cause + _dust), "8: a haircut above the loss");
        for (uint256 n; n < ACCOUNTS; ++n) {
            if (n == own || n == FUND) continue;
            int256 due = before.cash[n];
            if (due > 0) due = due * int256(b.index) / int256(before.index);
            assertApproxEqAbs(b.cash[n], due, 1e6, "8: all cash pays by one ratio");
        }
        if (b.lost > 0) assertEq(hub.freeCash(_account(FUND)), 0, "8: the fund comes first");
    }
}
