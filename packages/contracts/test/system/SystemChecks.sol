// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ILedger} from "../../src/interfaces/ILedger.sol";
import {PayoutQueue} from "../../src/spoke/PayoutQueue.sol";
import {SystemCrimes} from "./SystemCrimes.sol";

/// @notice What holds after every act (DESIGN §6: 1 to 6, 8; what holds over an act is asserted in it: 4, 6, 7, 8, 10).
abstract contract SystemChecks is SystemCrimes {
    /// @dev Of one asset, over all accounts and payees. Token units.
    struct Sums {
        uint256 claims;
        uint256 credited;
        uint256 immature;
        uint256 lien;
        /// What the hub has credited of deposits that the chain doesn't know.
        uint256 ahead;
        uint256 released;
        uint256 paid;
        uint256 unpaid;
        /// Paid without the hub's leave.
        uint256 over;
    }

    uint256 internal _startedAt;
    /// @dev Deposits at the start.
    uint256[8] internal _first;

    /// @dev All of it, which takes as long as twenty acts.
    function _checkAll() internal view {
        for (uint256 id = 1; id <= ASSETS; ++id) {
            _checkAsset(id);
        }
        _holds1_cashIsBacked();
        _holds1_positionsAddUp();
        _holds2_paidOnce();
        _holds5_and_6_money(PASSIVE, PASSIVE);
        _holds5_and_6_money(THIEF, THIEF + 1);
        _holds8_fund();
    }

    /// @dev A part of it, another each time: what an act breaks stays broken.
    function _checkNext() internal view {
        uint256 part = _turn % 12;
        if (part < ASSETS) _checkAsset(1 + part);
        else if (part == 7) _holds1_cashIsBacked();
        else if (part == 8) _holds1_positionsAddUp();
        else if (part == 9) _holds2_paidOnce();
        else if (part == 10) _holds5_and_6_money(PASSIVE, PASSIVE);
        else _holds5_and_6_money(THIEF, THIEF + 1);
        _holds8_fund();
    }

    function _checkAsset(uint256 id) private view {
        // 3 is checked row by row.
        Sums memory s = _sums(id);
        _holds2_booksOfVault(id, s);
        _holds2_custody(id, s);
        _holds4_caps(id, s);
    }

    /* 8 */

    function _holds8_fund() private view {
        assertGe(hub.cash(_account(FUND)), 0, "8: the fund is negative");
    }

    /* 1 */

    function _holds1_cashIsBacked() private view {
        (uint256 total,) = hub.totalCash();
        uint256 debt = hub.lending().debt;
        uint256 sum;
        uint256 owed;
        for (uint256 n; n < ACCOUNTS; ++n) {
            int256 cash = hub.cash(_account(n));
            if (cash > 0) sum += uint256(cash);
            else owed += uint256(-cash);
        }
        assertLe(sum, total, "1: cash adds up");
        assertGe(sum + _dust, total, "1: cash adds up but for roundings");
        assertGe(owed, debt, "1: debt adds up");
        assertLe(owed, debt + _dust, "1: debt adds up but for roundings");
        (uint256 warming,,,) = hub.warmings();
        int256 backing = hub.lostBacking();
        for (uint256 id = 1; id <= ASSETS; ++id) {
            if (_listed[id].settlement) backing += int256(hub.backing(id));
        }
        assertEq(int256(total + hub.pnlPool(PERP) + warming) - int256(debt), backing, "1: cash is backed");
    }

    function _holds1_positionsAddUp() private view {
        (int256 house, int256 quotes) = hub.houseRow(PERP);
        int256 longs = house > 0 ? house : int256(0);
        int256 shorts = longs - house;
        for (uint256 n; n < ACCOUNTS; ++n) {
            ILedger.Position memory p = hub.position(_account(n), PERP);
            quotes += p.quote;
            if (p.size > 0) longs += p.size;
            else shorts -= p.size;
        }
        (uint256 long, uint256 short) = hub.openInterest(PERP);
        assertEq(long, short, "1: open interest");
        // A unit for each position and each change of one since something of the side was closed.
        uint256 rest = _sidesOf() == _neverClosed() ? 0 : 1000;
        assertLe(longs, int256(long), "1: longs");
        assertLe(shorts, int256(short), "1: shorts");
        assertApproxEqAbs(longs, int256(long), rest, "1: longs");
        assertApproxEqAbs(shorts, int256(short), rest, "1: shorts");
        assertLe(quotes, int256(hub.pnlPool(PERP) + rest * 1e6), "1: quotes are funded by the pool");
    }

    function _neverClosed() private pure returns (bytes32) {
        return keccak256(abi.encode(1e36, 0, 1e36, 0));
    }

    /* 3: ROW BY ROW */

    function _sums(uint256 id) internal view returns (Sums memory s) {
        for (uint256 n; n < ACCOUNTS; ++n) {
            _addRow(id, _account(n), s);
        }
        Listed memory a = _listed[id];
        Payee[] storage payees = _payees[a.chain];
        for (uint256 i; i < payees.length; ++i) {
            Payee memory p = payees[i];
            uint256 released = hub.released(p.account, p.recipient, id);
            uint256 paid = a.vault.paidOut(p.account, address(a.token), p.recipient);
            (s.released, s.paid) = (s.released + released, s.paid + paid);
            if (paid < released) s.unpaid += released - paid;
            else s.over += paid - released;
        }
    }

    function _addRow(uint256 id, bytes32 account, Sums memory s) private view {
        ILedger.Row memory r = hub.row(account, id);
        (s.claims, s.credited) = (s.claims + r.claim, s.credited + r.credited);
        (s.immature, s.lien) = (s.immature + r.immature, s.lien + hub.lien(account, id));
        Listed memory a = _listed[id];
        uint128 depositedIn = a.vault.depositedIn(account, address(a.token));
        if (r.credited > depositedIn) s.ahead += r.credited - depositedIn;
        _holds3_newestCounts(id, account, r);
    }

    function _holds3_newestCounts(uint256 id, bytes32 account, ILedger.Row memory r) private view {
        assertEq(r.regressedSince != 0, r.credited > r.target, "3: regressions are marked");
        Listed memory a = _listed[id];
        if (a.chain == H) return;
        uint32 eid = _chains[a.chain].eid;
        (uint128 value,) = hub.counters(eid, a.epoch, account, address(a.token));
        Newest memory newest = _newest[eid][a.epoch][account][address(a.token)];
        assertEq(value, newest.value, "3: the newest of what arrived");
        assertEq(r.target, value, "3: what counts");
    }

    /* 2 */

    function _holds2_booksOfVault(uint256 id, Sums memory s) private view {
        (int256 net, uint256 claims, uint128 written,, uint128 returned) = hub.vaulted(id);
        assertEq(claims, s.claims, "2: shares add up");
        assertEq(
            net + int256(s.released), int256(s.credited) - int256(s.immature + returned), "2: a vault's books"
        );
        (, uint256 pot) = hub.keptOf(bytes32(0), id);
        uint256 kept;
        for (uint256 n; pot != 0 && n < ACCOUNTS; ++n) {
            (uint256 own,) = hub.keptOf(_account(n), id);
            kept += own;
        }
        assertLe(kept, pot, "2: what was kept in kind adds up");
        assertLe(pot, kept + 8 * ACCOUNTS, "2: and nothing of it is nobody's");
        if (!_listed[id].settlement) return;
        int256 booked = net - int256(uint256(written) + pot);
        assertEq(hub.backing(id), booked > 0 ? uint256(booked) * _listed[id].unit : 0, "2: backing");
    }

    function _holds2_custody(uint256 id, Sums memory s) private view {
        Listed memory a = _listed[id];
        (, uint256 totalOut, uint256 short) = a.vault.totals(address(a.token));
        assertEq(s.paid, totalOut, "2: what left is what was counted");
        if (a.chain != B) assertEq(s.over, 0, "2: paid what nobody released");
        (int256 net,,,,) = hub.vaulted(id);
        assertLe(
            net + int256(s.unpaid),
            int256(a.token.balanceOf(address(a.vault)) + short + s.ahead + s.over),
            "2: backing, claims and unpaid releases lie there"
        );
    }

    /// @dev What people have got is what was counted as paid to them.
    function _holds2_paidOnce() private view {
        for (uint256 id = USDC_A; id <= WETH_B; ++id) {
            Listed memory a = _listed[id];
            uint256 got = a.token.balanceOf(REDIRECTED);
            uint256 counted;
            for (uint256 n; n < USERS; ++n) {
                got += a.token.balanceOf(_recipient(n));
                counted += a.vault.paidOut(_account(n), address(a.token), _recipient(n));
                if (a.chain != A) continue;
                counted += _next.paidOut(_account(n), address(a.token), _recipient(n));
            }
            assertEq(got, counted, "2: nothing is paid twice");
        }
    }

    /* 4 */

    /// @dev What counts is what the maturing bucket let through; what lies let out is what the payout buckets do, and deposits since let as much
    /// out again.
    function _holds4_caps(uint256 id, Sums memory s) private view {
        uint256 elapsed = block.timestamp - _startedAt;
        uint256 passed = config.asset(id).matureCap + config.asset(id).matureRate * elapsed;
        assertLe(s.credited - s.immature + s.lien, passed, "4: more than the maturing bucket let through");
        if (_listed[id].chain != B) return;
        (PayoutQueue.Limit memory large, PayoutQueue.Limit memory small) =
            _listed[id].vault.limits(address(_listed[id].token));
        uint256 most = uint256(large.cap) + small.cap + (uint256(large.rate) + small.rate) * elapsed;
        (uint256 totalIn,,) = _listed[id].vault.totals(address(_listed[id].token));
        if (totalIn > _first[id]) most += totalIn - _first[id];
        assertLe(s.over, most + _undone[id], "4: more than the payout buckets let through");
    }

    /* 5 AND 6 */

    /// @dev Those who only deposit, withdraw and pay one another have what they brought as far as it matured, and interest on it, whatever others
    /// do, but for what all lost alike.
    function _holds5_and_6_money(uint256 from, uint256 to) private view {
        int256 brought;
        int256 has;
        for (uint256 n = from; n <= to; ++n) {
            has += hub.cash(_account(n)) + _bornBy[n] - _earned[n];
            for (uint256 id = 1; id <= ASSETS; ++id) {
                if (!_listed[id].settlement) continue;
                (uint256 in_, uint256 out) = _moneyAt(id, n);
                (brought, has) = (brought + int256(in_), has + int256(out));
            }
        }
        int256 roundings = int256(_dust + 1e13 * _calls["withdraw"]);
        assertLe(has, brought + roundings, "5: more than they brought");
        assertGe(has + roundings, brought, "6: their cash is theirs");
    }

    /// @dev WAD of what an account's deposits have become cash, and of what was released to it or kept for it.
    function _moneyAt(uint256 id, uint256 n) private view returns (uint256 in_, uint256 out) {
        bytes32 account = _account(n);
        ILedger.Row memory r = hub.row(account, id);
        in_ = (r.credited - r.immature + hub.lien(account, id)) * _listed[id].unit;
        (uint256 kept,) = hub.keptOf(account, id);
        out = hub.released(account, _recipient(n), id) + kept;
        if (_listed[id].chain == A) out += hub.released(account, address(venue.gateway()), id);
        out *= _listed[id].unit;
    }
}
