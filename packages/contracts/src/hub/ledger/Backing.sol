// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {SafeCastLib} from "solady/utils/SafeCastLib.sol";
import {IRiskConfig} from "../../interfaces/IRiskConfig.sol";
import {Bucket} from "../../libraries/Bucket.sol";
import {IdList} from "../../libraries/IdList.sol";
import {LedgerBase} from "./LedgerBase.sol";

/// @notice What each vault holds for the ledger, and who bears it when that is less than the ledger owes.
///
/// `net` = matured − released − booked regressions, so it comes back by itself when counters do. Below zero, recipients of releases wait
/// at that vault for tokens that it never got. Cash is one unit over all vaults, and claims are shares of their own vault's asset:
///     Σ cash + Σ pnlPool = Σ backing + lostBacking,   backing = max(0, net − written)
///     a claim's value    = claim × min(1, max(0, net − written) ÷ Σ claims)
abstract contract Backing is LedgerBase {
    using Bucket for Bucket.State;
    using FixedPointMathLib for uint256;
    using IdList for uint256;
    using SafeCastLib for int256;
    using SafeCastLib for uint256;

    /// @dev `net` and `written` change by these (token decimals), cash that stands on the asset by `cash` (WAD); what differs is lost, or found.
    function _shift(uint256 assetId, IRiskConfig.Asset memory a, int256 net, int256 written, int256 cash)
        internal
    {
        Vaulted storage v = _vaulted[assetId];
        int256 before = _booked(v);
        v.net = (v.net + net).toInt120();
        if (written != 0) v.written = uint128(uint256(int256(uint256(v.written)) + written));
        if (!a.settlement) return;
        int256 delta = net - written;
        int256 unit = int256(10 ** (18 - a.decimals));
        int256 gain = int256(_positive(before + delta)) - int256(_positive(before));
        if (gain != delta) {
            overdrawn = uint256(int256(overdrawn) + (gain - delta) * unit);
        }
        if (gain != 0) _totalBacking = uint256(int256(uint256(_totalBacking)) + gain * unit).toUint128();
        if (gain * unit != cash) _lostBacking += cash - gain * unit;
    }

    /// @dev What the bucket lets through of `wanted` now: nothing while the chain is suspect, or more of the token missing than was written off.
    function _take(uint256 assetId, IRiskConfig.Asset memory a, uint128 wanted) internal returns (uint128) {
        Vaulted storage v = _vaulted[assetId];
        if (wanted == 0 || suspicions[a.eid] != 0 || v.liveness == Liveness.Suspect || _isShort(v)) return 0;
        return _buckets[assetId].take(wanted, a.matureCap, a.matureRate);
    }

    /// @dev While any backing is suspect nothing becomes cash, which who deposits now should not share, but what repays the account's debt.
    function _maturable(bytes32 account, IRiskConfig.Asset memory a, uint128 immature)
        internal
        view
        returns (uint128)
    {
        if (!a.settlement || _suspectAssets == 0) return immature;
        return uint128(_positive(-_cash(account)).divUp(10 ** (18 - a.decimals)).min(immature));
    }

    /// @dev What of a claim is offered in liquidation (shares): free, and covered by what the vault says it has.
    function _offeredClaim(uint256 assetId, Row storage r) internal view returns (uint256 claim) {
        if (_vaulted[assetId].liveness != Liveness.Live) return 0;
        claim = _freeClaim(assetId, r);
        (, uint256 held, uint256 healthy) = _shares(assetId);
        if (healthy < held) claim = claim.mulDiv(healthy, held);
    }

    /// @dev Settlement tokens become cash: their rows need no place in the list that margin reads.
    function _openRow(bytes32 account, uint256 assetId, bool settlement, uint256 cap) internal {
        _rows[account][assetId].open = true;
        if (!settlement) {
            _requireRoom(account, cap);
            _accounts[account].assets = _accounts[account].assets.add(assetId);
        }
        emit RowOpened(account, assetId);
    }

    /// @dev Shares in circulation; what stands behind them in the books; and what does at the vault, each no more than one token a share.
    function _shares(uint256 assetId) internal view returns (uint256 total, uint256 held, uint256 healthy) {
        Vaulted storage v = _vaulted[assetId];
        total = v.claims;
        held = _positive(_booked(v)).min(total);
        healthy = _isShort(v) ? _positive(_unshort(v)).min(total) : held;
    }

    /// @dev Of the claims on an asset (shares).
    function _lost(uint256 assetId) internal view returns (uint256) {
        (uint256 total,, uint256 healthy) = _shares(assetId);
        return total - healthy;
    }

    /// @dev More is missing than was written off.
    function _isShort(Vaulted storage v) internal view returns (bool) {
        return v.flawed && v.shortfall > v.written;
    }

    /// @dev net − written − pot.
    function _booked(Vaulted storage v) internal view returns (int256) {
        return v.flawed ? v.net - int256(uint256(v.written)) - int256(uint256(v.pot)) : int256(v.net);
    }

    /// @dev What of it can be paid: less what is short beyond what was written off, of which the pot bears its part.
    function _unshort(Vaulted storage v) internal view returns (int256) {
        int256 booked = _booked(v);
        if (booked <= 0 || !_isShort(v)) return booked;
        uint256 all = uint256(booked) + v.pot;
        return int256(all.zeroFloorSub(v.shortfall - v.written).mulDiv(uint256(booked), all));
    }

    function _asset(uint256 assetId) internal view returns (IRiskConfig.Asset memory a) {
        a = riskConfig.asset(assetId);
        if (a.token == address(0)) revert UnknownAsset(assetId);
    }

    /// @dev Exact: a token has at most 18 decimals.
    function _toWad(uint128 amount, IRiskConfig.Asset memory a) internal pure returns (uint256) {
        return uint256(amount) * 10 ** (18 - a.decimals);
    }

    /// @dev Matured claim that isn't under regression (shares).
    function _freeClaim(uint256 assetId, Row storage r) internal view returns (uint128) {
        return uint128(uint256(r.claim).zeroFloorSub(_sharesFor(assetId, _regressed(r))));
    }

    /// @dev Shares that are worth so many tokens, rounded up.
    function _sharesFor(uint256 assetId, uint128 amount) internal view returns (uint256) {
        if (amount == 0) return 0;
        (uint256 total, uint256 held,) = _shares(assetId);
        if (held == total) return amount;
        return held == 0 ? type(uint256).max : uint256(amount).mulDivUp(total, held);
    }

    /// @dev Keeps counts in step with the row's regressed amount, which was `before`. No more is impaired than there is: what regresses beyond it
    /// has nothing to fade, and makes nothing of what has faded whole again.
    function _noteRegression(
        bytes32 account,
        uint256 assetId,
        IRiskConfig.Asset memory a,
        Row storage r,
        uint128 before
    ) internal {
        uint128 current = _regressed(r);
        if (current == before) return;
        AccountState storage state = _accounts[account];
        if (before == 0) {
            ++suspicions[a.eid];
            ++state.regressedRows;
        } else if (current == 0) {
            r.regressedSince = 0;
            --suspicions[a.eid];
            --state.regressedRows;
        }
        if (a.settlement) {
            if (current != 0) r.regressedSince = _blend(r.regressedSince, before, current);
            uint256 all = state.regressedCash;
            uint256 left = all - _toWad(before, a) + _toWad(current, a);
            _accrueInterest();
            uint256 held = _positive(_cash(account)).max(1);
            state.regressedAt = _blend(state.regressedAt, all.min(held), left.min(held));
            state.regressedCash = left;
        } else if (current != 0) {
            uint256 held = uint256(r.claim).max(1);
            uint256 impaired = _sharesFor(assetId, before).min(held);
            r.regressedSince = _blend(r.regressedSince, impaired, _sharesFor(assetId, current).min(held));
        }
        if (current > before) emit Regressed(account, assetId, current - before);
    }

    /// @dev Since when an impairment of `current` counts, that was `before` and counted since then: so that what has faded of it by now stays
    /// faded, and no more. Nothing of what it grew by fades at once.
    function _blend(uint256 since, uint256 before, uint256 current) internal view returns (uint32) {
        if (before == 0) return uint32(block.timestamp);
        if (current <= before) return uint32(since);
        uint256 lasted = (block.timestamp - since).min(_global().regressionDelay);
        return uint32(block.timestamp - (lasted * before).divUp(current));
    }

    /// @dev What the vaults say no longer and the ledger still holds (token decimals).
    function _regressed(Row storage r) internal view returns (uint128) {
        return r.credited > r.target ? r.credited - r.target : 0;
    }

    /// @dev Remembers that the next epoch has sent something.
    function _accept(uint32 eid, uint32 epoch, uint64 time) internal returns (bool) {
        if (epoch == 0 || time > block.timestamp + MAX_SKEW) return false;
        uint32 last = lastEpoch(eid);
        if (epoch == last + 1) announcedEpoch[eid] = epoch;
        return epoch <= last;
    }

    /// @notice Newest epoch of a spoke whose counters are accepted. The first is open from the start.
    function lastEpoch(uint32 eid) public view returns (uint32) {
        return _openedEpochs[eid] + 1;
    }
}
