// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {Nonces} from "@openzeppelin/contracts/utils/Nonces.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ICollateralVault} from "../interfaces/ICollateralVault.sol";
import {Accounts} from "../libraries/Accounts.sol";
import {SigningDomain} from "../libraries/SigningDomain.sol";
import {PayoutQueue} from "./PayoutQueue.sol";

/// @title CollateralVault
/// @notice Custody on one chain. It knows deposits and payouts, and nothing of margin: what may leave is what the hub has
/// released, and a counter can be received twice, late or out of order without a token leaving twice.
contract CollateralVault is ICollateralVault, PayoutQueue, Nonces, ReentrancyGuardTransient {
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

    /// @dev One slot.
    struct Payout {
        uint128 paid;
        /// Of the counter, what the queue has let pass.
        uint128 admitted;
    }

    event TokenListed(address indexed token, bool listed);
    event Sealed();

    error TokenNotListed(address token);
    error AmountMismatch(uint256 received, uint256 amount);
    error ZeroAmount();
    /// @notice Nobody owns the account.
    error NoOwner(bytes32 account);
    error DepositExpired(uint256 deadline);
    error BadSignature(address depositor);
    error InvalidRecipient(address to);
    error VaultSealed();
    error OnlyGateway(address caller);
    error OnlySelf(address caller);
    /// @notice Too little gas is left for a whole payout: to be tried again with more.
    error InsufficientGas(uint256 left);

    /// @notice Gas of one token transfer out. A token or recipient that wants more doesn't get to starve the rest of a batch.
    uint256 public constant PAYOUT_GAS = 100_000;

    /// @dev For the counters before and after the transfer, with all slots fresh.
    uint256 private constant PAYOUT_RESERVE = 45_000;

    /// @dev Of what a depositor signs.
    bytes32 private constant DEPOSIT_TYPEHASH = keccak256(
        "Deposit(address depositor,bytes32 account,address token,uint256 amount,uint256 nonce,uint256 deadline)"
    );

    /// @notice Salt of the signing domain: what is signed for one network means nothing in another.
    bytes32 public immutable networkId;
    /// @notice The SpokeGateway of this chain.
    address public immutable gateway;
    /// @inheritdoc ICollateralVault
    uint32 public immutable epoch;
    /// @notice The vault that this one replaces, or none: its limits and redirections count here until there are others.
    ICollateralVault public immutable predecessor;
    /// @inheritdoc ICollateralVault
    bool public isSealed;

    /// @notice Deposits are taken only of listed tokens; payouts go on whatever is listed.
    mapping(address token => bool) public listed;
    /// @inheritdoc ICollateralVault
    mapping(bytes32 account => mapping(address token => uint128)) public depositedIn;
    /// @notice What the hub has credited of a token, ever, and the newest time it said so.
    mapping(address token => Counter) public creditedTotal;

    mapping(bytes32 account => mapping(address token => mapping(address recipient => Counter))) private
        _released;
    mapping(bytes32 account => mapping(address token => mapping(address recipient => Payout))) private
        _payouts;
    mapping(address token => Sums) private _sums;
    mapping(address token => mapping(address recipient => address to)) private _redirects;

    /// @param gateway_ May be deployed later, at this address.
    constructor(
        address owner_,
        address gateway_,
        uint32 epoch_,
        bytes32 networkId_,
        ICollateralVault predecessor_
    ) Ownable(owner_) {
        gateway = gateway_;
        epoch = epoch_;
        networkId = networkId_;
        predecessor = predecessor_;
    }

    function setListed(address token, bool isListed) external onlyOwner {
        listed[token] = isListed;
        emit TokenListed(token, isListed);
        if (!isListed || address(predecessor) == address(0)) return;
        (Limit memory own,) = limits(token);
        (Limit memory large, Limit memory small) = PayoutQueue(address(predecessor)).limits(token);
        if (own.cap == 0 && large.cap != 0) _setLimits(token, large, small);
    }

    /// @notice Ends deposits for good, before a successor opens. Payouts go on.
    function seal() external onlyOwner {
        if (isSealed) revert VaultSealed();
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
        return _deposit(msg.sender, account, token, amount);
    }

    /// @inheritdoc ICollateralVault
    function depositWithPermit(bytes32 account, address token, uint256 amount, Permit calldata permit)
        external
        nonReentrant
        returns (uint128 total)
    {
        _usePermit(msg.sender, token, amount, permit);
        return _deposit(msg.sender, account, token, amount);
    }

    /// @inheritdoc ICollateralVault
    /// @dev A permit names no account, so that whoever sees one could choose it: the depositor signs for that too.
    function depositBySignature(SignedDeposit calldata d, bytes calldata signature, Permit calldata permit)
        external
        nonReentrant
        returns (uint128 total)
    {
        if (block.timestamp > d.deadline) revert DepositExpired(d.deadline);
        _useCheckedNonce(d.depositor, d.nonce);
        if (!SignatureChecker.isValidSignatureNowCalldata(d.depositor, depositHash(d), signature)) {
            revert BadSignature(d.depositor);
        }
        _usePermit(d.depositor, d.token, d.amount, permit);
        return _deposit(d.depositor, d.account, d.token, d.amount);
    }

    /// @inheritdoc ICollateralVault
    function depositHash(SignedDeposit calldata d) public view returns (bytes32) {
        return SigningDomain.digest(
            "Clearspan Vault",
            networkId,
            keccak256(
                abi.encode(DEPOSIT_TYPEHASH, d.depositor, d.account, d.token, d.amount, d.nonce, d.deadline)
            )
        );
    }

    /// @dev Anyone may have used the permit already, out of the pending transaction: the allowance is what counts. A token without
    /// permits changes nothing here, even one that answers to everything.
    function _usePermit(address from, address token, uint256 amount, Permit calldata permit) private {
        if (!listed[token]) revert TokenNotListed(token);
        try IERC20Permit(token)
            .permit(from, address(this), amount, permit.deadline, permit.v, permit.r, permit.s) {}
            catch {}
    }

    function _deposit(address from, bytes32 account, address token, uint256 amount)
        private
        returns (uint128 total)
    {
        if (isSealed) revert VaultSealed();
        if (!listed[token]) revert TokenNotListed(token);
        if (amount == 0) revert ZeroAmount();
        if (Accounts.owner(account) == address(0)) revert NoOwner(account);
        uint256 before = IERC20(token).balanceOf(address(this));
        IERC20(token).safeTransferFrom(from, address(this), amount);
        uint256 received = IERC20(token).balanceOf(address(this)) - before;
        if (received != amount) revert AmountMismatch(received, amount);

        uint128 value = amount.toUint128();
        total = depositedIn[account][token] + value;
        depositedIn[account][token] = total;
        _sums[token].totalIn += value;
        _refillBy(token, amount);
        emit Deposited(account, token, from, amount, total);
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

    /// @inheritdoc ICollateralVault
    function redirect(address token, address to) external {
        if (to == address(0) || to == address(this)) revert InvalidRecipient(to);
        _redirects[token][msg.sender] = to;
        emit Redirected(token, msg.sender, to);
    }

    /// @dev `paid` rises to `released` at most, and before the token moves.
    function _pay(bytes32 account, address token, address recipient) private returns (uint256) {
        Payout storage payout = _payouts[account][token][recipient];
        uint128 paid = payout.paid;
        uint128 owed = _released[account][token][recipient].value;
        Sums storage sums = _sums[token];
        // A hub that has credited more than this vault took in believes in a chain that no longer exists, or is forged.
        if (owed <= paid || sums.totalIn < creditedTotal[token].value) return 0;
        uint128 admitted = uint128(
            _admit(
                account, token, recipient, Math.max(payout.admitted, paid), owed, sums.totalIn - sums.totalOut
            )
        );
        payout.admitted = admitted;
        uint128 upTo = admitted < owed ? admitted : owed;
        if (upTo == paid || _isHalted()) return 0;
        address to = recipientOf(token, recipient);
        // The EVM gives a call 63/64 of what is left without a word, and the transfer would fail for that alone.
        if (gasleft() * 63 / 64 < PAYOUT_GAS + PAYOUT_RESERVE) revert InsufficientGas(gasleft());
        uint128 amount = upTo - paid;
        payout.paid = upTo;
        sums.totalOut += amount;
        // The caught reason is not copied: it may be as long as the callee could afford.
        try this.transferOut{gas: PAYOUT_GAS}(IERC20(token), to, amount) {
            emit PaidOut(account, token, recipient, amount, upTo);
            return amount;
        } catch {
            payout.paid = paid;
            sums.totalOut -= amount;
            emit PayoutFailed(account, token, recipient, amount);
            return 0;
        }
    }

    /* VIEWS */

    /// @inheritdoc ICollateralVault
    function recipientOf(address token, address recipient) public view returns (address to) {
        to = _redirects[token][recipient];
        if (to != address(0)) return to;
        return address(predecessor) == address(0) ? recipient : predecessor.recipientOf(token, recipient);
    }

    /// @inheritdoc ICollateralVault
    function paidOut(bytes32 account, address token, address recipient) external view returns (uint128) {
        return _payouts[account][token][recipient].paid;
    }

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

    function _held(address token) internal view override returns (uint256) {
        return _sums[token].totalIn - _sums[token].totalOut;
    }
}
