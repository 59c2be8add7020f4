// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {SafeCastLib} from "solady/utils/SafeCastLib.sol";
import {IClearinghouse} from "../interfaces/IClearinghouse.sol";
import {IBackstop, ILiquidationAuction} from "../interfaces/ILiquidation.sol";
import {ILedger} from "../interfaces/ILedger.sol";
import {IMarginEngine} from "../interfaces/IMarginEngine.sol";
import {IRiskConfig} from "../interfaces/IRiskConfig.sol";
import {Accounts} from "../libraries/Accounts.sol";
import {AuctionMath} from "./AuctionMath.sol";

/// @notice The fund's own book (DESIGN §4): it takes what nobody bid for once an auction's window has passed, within a cap per
/// instrument and token (as much as may mature of it at once: what a broken one is let cost). Its account is exempt from initial margin and from liquidation; its deficit is the fund's, its spare cash too.
contract Backstop is IBackstop, Ownable, ReentrancyGuardTransient {
    using FixedPointMathLib for uint256;
    using SafeCastLib for uint256;

    event ExecutorSet(uint32 indexed eid, address executor);

    error WindowOpen(bytes32 account, uint256 until);
    error NoAuction(bytes32 account);
    error NotLiquidatable(bytes32 account);
    error PricesNotFresh(bytes32 account);
    /// A solvent account is paid for, and the fund has no cash; nothing to take.
    error FundExhausted(bytes32 account);
    /// The backstop's position in this instrument is at its cap. Retry when it has shrunk or governance has raised the cap.
    error BackstopFull(bytes32 account, uint256 instrumentId);
    /// It holds as much of this token as it may. Retry when it has been released, or governance has raised the token's `matureCap`.
    error BackstopFullOfToken(bytes32 account, uint256 assetId);
    /// What isn't under regression is worth nothing: the regression is booked, or disappears, first.
    error RegressionPending(bytes32 account);
    error NoExecutor(uint32 eid);

    IClearinghouse public immutable clearinghouse;
    IMarginEngine public immutable marginEngine;
    IRiskConfig public immutable riskConfig;
    ILiquidationAuction public immutable auction;
    bytes32 public immutable fundAccount;
    /// @inheritdoc IBackstop
    bytes32 public immutable account;
    /// @notice Seconds on the auction's price curve during which only bidders may take the account.
    uint256 public immutable window;

    /// @notice Seconds after a release within which its proceeds are expected: the message, the sale, and the message back.
    uint256 public constant SALE_TIME = 3 days;

    /// WAD; worth of what was released, and until when it fades.
    uint128 private _released;
    uint64 private _releasedUntil;
    /// @notice LiquidationExecutor of each chain.
    mapping(uint32 eid => address) public executor;

    constructor(
        IClearinghouse clearinghouse_,
        IMarginEngine marginEngine_,
        IRiskConfig riskConfig_,
        ILiquidationAuction auction_,
        address fund,
        uint256 window_,
        address owner_
    ) Ownable(owner_) {
        clearinghouse = clearinghouse_;
        marginEngine = marginEngine_;
        riskConfig = riskConfig_;
        auction = auction_;
        fundAccount = Accounts.main(fund);
        account = Accounts.main(address(this));
        window = window_;
    }

    /* TAKE OVER */

    /// @inheritdoc IBackstop
    /// @dev Takes a smaller fraction where the fund's cash (solvent) or a cap binds; call again when there is room.
    function takeOver(bytes32 target) external nonReentrant {
        uint256 startedAt = auction.auction(target).startedAt;
        if (startedAt == 0) revert NoAuction(target);
        if (block.timestamp < startedAt + window) revert WindowOpen(target, startedAt + window);
        IMarginEngine.Valuation memory v = marginEngine.valuation(target);
        if (v.account.mm >= 0) revert NotLiquidatable(target);

        uint256 debt = v.cash < 0 ? uint256(-v.cash) : 0;
        if (v.offered.equity > 0) _takeSolvent(target, uint256(v.offered.equity), debt);
        else if (v.impaired && _isPending(target)) revert RegressionPending(target);
        else _takeInsolvent(target, uint256(-v.offered.equity));
        _payDebt();
        auction.sync(target);
    }

    /// The fund buys the fraction up to the buffer at the auction's present price, and pays the debt that comes with it.
    function _takeSolvent(bytes32 target, uint256 equity, uint256 debt) private {
        (uint256 fraction, uint256 full) = _cappedByToken(target);
        if (fraction == 0) revert BackstopFullOfToken(target, full);
        fraction = fraction.min(_cappedFraction(target));
        uint256 payment;
        {
            (uint256 share,, uint256 maxFraction) = auction.quote(target);
            // The fund's fee stays where it is.
            uint256 price = AuctionMath.afterFee(AuctionMath.fullPrice(equity, share), auction.feeShare());
            fraction = fraction.min(maxFraction).min(AuctionMath.fundedFraction(price + debt, _fundCash()));
            if (fraction == 0) revert FundExhausted(target);
            payment = AuctionMath.payment(price, fraction);
        }
        int256 bufferBefore = _bufferMargin(target);
        clearinghouse.moveCash(fundAccount, account, payment);
        clearinghouse.transferFraction(target, account, fraction, payment);
        emit TakenOver(
            target, fraction, payment, payment, 0, int256(equity), bufferBefore, _bufferMargin(target)
        );
    }

    /// Loss order: the account's own equity is gone; the fund pays the deficit as far as its cash goes; the rest is charged to
    /// the other side of the account's losing instruments, and of its negative cash to all, before anything moves. What even they cannot
    /// bear stays with the backstop, as a debt that counts against the fund until it earns again. Positions that a cap leaves no room for, and
    /// all where the fund has nothing left to carry them with, close against the other side.
    /// What of the account isn't offered because its chain isn't heard of may be worth more than the deficit: as much of it comes along as
    /// others pay, at the price of the oracle, and the rest stays with the account.
    function _takeInsolvent(bytes32 target, uint256 deficit) private {
        int256 bufferBefore = _bufferMargin(target);
        uint256 fromFund = _fundCash().min(deficit);
        uint256 socialised;
        if (fromFund < deficit) socialised = clearinghouse.socialise(target, deficit - fromFund);
        uint256 fraction = _closeBeyond(target, _fundCash() <= deficit);
        uint256 paid = (fromFund + socialised).fullMulDiv(fraction, AuctionMath.WAD);
        // All cash may just have borne a part, the fund's too.
        fromFund = AuctionMath.payment(fromFund, fraction).min(_fundCash());
        if (fromFund != 0) clearinghouse.moveCash(fundAccount, account, fromFund);
        _takeSuspended(target, paid);
        clearinghouse.transferFraction(target, account, fraction, 0);
        emit TakenOver(
            target, fraction, 0, fromFund, socialised, -int256(deficit), bufferBefore, _bufferMargin(target)
        );
    }

    /// Claims that nothing but silence keeps out of the offer, worth as much as others pay: the owner's debt to them, settled in kind.
    function _takeSuspended(bytes32 target, uint256 paid) private {
        uint256[] memory ids = clearinghouse.assetsOf(target);
        IClearinghouse.Portfolio memory p;
        (p.assetIds, p.claims, p.impaired) = (ids, new uint256[](ids.length), new uint256[](ids.length + 1));
        bool found;
        for (uint256 n; n < ids.length; ++n) {
            (ILedger.Liveness liveness,,) = clearinghouse.livenessOf(ids[n]);
            if (liveness == ILedger.Liveness.Live) continue;
            found = true;
            p.claims[n] =
                clearinghouse.row(target, ids[n]).claim * 10 ** (18 - riskConfig.asset(ids[n]).decimals);
        }
        if (!found) return;
        int256 worth = marginEngine.health(p).equity;
        uint256 share =
            worth <= int256(paid) ? AuctionMath.WAD : paid.fullMulDivUp(AuctionMath.WAD, uint256(worth));
        clearinghouse.transferSuspended(target, account, share);
    }

    /// Something of the account is under regression or short: it is booked, or disappears, within a bounded time.
    function _isPending(bytes32 target) private view returns (bool) {
        uint256[] memory ids = clearinghouse.assetsOf(target);
        for (uint256 n; n < ids.length; ++n) {
            if (clearinghouse.row(target, ids[n]).regressedSince != 0) return true;
            (,, uint128 written, uint128 shortfall,) = clearinghouse.vaulted(ids[n]);
            if (shortfall > written && clearinghouse.row(target, ids[n]).claim != 0) return true;
        }
        return int256(clearinghouse.freeCash(target)) < clearinghouse.cash(target);
    }

    function _bufferMargin(bytes32 target) private view returns (int256) {
        IMarginEngine.Health memory health = marginEngine.accountHealth(target);
        return AuctionMath.bufferMargin(health.equity, health.mm, riskConfig.global().bufferBps);
    }

    /// Largest fraction that keeps every position of the backstop within its cap; reverts with what has no room.
    function _cappedFraction(bytes32 target) private view returns (uint256 fraction) {
        IClearinghouse.Portfolio memory p = clearinghouse.portfolio(target);
        fraction = AuctionMath.WAD;
        for (uint256 n; n < p.instrumentIds.length; ++n) {
            fraction = fraction.min(_roomFor(target, p.instrumentIds[n], p.sizes[n]));
        }
    }

    /// Closes positions as far as the backstop's caps leave no room for them, or all. One whose price isn't fresh can't be closed.
    /// @return fraction Largest of what is left that keeps within the caps; 0 where positions were closed and a token has no room.
    function _closeBeyond(bytes32 target, bool all) private returns (uint256 fraction) {
        uint256 full;
        (fraction, full) = _cappedByToken(target);
        bool closed;
        IClearinghouse.Portfolio memory p = clearinghouse.portfolio(target);
        for (uint256 n; n < p.instrumentIds.length; ++n) {
            (uint256 id, uint256 size) = (p.instrumentIds[n], FixedPointMathLib.abs(p.sizes[n]));
            uint256 room = all ? 0 : _room(id, p.sizes[n]);
            uint256 excess = size - size.fullMulDiv(room, AuctionMath.WAD);
            if (excess == 0) continue;
            if (clearinghouse.deleverage(target, id, excess) != 0) closed = true;
            else fraction = fraction.min(_roomFor(target, id, p.sizes[n]));
        }
        if (fraction == 0 && !closed) revert BackstopFullOfToken(target, full);
    }

    function _roomFor(bytes32 target, uint256 instrumentId, int256 size) private view returns (uint256 room) {
        room = _room(instrumentId, size);
        if (room == 0) revert BackstopFull(target, instrumentId);
    }

    /// Fraction of a position of that size that the cap leaves room for.
    function _room(uint256 instrumentId, int256 size) private view returns (uint256) {
        return AuctionMath.cappedFraction(
            clearinghouse.position(account, instrumentId).size,
            size,
            riskConfig.instrument(instrumentId).backstopCap
        );
    }

    /// Largest fraction that keeps every claim of the backstop within its token's cap.
    /// @return fraction WAD.
    /// @return full Where it is 0: a token that has no room.
    function _cappedByToken(bytes32 target) private view returns (uint256 fraction, uint256 full) {
        uint256[] memory ids = clearinghouse.assetsOf(target);
        fraction = AuctionMath.WAD;
        for (uint256 n; n < ids.length; ++n) {
            uint256 claim = clearinghouse.row(target, ids[n]).claim;
            if (claim == 0) continue;
            uint256 room = AuctionMath.cappedFraction(
                int256(uint256(clearinghouse.row(account, ids[n]).claim)),
                int256(claim),
                riskConfig.asset(ids[n]).matureCap
            );
            if (room == 0) full = ids[n];
            fraction = fraction.min(room);
        }
    }

    /* COLLATERAL */

    /// @notice Where the backstop's collateral of a chain is sold. Owner (governance) only.
    function setExecutor(uint32 eid, address executor_) external onlyOwner {
        executor[eid] = executor_;
        emit ExecutorSet(eid, executor_);
    }

    /// @inheritdoc IBackstop
    /// @dev Raises the release counter only; anyone may then send it (HubGateway.sendReleases). What is under regression stays.
    function releaseCollateral(uint256 assetId) external nonReentrant returns (uint128 amount) {
        uint32 eid = riskConfig.asset(assetId).eid;
        address to = executor[eid];
        if (to == address(0)) revert NoExecutor(eid);
        amount = uint128(_releasable(assetId));
        if (amount == 0) return 0;
        int256 before = marginEngine.accountHealth(account).equity;
        clearinghouse.releaseTo(account, assetId, to, amount);
        int256 value = before - marginEngine.accountHealth(account).equity;
        _released = (unsold() + uint256(value)).toUint128();
        _releasedUntil = uint64(block.timestamp + SALE_TIME);
        emit CollateralReleased(assetId, amount, to);
    }

    /// Tokens that its free shares are worth at the vault now: fewer than their number while something is missing there.
    function _releasable(uint256 assetId) private view returns (uint256) {
        IClearinghouse.Row memory row = clearinghouse.row(account, assetId);
        if (row.claim == 0) return 0;
        (int256 net, uint256 all, uint256 written, uint256 shortfall,) = clearinghouse.vaulted(assetId);
        uint256 held = uint256(FixedPointMathLib.max(net, int256(0))).zeroFloorSub(written).min(all);
        if (held == 0) return 0;
        uint256 regressed = uint256(row.credited).zeroFloorSub(row.target).mulDivUp(all, held);
        uint256 healthy = uint256(FixedPointMathLib.max(net, int256(0))).zeroFloorSub(written.max(shortfall));
        return uint256(row.claim).zeroFloorSub(regressed).mulDiv(healthy.min(all), all);
    }

    /// @inheritdoc IBackstop
    function unsold() public view returns (uint256) {
        // Fading, so that a crumb released now and then keeps nothing alive.
        return uint256(_released) * uint256(_releasedUntil).zeroFloorSub(block.timestamp) / SALE_TIME;
    }

    /* CASH */

    /// @inheritdoc IBackstop
    /// @dev Spare is what the backstop holds above the initial margin that an ordinary account would need.
    function sweep() external nonReentrant returns (uint256 amount) {
        clearinghouse.warm(account);
        IMarginEngine.Health memory health = _freshHealth(account);
        if (health.im <= 0) return 0;
        amount = uint256(health.im).min(clearinghouse.freeCash(account));
        if (amount == 0) return 0;
        clearinghouse.moveCash(account, fundAccount, amount);
    }

    /// @inheritdoc IBackstop
    /// @dev Leaves the fund's total assets as they are: they already count the backstop's deficit. Of negative cash that its claims cover they pay what
    /// these will bring in.
    function cover() external nonReentrant returns (uint256 amount) {
        IMarginEngine.Health memory health = _freshHealth(account);
        if (health.equity < 0) {
            amount = uint256(-health.equity).min(_fundCash());
            if (amount != 0) clearinghouse.moveCash(fundAccount, account, amount);
        }
        amount += _payDebt();
    }

    /// The backstop borrows nothing. Debt that came with an account the fund pays at once; what it can't, proceeds do.
    function _payDebt() private returns (uint256 amount) {
        int256 cash = clearinghouse.cash(account);
        if (cash >= 0) return 0;
        amount = uint256(-cash).min(_fundCash());
        if (amount != 0) clearinghouse.moveCash(fundAccount, account, amount);
    }

    function _freshHealth(bytes32 target) private view returns (IMarginEngine.Health memory health) {
        health = marginEngine.accountHealth(target);
        if (!health.fresh) revert PricesNotFresh(target);
    }

    function _fundCash() private view returns (uint256) {
        return clearinghouse.freeCash(fundAccount);
    }
}
