// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ICollateralVault} from "../interfaces/ICollateralVault.sol";

/// @title CollateralVault
/// @notice Custody on one chain. It knows deposits and payouts, and nothing of margin: what may leave is what the hub has
/// released, and a counter can be received twice, late or out of order without a token leaving twice.
contract CollateralVault is ICollateralVault, Ownable, ReentrancyGuardTransient {
    using SafeCast for uint256;
    using SafeERC20 for IERC20;

    /// @dev A counter of the hub's, with the hub's block time: one slot.
    struct Counter {
        uint128 value;
        uint64 time;
    }

    struct Sums {
        uint128 totalIn;
        uint128 totalOut;
    }

    event TokenListed(address indexed token, bool listed);
    event Sealed();

    error TokenNotListed(address token);
    error AmountMismatch(uint256 received, uint256 amount);
    error ZeroAmount();
    error VaultSealed();
    error OnlyGateway(address caller);
    error OnlySelf(address caller);
    /// @notice Too little gas is left for a whole payout: to be tried again with more.
    error InsufficientGas(uint256 left);

    /// @notice Gas of one token transfer out. A token or recipient that wants more doesn't get to starve the rest of a batch.
    uint256 public constant PAYOUT_GAS = 100_000;

    /// @dev For the counters before and after the transfer, with all slots fresh.
    uint256 private constant PAYOUT_RESERVE = 45_000;

    /// @notice The SpokeGateway of this chain.
    address public immutable gateway;
    /// @inheritdoc ICollateralVault
    uint32 public immutable epoch;
    /// @inheritdoc ICollateralVault
    bool public isSealed;

    /// @notice Deposits are taken only of listed tokens; payouts go on whatever is listed.
    mapping(address token => bool) public listed;
    /// @inheritdoc ICollateralVault
    mapping(bytes32 account => mapping(address token => uint128)) public depositedIn;
    /// @inheritdoc ICollateralVault
    mapping(bytes32 account => mapping(address token => mapping(address recipient => uint128))) public
        paidOut;
    /// @notice What the hub has credited of a token, ever, and the newest time it said so.
    mapping(address token => Counter) public creditedTotal;

    mapping(bytes32 account => mapping(address token => mapping(address recipient => Counter))) private
        _released;
    mapping(address token => Sums) private _sums;

    /// @param gateway_ May be deployed later, at this address.
    constructor(address owner_, address gateway_, uint32 epoch_) Ownable(owner_) {
        gateway = gateway_;
        epoch = epoch_;
    }

    function setListed(address token, bool isListed) external onlyOwner {
        listed[token] = isListed;
        emit TokenListed(token, isListed);
    }

    /// @notice Ends deposits for good, before a successor opens. Payouts go on.
    function seal() external onlyOwner {
        isSealed = true;
        emit Sealed();
    }

    /* IN */

    /// @inheritdoc ICollateralVault
    function deposit(bytes32 account, address token, uint256 amount)
        external
        nonReentrant
        returns (uint128 total)
    {
        if (isSealed) revert VaultSealed();
        if (!listed[token]) revert TokenNotListed(token);
        if (amount == 0) revert ZeroAmount();
        uint256 before = IERC20(token).balanceOf(address(this));
        IERC20(token).safeTransferFrom(msg.sender, address(this), amount);
        uint256 received = IERC20(token).balanceOf(address(this)) - before;
        if (received != amount) revert AmountMismatch(received, amount);

        uint128 value = amount.toUint128();
        total = depositedIn[account][token] + value;
        depositedIn[account][token] = total;
        _sums[token].totalIn += value;
        emit Deposited(account, token, msg.sender, amount, total);
    }

    /* OUT */

    /// @inheritdoc ICollateralVault
    function receiveRelease(
        bytes32 account,
        address token,
        address recipient,
        uint128 value,
        uint128 credited,
        uint64 time
    ) external nonReentrant {
        if (msg.sender != gateway) revert OnlyGateway(msg.sender);
        _takeNewest(creditedTotal[token], credited, time);
        if (_takeNewest(_released[account][token][recipient], value, time)) {
            emit ReleaseReceived(account, token, recipient, value, time);
        }
        _pay(account, token, recipient);
    }

    /// @inheritdoc ICollateralVault
    function pay(bytes32 account, address token, address recipient)
        external
        nonReentrant
        returns (uint256 amount)
    {
        return _pay(account, token, recipient);
    }

    /// @notice Only this contract: a call of its own, so that whatever the token does is undone and paid for by itself.
    function transferOut(IERC20 token, address recipient, uint256 amount) external {
        if (msg.sender != address(this)) revert OnlySelf(msg.sender);
        token.safeTransfer(recipient, amount);
    }

    /// @dev The newest time wins, ties by larger value. True if the counter changed.
    function _takeNewest(Counter storage counter, uint128 value, uint64 time) private returns (bool) {
        if (time < counter.time || (time == counter.time && value <= counter.value)) return false;
        counter.value = value;
        counter.time = time;
        return true;
    }

    /// @dev paidOut rises to `released` at most, and before the token moves.
    function _pay(bytes32 account, address token, address recipient) private returns (uint256) {
        uint128 paid = paidOut[account][token][recipient];
        uint128 owed = _released[account][token][recipient].value;
        Sums storage sums = _sums[token];
        // A hub that has credited more than this vault took in believes in a chain that no longer exists, or is forged.
        if (owed <= paid || sums.totalIn < creditedTotal[token].value) return 0;
        // The EVM gives a call 63/64 of what is left without a word, and the transfer would fail for that alone.
        if (gasleft() * 63 / 64 < PAYOUT_GAS + PAYOUT_RESERVE) revert InsufficientGas(gasleft());
        uint128 amount = owed - paid;
        paidOut[account][token][recipient] = owed;
        sums.totalOut += amount;
        // The caught reason is not copied: it may be as long as the callee could afford.
        try this.transferOut{gas: PAYOUT_GAS}(IERC20(token), recipient, amount) {
            emit PaidOut(account, token, recipient, amount, owed);
            return amount;
        } catch {
            paidOut[account][token][recipient] = paid;
            sums.totalOut -= amount;
            emit PayoutFailed(account, token, recipient, amount);
            return 0;
        }
    }

    /* VIEWS */

    /// @inheritdoc ICollateralVault
    function released(bytes32 account, address token, address recipient)
        external
        view
        returns (uint128 value, uint64 time)
    {
        Counter memory counter = _released[account][token][recipient];
        return (counter.value, counter.time);
    }

    /// @inheritdoc ICollateralVault
    function totals(address token)
        external
        view
        returns (uint128 totalIn, uint128 totalOut, uint128 shortfall)
    {
        Sums memory sums = _sums[token];
        (totalIn, totalOut) = (sums.totalIn, sums.totalOut);
        // A token that was never deposited isn't called: it may be no token.
        if (totalIn == 0) return (0, 0, 0);
        uint256 balance = IERC20(token).balanceOf(address(this));
        if (totalIn > totalOut + balance) shortfall = uint128(totalIn - totalOut - balance);
    }
}
