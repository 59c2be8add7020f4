// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {SafeCastLib} from "solady/utils/SafeCastLib.sol";
import {IClearinghouse} from "../interfaces/IClearinghouse.sol";
import {IInstrument} from "../interfaces/IInstrument.sol";
import {IRiskConfig} from "../interfaces/IRiskConfig.sol";
import {Accounts} from "../libraries/Accounts.sol";
import {Bucket} from "../libraries/Bucket.sol";
import {IdList} from "../libraries/IdList.sol";
import {WadMath} from "../libraries/WadMath.sol";
import {Backing} from "./ledger/Backing.sol";
import {Collateral} from "./ledger/Collateral.sol";
import {LedgerBase} from "./ledger/LedgerBase.sol";
import {PositionBook} from "./ledger/PositionBook.sol";

/// @title Books
/// @notice The part of the Clearinghouse that books what vaults lack, and withdrawals: code that would not fit into one contract.
/// The Clearinghouse runs it on its own state by delegatecall. By itself it owns nothing and decides nothing.
contract Books is Backing, PositionBook {
    using Bucket for Bucket.State;
    using FixedPointMathLib for int256;
    using FixedPointMathLib for uint256;
    using IdList for uint256;
    using SafeCastLib for int256;
    using SafeCastLib for uint256;
    using WadMath for int256;

    event Repaired(uint256 indexed assetId, uint128 returned, uint128 writtenOff);
    /// @param fromFund WAD; negative: to the fund.
    event LossShared(int256 fromFund, int256 lostBacking);
    event EpochOpened(uint32 indexed eid, uint32 epoch);
    event TotalsReceived(
        uint32 indexed eid,
        uint32 epoch,
        address indexed token,
        uint128 totalIn,
        uint128 totalOut,
        uint128 shortfall,
        uint64 time
    );

    error EpochOutOfOrder();
    /// @notice Nothing has come from that epoch yet: its predecessor may still take deposits.
    error EpochNotAnnounced();
    error NotItsClass(address engine, uint256 instrumentId);
    error NotLiquidatable(bytes32 account);
    error PauseTooLong(uint64 until, uint256 longest);
    error NothingToBook();
    /// @notice All that accounts owe, and the most that they may when one borrows (WAD).
    error LendingLimit(uint256 debt, uint256 limit);

    /// @dev Of one asset, each of those who left in kind between losses of which something may still come back.
    uint256 internal constant MAX_POTS = 8;

    constructor(Modules memory modules) Ownable(address(1)) LedgerBase(modules) {}

    /* ACCOUNTS */

    function setVenue(address venue, bool listed) external onlyOwner {
        isVenue[venue] = listed;
        emit VenueListed(venue, listed);
    }

    /// @dev The limit bounds what a delegate's orders can lose, so no delegate sets it.
    function approveVenue(bytes32 account, address venue, uint256 notionalLimit)
        external
        onlyOwnerOf(account)
    {
        venueAllowance[account][venue] = notionalLimit;
        emit VenueApproved(account, venue, notionalLimit);
    }

    function setDelegate(bytes32 account, address delegate, bool allowed) external onlyOwnerOf(account) {
        isDelegate[account][delegate] = allowed;
        emit DelegateSet(account, delegate, allowed);
    }

    function setPortfolioMargin(bytes32 account, bool on) external onlyOwnerOf(account) {
        _accounts[account].portfolioSet = on;
        _requireMargin(account, true);
        emit PortfolioMarginSet(account, on);
    }

    /// @notice Trades may only reduce until then (seconds), or again do more if that is not ahead. It ends by itself; liquidation, settlement, deposits
    /// and withdrawals go on.
    function pauseNewRisk(uint64 until) external onlyOwner {
        uint256 longest = block.timestamp + MAX_PAUSE;
        if (until > longest) revert PauseTooLong(until, longest);
        newRiskPausedUntil = until;
        emit NewRiskPaused(until);
    }

    /* VAULTS */

    /// @notice Accepts a new vault of a chain, after its predecessor has been sealed: the spoke's gateway sends nothing of it before that.
    /// Its tokens are assets of their own; the predecessor's counters, claims and releases go on.
    function openEpoch(uint32 eid, uint32 epoch) external onlyOwner {
        if (epoch != lastEpoch(eid) + 1) revert EpochOutOfOrder();
        if (announcedEpoch[eid] != epoch) revert EpochNotAnnounced();
        ++_openedEpochs[eid];
        emit EpochOpened(eid, epoch);
    }

    function receiveTotals(
        uint32 eid,
        uint32 epoch,
        uint64 time,
        address token,
        uint128 totalIn,
        uint128 totalOut,
        uint128 shortfall
    ) external onlyGateway {
        if (!_accept(eid, epoch, time)) return;
        Totals storage t = totals[eid][epoch][token];
        if (time < t.time) return;
        if (time == t.time) {
            // Each field's larger value: the same whatever the order, and a shortfall is never lost.
            if (totalIn <= t.totalIn && totalOut <= t.totalOut && shortfall <= t.shortfall) return;
            totalIn = uint128(FixedPointMathLib.max(totalIn, t.totalIn));
            totalOut = uint128(FixedPointMathLib.max(totalOut, t.totalOut));
            shortfall = uint128(FixedPointMathLib.max(shortfall, t.shortfall));
        }
        _noteShortfall(riskConfig.assetIdOf(eid, epoch, token), shortfall);
        totals[eid][epoch][token] = Totals(totalIn, totalOut, shortfall, time);
        emit TotalsReceived(eid, epoch, token, totalIn, totalOut, shortfall, time);
    }

    /// @dev A shortfall is the token's own affair: it leaves IM, withdrawals and bundles at once, in equal parts, and is written off by `repair`.
    function _noteShortfall(uint256 assetId, uint128 shortfall) internal {
        Vaulted storage v = _vaulted[assetId];
        uint128 before = v.shortfall;
        if (assetId == 0 || shortfall == before) return;
        if (shortfall > before) v.shortSince = uint32(block.timestamp);
        uint256 lost = _lost(assetId);
        v.shortfall = shortfall;
        v.flawed = shortfall != 0 || v.written != 0 || v.pot != 0;
        if (v.flawed) _mark(assetId);
        v.lostSince = _blend(v.lostSince, lost, _lost(assetId));
    }

    /* WITHDRAWALS */

    function withdraw(bytes32 account, uint256 assetId, address recipient, uint128 amount)
        external
        onlyOwnerOf(account)
    {
        _warm(account);
        _release(account, assetId, recipient, amount);
        // Who owes nothing is held back by no price.
        if (_owes(account)) _requireMargin(account, true);
    }

    function releaseTo(bytes32 account, uint256 assetId, address recipient, uint128 amount) external {
        _require(msg.sender == backstop && account == Accounts.main(backstop));
        _release(account, assetId, recipient, amount);
        Row storage r = _rows[account][assetId];
        if (r.claim != 0) return;
        // Whoever is liquidated chooses what the backstop gets rows of: one that is sold leaves its place to the next.
        r.open = false;
        _accounts[account].assets = _accounts[account].assets.remove(assetId);
    }

    function _release(bytes32 account, uint256 assetId, address recipient, uint128 amount) internal {
        if (amount == 0 || recipient == address(0)) revert ZeroValue();
        IRiskConfig.Asset memory a = _asset(assetId);
        if (!a.settlement) return _payClaim(account, assetId, a, recipient, amount);
        amount = _leave(account, assetId, a, recipient, amount);
        if (amount == 0) return;
        if (_suspectAssets == 0 || _suspectAssets.contains(assetId)) {
            _payCash(account, assetId, a, recipient, amount);
        } else {
            _payInKind(account, assetId, a, recipient, amount);
        }
    }

    function _payClaim(
        bytes32 account,
        uint256 assetId,
        IRiskConfig.Asset memory a,
        address recipient,
        uint128 amount
    ) internal {
        Row storage r = _rows[account][assetId];
        // While something is missing at the vault, everybody leaves with the same share of what is there.
        (uint256 all,, uint256 healthy) = _shares(assetId);
        uint256 claim = amount;
        if (healthy < all) claim = healthy == 0 ? type(uint256).max : claim.mulDivUp(all, healthy);
        uint128 free = _freeClaim(assetId, r);
        if (claim > free) revert Collateral.InsufficientClaim(free, claim);
        r.claim -= uint128(claim);
        _vaulted[assetId].claims -= uint120(claim);
        _shift(assetId, a, -int256(uint256(amount)), 0, 0);
        _raise(account, assetId, recipient, amount);
    }

    function _payCash(
        bytes32 account,
        uint256 assetId,
        IRiskConfig.Asset memory a,
        address recipient,
        uint128 amount
    ) internal {
        uint256 wad = _toWad(amount, a);
        bool borrows = _draw(account, wad);
        Vaulted storage v = _vaulted[assetId];
        // What is short where nothing is heard of is shared by all once it is written off, and nobody leaves by there before the others.
        uint256 held = _isShort(v) && _suspectAssets.contains(assetId) ? 0 : _positive(_unshort(v));
        if (amount > held) revert Collateral.InsufficientBacking(assetId, held, amount);
        _shift(assetId, a, -int256(uint256(amount)), 0, -int256(wad));
        if (borrows && _loans.debt > _lendable()) revert LendingLimit(_loans.debt, _lendable());
        _raise(account, assetId, recipient, amount);
    }

    /// @dev What free cash doesn't pay the account borrows: not while some backing is suspect, when who leaves pays for a part of that too, nor while
    /// counters of its own have regressed. Neither the fund nor its book does.
    function _draw(bytes32 account, uint256 amount) internal returns (bool borrows) {
        uint256 free = _freeCash(account);
        borrows = amount > free && _loans.share != 0 && _suspectAssets == 0
            && _accounts[account].regressedRows == 0 && !_isReserve(account);
        if (!borrows) {
            _debit(account, amount);
            return false;
        }
        if (block.timestamp < newRiskPausedUntil) revert NewRiskIsPaused(newRiskPausedUntil);
        _setCash(account, _cash(account) - amount.toInt256());
        emit Borrowed(account, amount - free);
    }

    /// @dev A part of the backing is suspect: whoever takes `amount` of what isn't takes as large a part of what is, there, and pays for both.
    /// So what is left is composed as it was, and the first to leave gets for a unit of cash what the last one gets. A deposit that waits
    /// because of it was never part of it, and leaves as it came, as far as its bucket lets it.
    function _payInKind(
        bytes32 account,
        uint256 assetId,
        IRiskConfig.Asset memory a,
        address recipient,
        uint128 amount
    ) internal {
        uint256 healthy = _totalBacking;
        for (uint256 list = _suspectAssets; list != 0; list >>= 12) {
            healthy -= _backing(list & IdList.MAX_ID);
        }
        uint256 wanted = _toWad(amount, a);
        if (wanted > healthy) {
            revert Collateral.InsufficientBacking(assetId, healthy / 10 ** (18 - a.decimals), amount);
        }
        for (uint256 list = _suspectAssets; list != 0; list >>= 12) {
            _keep(account, list & IdList.MAX_ID, wanted, healthy);
        }
        _payCash(account, assetId, a, recipient, amount);
    }

    /// @dev Cash becomes `wanted` ÷ `healthy` of what backs cash at a suspect chain's vault, be it short: who left bears his part of that when it is
    /// written off.
    function _keep(bytes32 account, uint256 assetId, uint256 wanted, uint256 healthy) internal {
        Vaulted storage v = _vaulted[assetId];
        // Up, so that nobody leaves with less of it by leaving bit by bit.
        uint256 there = _positive(_booked(v));
        uint128 amount = uint128(there.mulDivUp(wanted, healthy).min(there));
        uint256 which = _openPot(assetId);
        if (amount == 0 || which == MAX_POTS) return;
        IRiskConfig.Asset memory a = _asset(assetId);
        uint256 wad = _toWad(amount, a);
        _debit(account, wad);
        _shift(assetId, a, -int256(uint256(amount)), 0, -int256(wad));
        v.net += int120(uint120(amount));
        Pot storage p = _pots[assetId][which];
        (p.held, p.shares) = (p.held + amount, p.shares + amount);
        v.pot += amount;
        _kept[account][assetId][which] += amount;
        v.flawed = true;
        emit LeftInKind(account, assetId, amount);
    }

    /// @dev The first that has borne nothing which may come back. MAX_POTS: there is none, and no room for another.
    function _openPot(uint256 assetId) internal returns (uint256 which) {
        Pot[] storage pots = _pots[assetId];
        while (which < pots.length && pots[which].lost != 0) {
            ++which;
        }
        if (which == pots.length && which < MAX_POTS) pots.push();
    }

    /// @dev Pays what the account has there that is no cash: what it left with in kind, and, while its deposit can't become cash, the deposit,
    /// as far as its bucket lets it.
    /// @return left What of `amount` is to be paid from cash.
    function _leave(
        bytes32 account,
        uint256 assetId,
        IRiskConfig.Asset memory a,
        address recipient,
        uint128 amount
    ) internal returns (uint128 left) {
        uint128 own = _takeKept(account, assetId, amount);
        Row storage r = _rows[account][assetId];
        uint128 waiting = uint128(uint256(amount - own).min(r.immature));
        if (waiting != 0 && _suspectAssets != 0 && suspicions[a.eid] == 0 && !_isShort(_vaulted[assetId])) {
            waiting = _buckets[assetId].take(waiting, a.matureCap, a.matureRate);
            r.immature -= waiting;
            own += waiting;
        }
        if (own != 0) _raise(account, assetId, recipient, own);
        return amount - own;
    }

    /// @dev Of the account's part of the pots.
    function _takeKept(bytes32 account, uint256 assetId, uint128 amount) internal returns (uint128 taken) {
        Vaulted storage v = _vaulted[assetId];
        // What is short is shared by all once it is written off.
        if (v.pot == 0 || _isShort(v)) return 0;
        Pot[] storage pots = _pots[assetId];
        for (uint256 n; n < pots.length && taken < amount; ++n) {
            taken += _takeOf(pots[n], account, assetId, n, amount - taken);
        }
        v.pot -= taken;
        v.net -= int120(uint120(taken));
    }

    /// @dev Who takes what is left of it takes no part in what comes back; where nothing is left his part waits for that.
    function _takeOf(Pot storage p, bytes32 account, uint256 assetId, uint256 which, uint256 amount)
        internal
        returns (uint128)
    {
        uint256 burnt = _kept[account][assetId][which];
        if (burnt == 0 || p.held == 0) return 0;
        (uint256 held, uint256 all) = (p.held, p.shares);
        uint256 worth = burnt.mulDiv(held, all);
        if (amount < worth) (worth, burnt) = (amount, amount.mulDivUp(all, held));
        _kept[account][assetId][which] -= uint128(burnt);
        p.lost -= uint128(uint256(p.lost).mulDiv(burnt, all));
        (p.held, p.shares) = (uint128(held - worth), uint128(all - burnt));
        return uint128(worth);
    }

    /// @dev WAD.
    function _backing(uint256 assetId) internal view returns (uint256) {
        return _positive(_booked(_vaulted[assetId])) * 10 ** (18 - _asset(assetId).decimals);
    }

    function _raise(bytes32 account, uint256 assetId, address recipient, uint128 amount) internal {
        uint128 total = _released[account][recipient][assetId] + amount;
        _released[account][recipient][assetId] = total;
        emit Released(account, assetId, recipient, amount, total);
    }

    /* REGRESSIONS */

    /// @notice A lack that neither claim nor cash covers stays a lien on the row. Of a claim it is every holder's loss on that vault, in equal
    /// parts; of cash, what the vault still backs is paid by the fund, then by warming profit and all cash. What others had already withdrawn there is
    /// their vault's shortage: `net` goes below zero, and what the account pays for it waits as negative lost backing.
    function bookRegression(bytes32 account, uint256 assetId) external {
        Row storage r = _rows[account][assetId];
        uint256 since = r.regressedSince;
        uint256 delay = _global().regressionDelay;
        if (since == 0 || block.timestamp < since + delay) revert NothingToBook();
        IRiskConfig.Asset memory a = _asset(assetId);
        uint128 lack = _regressed(r);
        r.credited = r.target;
        if (a.settlement) _unfade(_accounts[account], _toWad(lack, a), delay);
        _noteRegression(account, assetId, a, r, lack);

        int256 lost = _lostBacking;
        uint128 fromClaim;
        uint256 fromCash;
        uint128 unpaid;
        if (a.settlement) {
            uint256 due = _toWad(lack, a);
            int256 held = _cash(account);
            fromCash = due.min(_positive(held));
            _setCash(account, held - int256(fromCash));
            unpaid = uint128((due - fromCash).divUp(10 ** (18 - a.decimals)));
            _shift(assetId, a, -int256(uint256(lack)), 0, -int256(fromCash));
        } else {
            fromClaim = _bookClaim(assetId, a, r, lack);
            unpaid = lack - fromClaim;
        }
        _shareLoss();
        lien[account][assetId] += unpaid;
        emit RegressionBooked(account, assetId, fromClaim, fromCash, uint256((_lostBacking - lost).max(0)));
    }

    /// @return paid What the row's own claim covered of it, token decimals.
    function _bookClaim(uint256 assetId, IRiskConfig.Asset memory a, Row storage r, uint128 lack)
        internal
        returns (uint128 paid)
    {
        Vaulted storage v = _vaulted[assetId];
        uint256 lost = _lost(assetId);
        uint256 burnt = _sharesFor(assetId, lack).min(r.claim);
        (uint256 total, uint256 held,) = _shares(assetId);
        paid = uint128((held == total ? burnt : burnt.mulDiv(held, total)).min(lack));
        r.claim -= uint128(burnt);
        v.claims -= uint120(burnt);
        _mark(assetId);
        _shift(assetId, a, -int256(uint256(lack)), 0, 0);
        v.lostSince = _blend(v.lostSince, lost, _lost(assetId));
    }

    /// @dev What is booked of an account's regressed cash has faded: what of the rest had, has still.
    function _unfade(AccountState storage state, uint256 booked, uint256 delay) internal {
        uint256 all = state.regressedCash;
        if (booked == all) return;
        uint256 faded = all * (block.timestamp - state.regressedAt).min(delay);
        state.regressedAt = uint32(block.timestamp - faded.zeroFloorSub(booked * delay).divUp(all - booked));
    }

    /// @notice Losses come back in the reverse of the order in which they were borne: lost backing, then the fund, then the account whose
    /// counters they are. A shortfall is written off once it has lasted as long as a regression must, and taken back at once.
    function repair(uint256 assetId) external returns (uint128 amount) {
        IRiskConfig.Asset memory a = _asset(assetId);
        Vaulted storage v = _vaulted[assetId];
        // Nor does what comes back become cash while any backing is suspect.
        if (!a.settlement || _suspectAssets == 0) amount = _take(assetId, a, v.returned);
        if (amount != 0) {
            v.returned -= amount;
            _shift(assetId, a, int256(uint256(amount)), 0, 0);
        }
        uint128 short = v.shortfall;
        uint128 written = v.written;
        if (
            short < written || short > written
                && block.timestamp >= uint256(v.shortSince) + _global().regressionDelay
        ) {
            int256 change = int256(uint256(short)) - int256(uint256(written));
            _shift(assetId, a, _sharePots(assetId, change), change, 0);
            v.flawed = short != 0 || v.pot != 0;
        }
        _shareLoss();
        emit Repaired(assetId, amount, v.written);
    }

    /// @dev Who left in kind bears of what is written off the part that cash bears, and of what is taken back gets that part of what he bore.
    /// More may be written off than there was: that came off nobody.
    /// @return borne What of the change the pots take; taken from `net` with it, to which it is to be added.
    function _sharePots(uint256 assetId, int256 change) internal returns (int256 borne) {
        Vaulted storage v = _vaulted[assetId];
        // Of all that is there, what is left of it; of all that is written off, what stays so.
        uint256 whole;
        uint256 left;
        if (change > 0) {
            whole = _positive(_booked(v)) + v.pot;
            left = whole.zeroFloorSub(uint256(change));
        } else {
            uint256 there = _positive(v.net);
            whole = uint256(v.written).min(there);
            left = uint256(int256(uint256(v.written)) + change).min(there);
        }
        if (whole == left) return 0;
        Pot[] storage pots = _pots[assetId];
        for (uint256 n; n < pots.length; ++n) {
            Pot storage p = pots[n];
            (uint256 held, uint256 lost) = (p.held, p.lost);
            int256 part = change > 0
                ? int256(held - held.mulDiv(left, whole))
                : -int256(lost.mulDiv(whole - left, whole));
            p.held = uint256(int256(held) - part).toUint128();
            p.lost = uint256(int256(lost) + part).toUint128();
            borne += part;
        }
        v.pot = uint256(int256(uint256(v.pot)) - borne).toUint128();
        v.net = (v.net - borne).toInt120();
    }

    /// @dev What is lost the fund pays as far as it can, then warming profit, then all cash. What is found is the fund's, as far as it paid
    /// before and recipients at a vault don't wait for it. To the others nothing comes back, since who deposited meanwhile would share it:
    /// it stays, and bears what is lost next.
    function _shareLoss() internal {
        int256 lost = _lostBacking;
        bytes32 reserve = Accounts.main(fund);
        int256 paid;
        if (lost > 0) {
            uint256 amount = uint256(lost).min(_freeCash(reserve));
            _debit(reserve, amount);
            fundBorne += amount;
            paid = int256(amount);
        } else {
            uint256 amount = _positive(-lost - int256(overdrawn)).min(fundBorne);
            _credit(reserve, amount);
            fundBorne -= amount;
            paid = -int256(amount);
        }
        // What is still in the fund is under regression, and no more spared than others' is.
        _lostBacking = lost - paid;
        _spreadLoss();
        if (_lostBacking != lost) emit LossShared(paid, _lostBacking);
    }

    /* LIQUIDATION ENGINES */

    /// @notice Lists an engine for an asset class, or ends that. It decides what a bidder pays; that an account is liquidatable at all, and what the
    /// bidder is left with, the ledger sees to.
    function setEngine(address engine, address module, bool listed) external onlyOwner {
        liquidates[engine][module] = listed;
        emit EngineListed(engine, module, listed);
    }

    /// @notice Moves a fraction (WAD) of an account whose maintenance margin is broken to a bidder for a payment (WAD).
    function liquidate(bytes32 account, bytes32 bidder, uint256 fraction, uint256 payment) external {
        uint256[] memory ids = _accounts[account].instruments.toArray();
        _require(ids.length != 0 && !_isReserve(account) && !_isReserve(bidder));
        for (uint256 n; n < ids.length; ++n) {
            if (!liquidates[msg.sender][_instrument(ids[n]).module]) revert NotItsClass(msg.sender, ids[n]);
        }
        if (marginEngine.accountHealth(account).mm >= 0) revert NotLiquidatable(account);
        IClearinghouse(address(this)).transferFraction(account, bidder, fraction, payment);
        _requireMargin(bidder, true);
    }

    /// @dev The fund and its own book are neither liquidated nor do they bid.
    function _isReserve(bytes32 account) internal view returns (bool) {
        return account == Accounts.main(fund) || account == Accounts.main(backstop);
    }
}
