// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {IPriceOracle} from "../interfaces/IPriceOracle.sol";
import {IVenue} from "../interfaces/IVenue.sol";
import {Accounts} from "../libraries/Accounts.sol";
import {VenueGateway} from "../spoke/VenueGateway.sol";
import {VenueRegistry} from "../spoke/VenueRegistry.sol";

/// @title LendingVenue
/// @notice An example to copy: accounts lend what they allocate, whose collateral may lie on any other chain, to whoever pledges a token here. An
/// allocation opens a share of the pool; interest is its profit, a loan that its pledge no longer covers its loss; `close` gives it back.
/// @dev Whoever controls an account's owner address on this chain closes for it: a contract that isn't the same here as on the hub shouldn't allocate.
contract LendingVenue is IVenue {
    using FixedPointMathLib for uint256;
    using SafeERC20 for IERC20;

    struct Loan {
        /// Of the pledged token, and of the lent one at index 1.
        uint256 pledge;
        uint256 debt;
    }

    error OnlyGateway(address caller);
    error OtherToken(address token);
    error OnlyAccountOwner(bytes32 account);
    error NotCovered(uint256 debt, uint256 limit);
    error Covered(uint256 debt, uint256 limit);
    error PriceNotFresh();

    uint256 private constant WAD = 1e18;
    /// @dev WAD a second: 10 % a year.
    uint256 private constant RATE = 0.1e18 / uint256(365 days);
    /// @dev Of the pledge's worth, WAD: up to which one borrows, from which one is liquidated, and what the liquidator pays.
    uint256 private constant BORROW = 0.75e18;
    uint256 private constant LIQUIDATE = 0.85e18;
    uint256 private constant PRICE = 0.95e18;
    /// @dev Nobody's, so that the first who lends can't make the second's share round to nothing.
    uint256 private constant VIRTUAL = 1000;

    VenueGateway public immutable gateway;
    IERC20 public immutable lent;
    IERC20 public immutable pledged;
    IPriceOracle public immutable oracle;
    uint256 private immutable _feed;
    uint256 private immutable _scale;

    uint256 public totalShares = VIRTUAL;
    /// @notice Lent out at index 1, the index (WAD), its time (seconds), and what lies here to be lent: no gift is counted.
    uint256 public totalDebt;
    uint256 public index = WAD;
    uint256 public accruedAt = block.timestamp;
    uint256 public idle;
    mapping(bytes32 account => uint256) public shares;
    mapping(address borrower => Loan) public loans;

    /// @param feed Of the pledged token. @param scale 10^(18 + decimals of the pledged token - decimals of the lent one).
    constructor(
        VenueRegistry registry,
        IERC20 lent_,
        IERC20 pledged_,
        IPriceOracle oracle_,
        uint256 feed,
        uint256 scale
    ) {
        (lent, pledged, oracle, _feed, _scale) = (lent_, pledged_, oracle_, feed, scale);
        gateway = registry.open(this);
    }

    /// @inheritdoc IVenue
    function onAllocation(bytes32 account, address token, uint256 amount) external {
        if (msg.sender != address(gateway)) revert OnlyGateway(msg.sender);
        if (token != address(lent)) revert OtherToken(token);
        _accrue();
        uint256 minted = amount.fullMulDiv(totalShares, assets() + 1);
        shares[account] += minted;
        totalShares += minted;
        idle += amount;
    }

    /// @notice Gives an account back what its shares are worth, as far as it isn't lent out. Its owner only.
    function close(bytes32 account, uint256 share) external returns (uint256 amount) {
        if (msg.sender != Accounts.owner(account)) revert OnlyAccountOwner(account);
        _accrue();
        amount = share.fullMulDiv(assets() + 1, totalShares);
        shares[account] -= share;
        totalShares -= share;
        idle -= amount;
        lent.forceApprove(address(gateway), amount);
        gateway.giveBack(account, address(lent), amount);
    }

    /// @notice Of the lent token: what lies here, and what is owed.
    function assets() public view returns (uint256) {
        return idle + totalDebt.fullMulDiv(index, WAD);
    }

    function borrow(uint256 pledge, uint256 amount) external {
        _accrue();
        Loan storage loan = loans[msg.sender];
        uint256 more = amount.fullMulDivUp(WAD, index);
        (loan.pledge, loan.debt, totalDebt, idle) =
        (loan.pledge + pledge, loan.debt + more, totalDebt + more, idle - amount);
        (uint256 low,) = _worth(loan.pledge);
        uint256 debt = loan.debt.fullMulDivUp(index, WAD);
        if (debt > low.mulWad(BORROW)) revert NotCovered(debt, low.mulWad(BORROW));
        pledged.safeTransferFrom(msg.sender, address(this), pledge);
        lent.safeTransfer(msg.sender, amount);
    }

    /// @notice Ends a loan: whoever pays gets the pledge. Its borrower pays all of it, at any time; anyone else at most 95 % of the pledge's worth,
    /// once that hardly covers it. What is missing then the accounts that lent bear.
    function end(address borrower) external {
        _accrue();
        Loan memory loan = loans[borrower];
        uint256 payment = loan.debt.fullMulDivUp(index, WAD);
        if (msg.sender != borrower) {
            (uint256 low, uint256 high) = _worth(loan.pledge);
            if (payment <= high.mulWad(LIQUIDATE)) revert Covered(payment, high.mulWad(LIQUIDATE));
            payment = payment.min(low.mulWad(PRICE));
        }
        delete loans[borrower];
        (totalDebt, idle) = (totalDebt - loan.debt, idle + payment);
        lent.safeTransferFrom(msg.sender, address(this), payment);
        pledged.safeTransfer(msg.sender, loan.pledge);
    }

    /// @dev Both ends of the price's interval: to borrow is safe at the low one, to liquidate due at the high one.
    function _worth(uint256 pledge) private view returns (uint256 low, uint256 high) {
        IPriceOracle.Price memory p = oracle.price(_feed);
        if (!p.fresh || p.parked != 0) revert PriceNotFresh();
        uint256 mid = pledge.fullMulDiv(p.price, _scale);
        return (mid - mid.mulWad(p.confidence), mid + mid.mulWad(p.confidence));
    }

    function _accrue() private {
        index += index.mulWad(RATE * (block.timestamp - accruedAt));
        accruedAt = block.timestamp;
    }
}
