// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {SafeCastLib} from "solady/utils/SafeCastLib.sol";
import {ICollateralVault} from "../interfaces/ICollateralVault.sol";
import {ISpokeGateway} from "../interfaces/IGateways.sol";
import {IVenue, IVenueGateway} from "../interfaces/IVenue.sol";
import {VenueRegistry} from "./VenueRegistry.sol";

/// @title VenueGateway
/// @notice One venue's side of the accounts that share collateral with it. An allocation is a release whose recipient is this contract; a return
/// is a deposit. The venue gets tokens and no promise, so it can cost an account what that has allocated, and nobody else anything.
/// @dev What a vault has paid for whom is the vault's own counter, so nothing has to be told here when it pays.
contract VenueGateway is IVenueGateway, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;
    using SafeCastLib for uint256;

    /// @dev Of one account at one vault.
    struct Allocation {
        /// Of the vault's counter, what has reached the venue or gone back.
        uint128 settled;
        /// Seconds; 0 while nothing is refused.
        uint64 refusedAt;
    }

    error UnknownVaultEpoch(uint32 epoch);
    error NothingPending(bytes32 account, address token);
    error OnlyVenue(address caller);
    error OnlySelf(address caller);
    error ZeroAmount();
    /// @notice Too little is left for the venue's share: to be tried again with more.
    error InsufficientGas(uint256 left);

    /// @notice Seconds from the first refusal until an allocation goes back.
    uint256 public constant PATIENCE = 24 hours;
    /// @notice Gas of the transfer and of what the venue does with it.
    uint256 public constant VENUE_GAS = 500_000;
    /// @dev For what follows a refusal, a deposit included.
    uint256 private constant RESERVE = 300_000;

    VenueRegistry public immutable registry;
    IVenue public immutable venue;
    ISpokeGateway public immutable spokeGateway;

    /// @inheritdoc IVenueGateway
    mapping(address token => uint256) public outstanding;
    mapping(uint32 epoch => mapping(bytes32 account => mapping(address token => Allocation))) public
        allocations;

    /// @dev Its registry makes it.
    constructor(IVenue venue_, ISpokeGateway spokeGateway_) {
        registry = VenueRegistry(msg.sender);
        venue = venue_;
        spokeGateway = spokeGateway_;
    }

    /* TO THE VENUE */

    /// @inheritdoc IVenueGateway
    function offer(uint32 epoch, bytes32 account, address token) external nonReentrant returns (bool taken) {
        uint256 amount = pending(epoch, account, token);
        if (amount == 0) revert NothingPending(account, token);
        Allocation storage allocation = allocations[epoch][account][token];
        // Nobody makes a venue refuse by sending too little.
        if (gasleft() * 63 / 64 < VENUE_GAS + RESERVE) revert InsufficientGas(gasleft());
        taken = outstanding[token] + amount <= registry.cap(address(this), token)
            && _handOver(account, token, amount);
        if (taken) {
            _settle(allocation, amount);
            outstanding[token] += amount;
            emit Allocated(epoch, account, token, amount);
        } else if (allocation.refusedAt == 0) {
            allocation.refusedAt = uint64(block.timestamp);
            emit Refused(epoch, account, token, amount);
        } else if (block.timestamp >= allocation.refusedAt + PATIENCE) {
            _settle(allocation, amount);
            _deposit(account, token, amount);
            emit Returned(epoch, account, token, amount);
        }
    }

    function _settle(Allocation storage allocation, uint256 amount) private {
        allocation.settled += amount.toUint128();
        allocation.refusedAt = 0;
    }

    /// @dev No return data is copied: it may be as long as the venue can afford.
    function _handOver(bytes32 account, address token, uint256 amount) private returns (bool) {
        try this.handOver{gas: VENUE_GAS}(account, token, amount) {
            return true;
        } catch {
            return false;
        }
    }

    /// @notice Only this contract: a call of its own, so that a refusal takes the tokens back.
    function handOver(bytes32 account, address token, uint256 amount) external {
        if (msg.sender != address(this)) revert OnlySelf(msg.sender);
        IERC20(token).safeTransfer(address(venue), amount);
        venue.onAllocation(account, token, amount);
    }

    /// @inheritdoc IVenueGateway
    function pending(uint32 epoch, bytes32 account, address token) public view returns (uint256) {
        ICollateralVault vault = spokeGateway.vaultOf(epoch);
        if (address(vault) == address(0)) revert UnknownVaultEpoch(epoch);
        return vault.paidOut(account, token, address(this)) - allocations[epoch][account][token].settled;
    }

    /* FROM THE VENUE */

    /// @inheritdoc IVenueGateway
    function giveBack(bytes32 account, address token, uint256 amount) external nonReentrant {
        if (msg.sender != address(venue)) revert OnlyVenue(msg.sender);
        if (amount == 0) revert ZeroAmount();
        outstanding[token] = FixedPointMathLib.zeroFloorSub(outstanding[token], amount);
        IERC20(token).safeTransferFrom(msg.sender, address(this), amount);
        _deposit(account, token, amount);
        emit GivenBack(account, token, amount);
    }

    /// @dev Into the newest vault, whichever paid: of the newest hub, where the account has the same owner.
    function _deposit(bytes32 account, address token, uint256 amount) private {
        ICollateralVault vault = spokeGateway.newestVault();
        IERC20(token).forceApprove(address(vault), amount);
        vault.deposit(account, token, amount);
    }
}
