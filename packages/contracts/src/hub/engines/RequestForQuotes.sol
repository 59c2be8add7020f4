// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IClearinghouse} from "../../interfaces/IClearinghouse.sol";
import {ILiquidationAuction} from "../../interfaces/ILiquidation.sol";
import {IMarginEngine} from "../../interfaces/IMarginEngine.sol";
import {IRiskConfig} from "../../interfaces/IRiskConfig.sol";
import {AccountSignatures} from "../AccountSignatures.sol";
import {AuctionMath} from "../AuctionMath.sol";
import {LedgerClient} from "../LedgerClient.sol";
import {LiquidationEngine} from "./LiquidationEngine.sol";

/// @title RequestForQuotes
/// @notice Asks for signed quotes in a short window and sells to the best: for books that few can price, options say. A quote is firm once it is
/// here. Whoever quoted and can't pay when it is time has cost the window, no more: the auction of the account was open all along.
contract RequestForQuotes is LiquidationEngine, AccountSignatures {
    struct Quote {
        bytes32 account;
        bytes32 bidder;
        /// Most that it takes, WAD.
        uint256 fraction;
        /// WAD share of equity that it pays.
        uint256 share;
        /// Most cash (WAD) that it pays, whatever equity has become.
        uint256 maxPayment;
        /// Seconds; last second in which it may be filled.
        uint64 deadline;
        uint256 nonce;
    }

    struct Request {
        /// Seconds; quotes are taken before, the sale follows from then on. 0: none.
        uint64 closesAt;
        Quote best;
    }

    bytes32 public constant QUOTE_TYPEHASH = keccak256(
        "Quote(bytes32 account,bytes32 bidder,uint256 fraction,uint256 share,uint256 maxPayment,uint64 deadline,uint256 nonce)"
    );

    /// @notice Seconds in which quotes are taken.
    uint64 public immutable window;
    /// @notice Seconds after it in which the sale may happen.
    uint64 public immutable settleWindow;
    /// @notice Least share of equity (WAD) that is taken.
    uint256 public immutable floor;

    /// @notice Quotes that have been given here, or cancelled before.
    mapping(bytes32 quoteHash => bool) public used;
    mapping(bytes32 account => Request) private _requests;

    event Requested(bytes32 indexed account, uint64 closesAt);
    event Quoted(bytes32 indexed account, bytes32 indexed bidder, uint256 share, uint256 fraction);
    event Cancelled(bytes32 indexed quoteHash);
    /// @notice Nobody quoted, or the best could not be filled: `reason` is the revert data.
    event Unsold(bytes32 indexed account, bytes reason);

    error InvalidTerms();
    error AlreadyRequested(bytes32 account, uint64 closesAt);
    error NoRequest(bytes32 account);
    error WindowOpen(bytes32 account, uint64 closesAt);
    error WindowClosed(bytes32 account, uint64 closesAt);
    error QuoteUsed(bytes32 quoteHash);
    error QuoteTooShort(uint64 deadline, uint64 least);
    error ShareOutsideBounds(uint256 share, uint256 floor);
    error NotBetter(uint256 share, uint256 best);
    error CashMissing(bytes32 bidder, uint256 free, uint256 needed);
    error OnlyItself();

    constructor(
        IClearinghouse clearinghouse_,
        IMarginEngine marginEngine_,
        IRiskConfig riskConfig_,
        ILiquidationAuction auction_,
        bytes32 networkId_,
        uint256 dust_,
        uint256 floor_,
        uint64 window_,
        uint64 settleWindow_
    )
        LedgerClient(clearinghouse_)
        LiquidationEngine(auction_, marginEngine_, riskConfig_, dust_)
        AccountSignatures(networkId_)
    {
        if (floor_ == 0 || floor_ > AuctionMath.WAD || window_ == 0 || settleWindow_ == 0) revert InvalidTerms();
        floor = floor_;
        window = window_;
        settleWindow = settleWindow_;
    }

    /// @notice Opens the window for an account that may be sold now. Anyone; again once the last one is over.
    function request(bytes32 account) external nonReentrant {
        uint64 last = _requests[account].closesAt;
        if (last != 0 && block.timestamp < last + settleWindow) revert AlreadyRequested(account, last);
        _liquidatable(account);
        uint64 closesAt = uint64(block.timestamp) + window;
        delete _requests[account];
        _requests[account].closesAt = closesAt;
        emit Requested(account, closesAt);
    }

    /// @notice Brings a quote that a controller of its bidder has signed. Anyone. Only what is better than the best so far is taken.
    function quote(Quote calldata q, bytes calldata signature) external nonReentrant {
        Request storage r = _requests[q.account];
        uint64 closesAt = _closesAt(q.account);
        if (block.timestamp >= closesAt) revert WindowClosed(q.account, closesAt);
        if (q.deadline < closesAt + settleWindow) revert QuoteTooShort(q.deadline, closesAt + settleWindow);
        if (q.share < floor || q.share > AuctionMath.WAD) revert ShareOutsideBounds(q.share, floor);
        if (q.share <= r.best.share) revert NotBetter(q.share, r.best.share);
        bytes32 hash = quoteHash(q);
        if (used[hash]) revert QuoteUsed(hash);
        _requireSigned(q.bidder, hash, signature);
        uint256 free = clearinghouse.freeCash(q.bidder);
        if (free < q.maxPayment) revert CashMissing(q.bidder, free, q.maxPayment);
        used[hash] = true;
        r.best = q;
        emit Quoted(q.account, q.bidder, q.share, q.fraction);
    }

    /// @notice Sells to the best quote once the window has closed. Anyone. A quote that can't be filled ends the request.
    /// @return sold False: there was no quote, or it could not be filled.
    function settle(bytes32 account) external nonReentrant returns (bool sold) {
        uint64 closesAt = _closesAt(account);
        if (block.timestamp < closesAt) revert WindowOpen(account, closesAt);
        if (block.timestamp >= closesAt + settleWindow) revert WindowClosed(account, closesAt);
        Quote memory best = _requests[account].best;
        delete _requests[account];
        if (best.share == 0) {
            emit Unsold(account, "");
            return false;
        }
        try this.fill(best) {
            return true;
        } catch (bytes memory reason) {
            emit Unsold(account, reason);
        }
    }

    /// @notice Ends a quote that hasn't been brought here yet. Only a controller of its bidder.
    function cancel(Quote calldata q) external {
        if (!clearinghouse.isController(q.bidder, msg.sender)) revert NotController();
        bytes32 hash = quoteHash(q);
        used[hash] = true;
        emit Cancelled(hash);
    }

    /// @dev Apart, so that what a bidder lacks reverts no more than its own sale.
    function fill(Quote calldata q) external {
        if (msg.sender != address(this)) revert OnlyItself();
        IMarginEngine.Valuation memory v = _liquidatable(q.account);
        uint256 fullPrice = AuctionMath.fullPrice(uint256(v.offered.equity), q.share);
        _sell(q.account, q.bidder, v, q.fraction, fullPrice, q.maxPayment);
    }

    function requestOf(bytes32 account) external view returns (Request memory) {
        return _requests[account];
    }

    /// @notice EIP-712 digest: what is signed, and the key of `used`.
    function quoteHash(Quote calldata q) public view returns (bytes32) {
        return _digest(keccak256(abi.encode(QUOTE_TYPEHASH, q)));
    }

    function _closesAt(bytes32 account) private view returns (uint64 closesAt) {
        closesAt = _requests[account].closesAt;
        if (closesAt == 0) revert NoRequest(account);
    }

    function _name() internal pure override returns (string memory) {
        return "Clearspan Request For Quotes";
    }
}
