// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {SafeCastLib} from "solady/utils/SafeCastLib.sol";
import {ICollateralVault} from "../interfaces/ICollateralVault.sol";
import {ISpokeGateway} from "../interfaces/IGateways.sol";
import {ILiquidationExecutor, ILotBuyer} from "../interfaces/ILiquidation.sol";
import {IPriceOracle} from "../interfaces/IPriceOracle.sol";

/// @title LiquidationExecutor
/// @notice Sells the backstop's collateral where it lies, in Dutch auctions bound to the oracle, and deposits the proceeds for
/// the backstop's account. It holds only what the vault has paid it.
contract LiquidationExecutor is ILiquidationExecutor, Ownable, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @notice The price falls in a straight line over `duration` seconds, from oracle * (1 + startPremium) to
    /// oracle * (1 - maxDiscount), bps; then the lot is over and may be opened anew.
    struct Terms {
        uint16 startPremium;
        uint16 maxDiscount;
        uint32 duration;
    }

    struct Lot {
        /// Left to sell, token decimals.
        uint128 amount;
        /// Seconds.
        uint64 startedAt;
    }

    struct Listing {
        uint16 feed;
        bool listed;
        /// 10^decimals of the token.
        uint128 unit;
    }

    event TermsSet(Terms terms);
    event ListingSet(address indexed token, uint16 feed);

    error InvalidTerms();
    error TokenNotListed(address token);
    /// @notice It has no decimals, or more than 18.
    error NoToken(address token);
    error NothingToSell(address token);
    error LotOpen(address token);
    error NoLot(address token);
    error PriceNotFresh(uint256 feed);
    error ProceedsAboveMax(uint256 proceeds, uint256 maxProceeds);

    uint256 private constant BPS = 10_000;
    uint256 private constant WAD = 1e18;

    IPriceOracle public immutable oracle;
    /// @notice Knows the chain's newest vault, which takes the proceeds, whichever paid what is sold.
    ISpokeGateway public immutable spokeGateway;
    /// @notice What is paid with. The unit of account is one of it, so its own feed plays no part.
    IERC20 public immutable settlementToken;
    /// @notice Account of the hub's Backstop, which the proceeds are deposited for.
    bytes32 public immutable backstopAccount;
    /// @dev 10^decimals of the settlement token.
    uint256 private immutable _settlementUnit;

    Terms public terms;
    mapping(address token => Lot) public lots;
    mapping(address token => Listing) public listings;

    constructor(
        address owner_,
        IPriceOracle oracle_,
        ISpokeGateway spokeGateway_,
        address settlementToken_,
        bytes32 backstopAccount_,
        Terms memory terms_
    ) Ownable(owner_) {
        oracle = oracle_;
        spokeGateway = spokeGateway_;
        settlementToken = IERC20(settlementToken_);
        backstopAccount = backstopAccount_;
        _settlementUnit = 10 ** IERC20Metadata(settlementToken_).decimals();
        _setTerms(terms_);
    }

    function setTerms(Terms calldata terms_) external onlyOwner {
        _setTerms(terms_);
    }

    /// @param feed Index of the oracle feed that prices the token.
    function setListing(address token, uint16 feed) external onlyOwner {
        if (token == address(settlementToken)) revert TokenNotListed(token);
        bytes memory answer = Address.functionStaticCall(token, abi.encodeCall(IERC20Metadata.decimals, ()));
        uint256 decimals = uint256(bytes32(answer));
        if (answer.length < 32 || decimals > 18) revert NoToken(token);
        listings[token] = Listing({feed: feed, listed: true, unit: uint128(10 ** decimals)});
        emit ListingSet(token, feed);
    }

    function _setTerms(Terms memory terms_) private {
        if (terms_.duration == 0 || terms_.maxDiscount >= BPS) revert InvalidTerms();
        terms = terms_;
        emit TermsSet(terms_);
    }

    /* AUCTION */

    /// @inheritdoc ILiquidationExecutor
    /// @dev A running lot can't be restarted, or its price would never fall; what arrives meanwhile waits for the next lot.
    function open(address token) external nonReentrant {
        if (!listings[token].listed) revert TokenNotListed(token);
        if (_isOpen(lots[token])) revert LotOpen(token);
        uint256 amount = IERC20(token).balanceOf(address(this));
        if (amount == 0) revert NothingToSell(token);
        lots[token] = Lot(SafeCastLib.toUint128(amount), uint64(block.timestamp));
        emit LotOpened(token, amount, uint64(block.timestamp));
    }

    /// @inheritdoc ILiquidationExecutor
    function buy(address token, uint256 amount, uint256 maxProceeds)
        external
        nonReentrant
        returns (uint256 bought, uint256 proceeds)
    {
        (bought, proceeds) = _take(token, amount, maxProceeds);
        _collect(token, bought, proceeds);
        IERC20(token).safeTransfer(msg.sender, bought);
    }

    /// @inheritdoc ILiquidationExecutor
    /// @dev Whatever the buyer does with the tokens meanwhile: without the proceeds in the vault nothing of it has happened.
    function buyWithCallback(address token, uint256 amount, uint256 maxProceeds, bytes calldata data)
        external
        nonReentrant
        returns (uint256 bought, uint256 proceeds)
    {
        (bought, proceeds) = _take(token, amount, maxProceeds);
        IERC20(token).safeTransfer(msg.sender, bought);
        ILotBuyer(msg.sender).onLotBought(token, bought, proceeds, data);
        _collect(token, bought, proceeds);
    }

    function _take(address token, uint256 amount, uint256 maxProceeds)
        private
        returns (uint256 bought, uint256 proceeds)
    {
        Lot storage lot = lots[token];
        bought = FixedPointMathLib.min(amount, lot.amount);
        proceeds = _quote(token, bought);
        if (bought == 0) revert NothingToSell(token);
        if (proceeds > maxProceeds) revert ProceedsAboveMax(proceeds, maxProceeds);
        lot.amount -= uint128(bought);
    }

    function _collect(address token, uint256 bought, uint256 proceeds) private {
        settlementToken.safeTransferFrom(msg.sender, address(this), proceeds);
        ICollateralVault vault = spokeGateway.vault();
        settlementToken.forceApprove(address(vault), proceeds);
        vault.deposit(backstopAccount, address(settlementToken), proceeds);
        emit LotSold(token, msg.sender, bought, proceeds);
    }

    /// @inheritdoc ILiquidationExecutor
    function quote(address token, uint256 amount) external view returns (uint256 proceeds) {
        return _quote(token, amount);
    }

    function _isOpen(Lot memory lot) private view returns (bool) {
        return lot.amount != 0 && block.timestamp <= lot.startedAt + terms.duration;
    }

    /// @dev amount * oracle * (1 + startPremium - (startPremium + maxDiscount) * elapsed / duration), rounded up at each step.
    function _quote(address token, uint256 amount) private view returns (uint256) {
        Lot memory lot = lots[token];
        if (!_isOpen(lot)) revert NoLot(token);
        Listing memory listing = listings[token];
        IPriceOracle.Price memory price = oracle.price(listing.feed);
        if (!price.fresh) revert PriceNotFresh(listing.feed);
        // The seller may wait, so an unconfirmed jump counts only upwards.
        uint256 mid = FixedPointMathLib.max(price.price, price.parked);

        Terms memory t = terms;
        uint256 fall = (uint256(t.startPremium) + t.maxDiscount) * (block.timestamp - lot.startedAt);
        uint256 share = (BPS + t.startPremium) * WAD - (fall * WAD) / t.duration;
        uint256 priceNow = FixedPointMathLib.fullMulDivUp(mid, share, BPS * WAD);
        return FixedPointMathLib.fullMulDivUp(amount * _settlementUnit, priceNow, WAD * listing.unit);
    }
}
