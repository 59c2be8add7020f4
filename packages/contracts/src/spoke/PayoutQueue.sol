// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {SafeCastLib} from "solady/utils/SafeCastLib.sol";

/// @title PayoutQueue
/// @notice When a payout may leave: in order of arrival, as fast as a bucket per token refills, deposits included. Small payouts have a
/// bucket and an order of their own. And a halt of three days in thirty.
/// @dev Nothing is walked. A lane is a line of token units: `queued` is its end, and everything before `admitted` may leave. Who arrives takes the
/// stretch from `queued` on; whether he comes for it, or his token lets him, moves nobody else.
abstract contract PayoutQueue is Ownable {
    using FixedPointMathLib for uint256;
    using SafeCastLib for uint256;

    /// @notice Token decimals: what may leave at once, and what more each second.
    struct Limit {
        uint96 cap;
        uint96 rate;
    }

    struct Lane {
        uint128 admitted;
        uint128 queued;
        uint96 cap;
        uint96 rate;
        /// Seconds.
        uint64 updatedAt;
    }

    /// @dev A stretch of a lane that is not admitted yet; none while `amount` is 0.
    struct Ticket {
        uint128 start;
        uint128 amount;
    }

    event LimitsSet(address indexed token, Limit large, Limit small);
    event PayoutQueued(
        bytes32 indexed account, address indexed token, address indexed recipient, uint256 amount
    );
    event Halted(uint256 until);
    event Resumed();

    error InvalidLimit();
    /// @notice What lies there could not leave within MAX_EXIT.
    error LimitTooTight(uint256 held);
    error HaltedRecently(uint256 nextAt);
    error NotHalted();

    /// @notice Of the small bucket: a payout of no more than that is a small one.
    uint256 public constant SMALL_PARTS = 10;
    /// @notice A bucket refills within it.
    uint256 public constant MAX_REFILL = 7 days;
    /// @notice No limit is set that would hold back what a vault has for longer.
    uint256 public constant MAX_EXIT = 30 days;
    uint256 public constant HALT = 72 hours;
    /// @notice From the start of one halt to that of the next.
    uint256 public constant HALT_INTERVAL = 30 days;

    uint256 internal constant LARGE = 0;
    uint256 internal constant SMALL = 1;

    /// @notice Seconds.
    uint48 public haltedUntil;
    uint48 public nextHaltAt;

    mapping(address token => Lane[2]) private _lanes;
    mapping(bytes32 key => Ticket[2]) private _tickets;

    /* LIMITS */

    /// @notice Limits a token's payouts; without limits everything leaves at once. They can be changed, not lifted.
    function setLimits(address token, Limit calldata large, Limit calldata small) external onlyOwner {
        uint256 held = _held(token);
        if (large.cap + uint256(large.rate) * MAX_EXIT < held) revert LimitTooTight(held);
        _setLimits(token, large, small);
    }

    function _setLimits(address token, Limit memory large, Limit memory small) internal {
        _setLimit(_lanes[token][LARGE], large);
        _setLimit(_lanes[token][SMALL], small);
        emit LimitsSet(token, large, small);
    }

    function _setLimit(Lane storage lane, Limit memory limit_) private {
        if (limit_.cap == 0 || limit_.cap > limit_.rate * MAX_REFILL) revert InvalidLimit();
        if (lane.cap == 0) (lane.admitted, lane.updatedAt) = (limit_.cap, uint64(block.timestamp));
        else _refill(lane, 0);
        (lane.cap, lane.rate) = (limit_.cap, limit_.rate);
    }

    /// @notice Zeros: none is set.
    function limits(address token) public view returns (Limit memory large, Limit memory small) {
        Lane[2] storage lanes = _lanes[token];
        large = Limit(lanes[LARGE].cap, lanes[LARGE].rate);
        small = Limit(lanes[SMALL].cap, lanes[SMALL].rate);
    }

    /// @dev What of a token lies there and may be paid, token decimals.
    function _held(address token) internal view virtual returns (uint256);

    /* LANES */

    /// @notice What of a payout waits for its turn, and when (seconds) all of that may leave at the latest.
    function queueOf(bytes32 account, address token, address recipient)
        external
        view
        returns (uint256 waiting, uint256 admittedAt)
    {
        Ticket[2] storage tickets = _tickets[_key(account, token, recipient)];
        for (uint256 i; i < 2; ++i) {
            Ticket memory ticket = tickets[i];
            if (ticket.amount == 0) continue;
            Lane memory lane = _lanes[token][i];
            waiting += ticket.amount;
            uint256 missing = uint256(ticket.start + ticket.amount).zeroFloorSub(lane.admitted);
            admittedAt = admittedAt.max(lane.updatedAt + missing.divUp(lane.rate));
        }
    }

    /// @dev A deposit lets as much leave again: only what leaves on balance is limited.
    function _refillBy(address token, uint256 amount) internal {
        Lane storage lane = _lanes[token][LARGE];
        if (lane.cap != 0) _refill(lane, amount);
    }

    function _refill(Lane storage lane, uint256 extra) private {
        uint256 admitted = lane.admitted + extra + uint256(lane.rate) * (block.timestamp - lane.updatedAt);
        lane.admitted = admitted.min(uint256(lane.queued) + lane.cap).toUint128();
        lane.updatedAt = uint64(block.timestamp);
    }

    /// @dev Queues what of `owed` has no place yet and admits what may leave.
    /// @param admitted Of the payout's counter, so far. @param owed Its counter. @param held Of the token.
    /// @return The new `admitted`, never less.
    function _admit(
        bytes32 account,
        address token,
        address recipient,
        uint256 admitted,
        uint256 owed,
        uint256 held
    ) internal returns (uint256) {
        Lane[2] storage lanes = _lanes[token];
        if (lanes[LARGE].cap == 0) return admitted.max(owed);
        Ticket[2] storage tickets = _tickets[_key(account, token, recipient)];
        uint256 waiting;
        for (uint256 i; i < 2; ++i) {
            _refill(lanes[i], 0);
            admitted += _advance(lanes[i], tickets[i]);
            waiting += tickets[i].amount;
        }
        // No more is queued than lies there: what a forged hub asked for would stand in everybody's way.
        uint256 fresh = owed.zeroFloorSub(admitted + waiting);
        fresh = fresh.min(held.zeroFloorSub(_backlog(lanes[LARGE]) + _backlog(lanes[SMALL])));
        uint256 which = fresh <= lanes[SMALL].cap / SMALL_PARTS ? SMALL : LARGE;
        // What follows while one of the same payout still waits takes its place after that has left.
        if (fresh == 0 || tickets[which].amount != 0) return admitted;
        Lane storage lane = lanes[which];
        uint128 start = lane.queued;
        lane.queued = (start + fresh).toUint128();
        if (lane.admitted >= lane.queued) return admitted + fresh;
        tickets[which] = Ticket(start, fresh.toUint128());
        emit PayoutQueued(account, token, recipient, fresh);
        return admitted + _advance(lane, tickets[which]);
    }

    function _advance(Lane storage lane, Ticket storage ticket) private returns (uint256 passed) {
        (uint128 start, uint128 amount) = (ticket.start, ticket.amount);
        if (amount == 0) return 0;
        passed = uint256(lane.admitted).zeroFloorSub(start).min(amount);
        if (passed != 0) (ticket.start, ticket.amount) = (start + uint128(passed), amount - uint128(passed));
    }

    function _backlog(Lane storage lane) private view returns (uint256) {
        return uint256(lane.queued).zeroFloorSub(lane.admitted);
    }

    function _key(bytes32 account, address token, address recipient) private pure returns (bytes32) {
        return keccak256(abi.encode(account, token, recipient));
    }

    /* HALT */

    /// @notice Nothing is paid for HALT; queues go on. Owner only, once in HALT_INTERVAL: governance lets its guardian do it.
    function halt() external onlyOwner {
        if (block.timestamp < nextHaltAt) revert HaltedRecently(nextHaltAt);
        haltedUntil = uint48(block.timestamp + HALT);
        nextHaltAt = uint48(block.timestamp + HALT_INTERVAL);
        emit Halted(haltedUntil);
    }

    /// @notice Ends a halt early.
    function resume() external onlyOwner {
        if (!_isHalted()) revert NotHalted();
        haltedUntil = uint48(block.timestamp);
        emit Resumed();
    }

    function _isHalted() internal view returns (bool) {
        return block.timestamp < haltedUntil;
    }
}
