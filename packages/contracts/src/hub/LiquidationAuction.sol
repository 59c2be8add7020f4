// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {IClearinghouse} from "../interfaces/IClearinghouse.sol";
import {ILiquidationAuction} from "../interfaces/ILiquidation.sol";
import {IMarginEngine} from "../interfaces/IMarginEngine.sol";
import {IPriceOracle} from "../interfaces/IPriceOracle.sol";
import {IRiskConfig} from "../interfaces/IRiskConfig.sol";
import {Accounts} from "../libraries/Accounts.sol";
import {AuctionMath} from "./AuctionMath.sol";
import {CallerReward} from "./CallerReward.sol";

/// @notice Share auction of accounts whose maintenance margin is broken (DESIGN §4): bidders take a fraction of every claim,
/// position and of the cash at a falling share of equity, never past the buffer. An insolvent account comes with a payment
/// from the fund that rises from the deficit. Nothing here waits for a message.
contract LiquidationAuction is ILiquidationAuction, CallerReward, ReentrancyGuardTransient {
    using FixedPointMathLib for uint256;

    struct Parameters {
        AuctionMath.Curve curve;
        /// What the fund adds to the deficit at most, WAD share of the net notional.
        uint64 bonusShare;
        /// What the fund gets of what a bidder pays for a solvent account, WAD share, at most MAX_FEE.
        uint64 feeShare;
        /// Seconds over which the fund's payment rises to the deficit plus the bonus, > 0.
        uint32 riseSeconds;
        /// Seconds after its end within which an auction resumes its price when it opens again.
        uint32 reopenSeconds;
        /// WAD settlement units: no bid is smaller and no remainder either; a smaller remainder goes with the bid.
        uint128 dust;
        RewardTerms reward;
    }

    /// A price that moves with time (seconds): since when, and where it stopped. It runs while startedAt > 0.
    struct Run {
        uint40 startedAt;
        uint40 endedAt;
        /// Seconds that it had run at its last end.
        uint40 elapsed;
    }

    /// One slot. An auction is open while its fall runs, and marked insolvent while the rise of the fund's payment does.
    struct State {
        Run fall;
        Run rise;
    }

    /// What the account is offered for at this moment.
    struct Offer {
        /// Share of equity, WAD. 0 when insolvent.
        uint256 share;
        /// WAD cash that a bidder pays for the whole (solvent).
        uint256 fullPrice;
        /// WAD cash that the fund pays for the whole (insolvent).
        uint256 fromFund;
        /// Most that may be taken now, WAD.
        uint256 maxFraction;
        /// WAD settlement units.
        uint256 size;
    }

    /// @notice An open auction became insolvent, or stopped being so, with the price.
    event AuctionSolvencyChanged(bytes32 indexed account, bool insolvent);
    /// @notice The fund's part of a bid's payment, WAD.
    event FeePaid(bytes32 indexed account, bytes32 indexed bidder, uint256 amount);

    error InvalidParameters();
    error NoAuction(bytes32 account);
    error NotLiquidatable(bytes32 account);
    /// What isn't under regression is worth nothing: the regression is booked, or disappears, first.
    error RegressionPending(bytes32 account);
    error NotCured(bytes32 account);
    error PricesNotFresh(bytes32 account);
    error InvalidBidder(bytes32 bidder);
    error NotController(bytes32 bidder, address caller);
    /// The fund has nothing left to pay with (insolvent), or less is missing than the smallest fraction (solvent).
    error NothingToTake(bytes32 account);
    error BidTooSmall(uint256 taken, uint256 maxFraction);
    error PaymentTooHigh(uint256 payment, uint256 maxPayment);
    error BidderUnsafe(bytes32 bidder, int256 im);

    IClearinghouse public immutable clearinghouse;
    IMarginEngine public immutable marginEngine;
    IPriceOracle public immutable oracle;
    IRiskConfig public immutable riskConfig;
    bytes32 public immutable fundAccount;
    bytes32 public immutable backstopAccount;

    /// @notice Far below the buffer: whoever is liquidated to it stays healthy after the fee.
    uint256 public constant MAX_FEE = 0.05e18;

    uint256 public immutable bonusShare;
    uint256 public immutable feeShare;
    uint256 public immutable riseSeconds;
    uint256 public immutable reopenSeconds;
    uint256 public immutable dust;
    uint64 private immutable _startShare;
    uint64 private immutable _fastFloor;
    uint64 private immutable _slowFloor;
    uint32 private immutable _fastSeconds;
    uint32 private immutable _slowSeconds;

    /// @inheritdoc ILiquidationAuction
    uint256 public insolventCount;
    mapping(bytes32 account => State) private _states;

    constructor(
        IClearinghouse clearinghouse_,
        IMarginEngine marginEngine_,
        IPriceOracle oracle_,
        IRiskConfig riskConfig_,
        address fund,
        address backstop,
        Parameters memory parameters
    ) CallerReward(parameters.reward) {
        if (!AuctionMath.isValid(parameters.curve) || parameters.riseSeconds == 0) {
            revert InvalidParameters();
        }
        if (parameters.bonusShare > AuctionMath.WAD || parameters.feeShare > MAX_FEE) {
            revert InvalidParameters();
        }
        clearinghouse = clearinghouse_;
        marginEngine = marginEngine_;
        oracle = oracle_;
        riskConfig = riskConfig_;
        fundAccount = Accounts.main(fund);
        backstopAccount = Accounts.main(backstop);
        bonusShare = parameters.bonusShare;
        feeShare = parameters.feeShare;
        riseSeconds = parameters.riseSeconds;
        reopenSeconds = parameters.reopenSeconds;
        dust = parameters.dust;
        _startShare = parameters.curve.startShare;
        _fastFloor = parameters.curve.fastFloor;
        _slowFloor = parameters.curve.slowFloor;
        _fastSeconds = parameters.curve.fastSeconds;
        _slowSeconds = parameters.curve.slowSeconds;
    }

    /* OPEN AND END */

    /// @inheritdoc ILiquidationAuction
    /// @dev Accounts that are healthy or exempt are skipped: a bundle never reverts because another landed first. Open auctions are
    /// brought to their account's present state instead. An old price stops nothing: its interval has widened with age, and
    /// MM < 0 at the favourable end of it.
    function updateAndStart(bytes calldata report, bytes32[] calldata accounts)
        external
        nonReentrant
        returns (uint256 started)
    {
        if (report.length != 0) oracle.update(report);
        for (uint256 i; i < accounts.length; ++i) {
            bytes32 account = accounts[i];
            if (_isExempt(account)) continue;
            IMarginEngine.Valuation memory v = _value(account);
            if (_isOpen(account)) {
                _sync(account, v);
            } else if (v.account.mm < 0) {
                _open(account, v);
                ++started;
            }
        }
    }

    /// @inheritdoc ILiquidationAuction
    function end(bytes32 account) external nonReentrant {
        IMarginEngine.Valuation memory v = _openValue(account);
        if (v.account.mm < 0) revert NotCured(account);
        _sync(account, v);
    }

    /// @inheritdoc ILiquidationAuction
    function sync(bytes32 account) external nonReentrant {
        _sync(account, _openValue(account));
    }

    /* BID */

    /// @inheritdoc ILiquidationAuction
    /// @dev The bid may come with a report: send `oracle.update` first in the same transaction (multicall) or `updateAndStart`.
    function bid(bytes32 account, bytes32 bidder, uint256 fraction, uint256 maxPayment)
        external
        nonReentrant
        returns (uint256 taken, uint256 payment, uint256 fromFund)
    {
        if (bidder == account || _isExempt(bidder)) revert InvalidBidder(bidder);
        if (!clearinghouse.isController(bidder, msg.sender)) revert NotController(bidder, msg.sender);
        IMarginEngine.Valuation memory v = _openValue(account);
        uint256 bufferBps = _bufferBps();
        {
            if (v.account.mm >= 0) revert NotLiquidatable(account);
            if (v.offered.equity <= 0) {
                if (v.impaired) revert RegressionPending(account);
                if (!v.account.fresh) revert PricesNotFresh(account);
            }
            // What is old in what it takes over counts against its margin below; what it had must be known.
            if (!v.account.fresh) _requireFresh(bidder, marginEngine.isFresh(bidder));
            Offer memory offer = _offer(account, v, bufferBps);
            taken = _fractionTaken(account, offer, fraction);
            payment = AuctionMath.payment(offer.fullPrice, taken);
            fromFund = offer.fromFund.fullMulDiv(taken, AuctionMath.WAD);
        }
        if (payment > maxPayment) revert PaymentTooHigh(payment, maxPayment);

        // The fund pays first, so that the bidder's margin is judged with what it was paid.
        if (fromFund != 0) clearinghouse.moveCash(fundAccount, bidder, fromFund);
        _transfer(account, bidder, taken, payment, v.cash < 0);

        IMarginEngine.Health memory after_ = marginEngine.accountHealth(bidder);
        if (v.account.fresh) _requireFresh(bidder, after_.fresh);
        if (after_.im < 0) revert BidderUnsafe(bidder, after_.im);

        IMarginEngine.Health memory left = marginEngine.accountHealth(account);
        emit Bid(
            account,
            bidder,
            taken,
            payment,
            fromFund,
            v.offered.equity,
            AuctionMath.bufferMargin(v.account.equity, v.account.mm, bufferBps),
            AuctionMath.bufferMargin(left.equity, left.mm, bufferBps)
        );
        // What isn't offered is still worth what it was.
        _sync(
            account,
            left.mm,
            left.equity <= v.account.equity - v.offered.equity,
            v.empty || taken == AuctionMath.WAD
        );
    }

    /* VIEWS */

    /// @inheritdoc ILiquidationAuction
    function quote(bytes32 account)
        external
        view
        returns (uint256 share, uint256 fromFund, uint256 maxFraction)
    {
        if (!_isOpen(account)) return (0, 0, 0);
        IMarginEngine.Valuation memory v = _value(account);
        if (v.account.mm >= 0) return (0, 0, 0);
        if (v.offered.equity <= 0 && (v.impaired || !v.account.fresh)) return (0, 0, 0);
        Offer memory offer = _offer(account, v, _bufferBps());
        return (offer.share, offer.fromFund, offer.maxFraction);
    }

    /// @inheritdoc ILiquidationAuction
    function auction(bytes32 account) external view returns (Auction memory) {
        State memory state = _states[account];
        return Auction({
            startedAt: state.fall.startedAt, endedAt: state.fall.endedAt, insolvent: state.rise.startedAt != 0
        });
    }

    /// @notice Price curve as a share of equity (WAD), `elapsed` seconds after opening.
    function shareAt(uint256 elapsed) public view returns (uint256) {
        return AuctionMath.shareAt(
            AuctionMath.Curve(_startShare, _fastFloor, _slowFloor, _fastSeconds, _slowSeconds), elapsed
        );
    }

    /* INTERNAL */

    /// Neither the fund nor its own book is liquidated, and neither bids.
    function _isExempt(bytes32 account) private view returns (bool) {
        return account == fundAccount || account == backstopAccount;
    }

    function _bufferBps() private view returns (uint256) {
        return riskConfig.global().bufferBps;
    }

    function _value(bytes32 account) private view returns (IMarginEngine.Valuation memory) {
        return marginEngine.valuation(account);
    }

    function _isOpen(bytes32 account) private view returns (bool) {
        return _states[account].fall.startedAt != 0;
    }

    function _openValue(bytes32 account) private view returns (IMarginEngine.Valuation memory) {
        if (!_isOpen(account)) revert NoAuction(account);
        return _value(account);
    }

    function _requireFresh(bytes32 bidder, bool fresh) private pure {
        if (!fresh) revert PricesNotFresh(bidder);
    }

    function _open(bytes32 account, IMarginEngine.Valuation memory v) private {
        State memory state = _states[account];
        bool resumes = _run(state.fall);
        bool insolvent = v.offered.equity <= 0;
        if (insolvent) _setInsolvent(state, true);
        _states[account] = state;
        emit AuctionStarted(account, state.fall.startedAt, v.account.equity, v.account.mm, insolvent);
        if (!resumes) _reward(clearinghouse, oracle, account, v.offered.equity);
    }

    /// Ends the auction of a healthy or empty account (both have mm >= 0), else keeps its mark of insolvency true.
    function _sync(bytes32 account, IMarginEngine.Valuation memory v) private {
        _sync(account, v.account.mm, v.offered.equity <= 0, v.empty);
    }

    function _sync(bytes32 account, int256 mm, bool insolvent, bool empty) private {
        State memory state = _states[account];
        bool ended = mm >= 0;
        if (ended) insolvent = false;
        bool turned = insolvent != (state.rise.startedAt != 0);
        if (!turned && !ended) return;
        if (turned) _setInsolvent(state, insolvent);
        if (ended) _stop(state.fall);
        _states[account] = state;
        if (ended) emit AuctionEnded(account, empty);
        else emit AuctionSolvencyChanged(account, insolvent);
    }

    function _setInsolvent(State memory state, bool insolvent) private {
        if (insolvent) _run(state.rise);
        else _stop(state.rise);
        insolventCount = insolvent ? insolventCount + 1 : insolventCount - 1;
    }

    /// Within `reopenSeconds` of its end a price goes on where it stopped: nobody moves it back by curing for a moment.
    function _run(Run memory run) private view returns (bool resumes) {
        resumes = run.endedAt != 0 && block.timestamp - run.endedAt <= reopenSeconds;
        run.startedAt = uint40(block.timestamp) - (resumes ? run.elapsed : 0);
    }

    function _stop(Run memory run) private view {
        run.endedAt = uint40(block.timestamp);
        run.elapsed = uint40(block.timestamp) - run.startedAt;
        run.startedAt = 0;
    }

    /// The fund's fee comes out of the payment. Whoever started the auction is paid out of the rest; before it, if that will be swallowed by
    /// the account's debt. So is the fee, before the bidder takes the debt over; else the cash that comes along pays it, too.
    function _transfer(bytes32 account, bytes32 bidder, uint256 taken, uint256 payment, bool owes) private {
        uint256 fee = payment - AuctionMath.afterFee(payment, feeShare);
        payment -= fee;
        uint256 paid;
        if (owes) {
            _payFee(account, bidder, fee);
            paid = _payReward(clearinghouse, account, bidder, payment);
        }
        clearinghouse.transferFraction(account, bidder, taken, payment - paid);
        if (!owes) _payFee(account, bidder, fee);
        if (payment != 0 && !owes) _payReward(clearinghouse, account, account, type(uint256).max);
    }

    function _payFee(bytes32 account, bytes32 bidder, uint256 fee) private {
        if (fee == 0) return;
        clearinghouse.moveCash(bidder, fundAccount, fee);
        emit FeePaid(account, bidder, fee);
    }

    function _offer(bytes32 account, IMarginEngine.Valuation memory v, uint256 bufferBps)
        private
        view
        returns (Offer memory offer)
    {
        State memory state = _states[account];
        IMarginEngine.Health memory offered = v.offered;
        offer.size = AuctionMath.accountSize(offered.notional, offered.equity, v.cash);
        if (offered.equity > 0) {
            offer.share = shareAt(block.timestamp - state.fall.startedAt);
            offer.fullPrice = AuctionMath.fullPrice(uint256(offered.equity), offer.share);
            uint256 left = AuctionMath.afterFee(offer.fullPrice, feeShare);
            offer.maxFraction = AuctionMath.solventFraction(v, left, bufferBps, offer.size, dust);
        } else {
            offer.fromFund = AuctionMath.insolventPrice(
                uint256(-offered.equity),
                offered.notional,
                bonusShare,
                state.rise.startedAt == 0 ? 0 : block.timestamp - state.rise.startedAt,
                riseSeconds
            );
            offer.maxFraction =
                AuctionMath.fundedFraction(offer.fromFund, clearinghouse.freeCash(fundAccount));
        }
    }

    /// The bidder's fraction within the offer.
    function _fractionTaken(bytes32 account, Offer memory offer, uint256 fraction)
        private
        view
        returns (uint256 taken)
    {
        if (offer.maxFraction == 0) revert NothingToTake(account);
        taken = AuctionMath.takenFraction(fraction, offer.maxFraction, offer.size, dust);
        if (taken == 0) revert BidTooSmall(fraction, offer.maxFraction);
    }
}
