// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Test} from "forge-std/Test.sol";
import {ICollateralVault} from "../../src/interfaces/ICollateralVault.sol";
import {CollateralVault} from "../../src/spoke/CollateralVault.sol";
import {PayoutQueue} from "../../src/spoke/PayoutQueue.sol";
import {UnrulyToken} from "./Tokens.sol";

/// @notice An honest hub that releases what is funded, an adversary with any amount of capital who cycles it through the vault, splits it, lets
/// its own payouts fail and fetches them when it likes, a guardian, and a victim who withdraws now and then.
contract CyclingHandler is Test {
    struct Withdrawal {
        address recipient;
        uint256 amount;
        uint256 at;
        /// When the vault says that it may leave at the latest.
        uint256 due;
        /// All that lay there when it arrived, over the rate of its lane.
        uint256 bound;
    }

    uint256 public constant VICTIM = 0;
    uint96 public constant CAP = 10_000e6;
    uint96 public constant RATE = 1e6;
    uint96 public constant SMALL_CAP = 1000e6;
    uint96 public constant SMALL_RATE = 0.1e6;
    uint256 private constant MOST_WITHDRAWALS = 12;

    CollateralVault public immutable vault;
    UnrulyToken public immutable token;
    uint256 public immutable startedAt;
    uint256 public deposited;
    Withdrawal[] private _withdrawals;
    mapping(uint256 who => uint256) public credit;
    mapping(uint256 who => mapping(address recipient => uint128)) private _released;
    uint64 private _time;

    constructor() {
        token = new UnrulyToken();
        vault = new CollateralVault(address(this), address(this), 1, "network", ICollateralVault(address(0)));
        vault.setListed(address(token), true);
        token.approve(address(vault), type(uint256).max);
        for (uint256 who; who < 4; ++who) {
            _deposit(who, 50_000e6);
        }
        vault.setLimits(
            address(token), PayoutQueue.Limit(CAP, RATE), PayoutQueue.Limit(SMALL_CAP, SMALL_RATE)
        );
        startedAt = block.timestamp;
        deposited = 0;
    }

    function account(uint256 who) public pure returns (bytes32) {
        return bytes32(bytes20(address(uint160(0x10 + who))));
    }

    function withdrawals() external view returns (Withdrawal[] memory) {
        return _withdrawals;
    }

    /* THE ADVERSARY */

    function deposit(uint256 who, uint256 amount) external {
        _deposit(_adversary(who), bound(amount, 1, 100_000e6));
    }

    /// @dev Everything it has, at once, to any of its addresses.
    function cycle(uint256 who, uint256 r, uint256 parts) external {
        who = _adversary(who);
        parts = bound(parts, 1, 20);
        uint256 part = credit[who] / parts;
        for (uint256 i; i < parts && part != 0; ++i) {
            _release(who, _recipient(r % 8 + i), part);
        }
    }

    function split(uint256 who, uint256 r) external {
        who = _adversary(who);
        for (uint256 i; i < 10 && credit[who] >= SMALL_CAP / 10; ++i) {
            _release(who, _recipient(r % 8 + i), SMALL_CAP / 10);
        }
    }

    function fetch(uint256 who, uint256 r) external {
        vault.pay(account(_adversary(who)), address(token), _recipient(r));
    }

    function misbehave(uint256 r, uint8 manner) external {
        token.setManner(_recipient(r), UnrulyToken.Manner(manner % 3));
    }

    /* OTHERS */

    function halt() external {
        if (block.timestamp >= vault.nextHaltAt()) vault.halt();
    }

    function pass(uint256 time) external {
        vm.warp(block.timestamp + bound(time, 1, 12 hours));
    }

    function withdraw(uint256 amount, bool small) external {
        uint256 most = small ? SMALL_CAP / 10 : 20_000e6;
        if (_withdrawals.length == MOST_WITHDRAWALS || credit[VICTIM] < most) return;
        amount = bound(amount, small ? 1 : SMALL_CAP / 10 + 1, most);
        address recipient = address(uint160(0x2000 + _withdrawals.length));
        (uint128 totalIn, uint128 totalOut,) = vault.totals(address(token));
        _release(VICTIM, recipient, amount);
        (uint256 waiting, uint256 due) = vault.queueOf(account(VICTIM), address(token), recipient);
        _withdrawals.push(
            Withdrawal({
                recipient: recipient,
                amount: amount,
                at: block.timestamp,
                due: waiting == 0 ? block.timestamp : due,
                bound: uint256(totalIn - totalOut) / (small ? SMALL_RATE : RATE) + 1
            })
        );
    }

    /* HELPERS */

    function _deposit(uint256 who, uint256 amount) private {
        token.mint(address(this), amount);
        vault.deposit(account(who), address(token), amount);
        credit[who] += amount;
        deposited += amount;
    }

    function _release(uint256 who, address recipient, uint256 amount) private {
        credit[who] -= amount;
        _released[who][recipient] += uint128(amount);
        vault.receiveRelease(account(who), address(token), recipient, _released[who][recipient], 0, ++_time);
    }

    function _adversary(uint256 seed) private pure returns (uint256) {
        return 1 + seed % 3;
    }

    function _recipient(uint256 seed) private pure returns (address) {
        return address(uint160(0x1000 + seed % 8));
    }
}

/// @notice DESIGN §6.10: under adversarial cycling a funded release is paid within bounded time.
contract PayoutInvariantsTest is Test {
    CyclingHandler private handler;
    CollateralVault private vault;
    UnrulyToken private token;

    function setUp() public {
        handler = new CyclingHandler();
        vault = handler.vault();
        token = handler.token();
        targetContract(address(handler));
    }

    function invariant_a_funded_release_is_paid_in_bounded_time() public {
        CyclingHandler.Withdrawal[] memory all = handler.withdrawals();
        bytes32 account = handler.account(handler.VICTIM());
        for (uint256 i; i < all.length; ++i) {
            assertLe(all[i].due, all[i].at + all[i].bound, "at most what lay there, at the lane's rate");
            if (block.timestamp < all[i].due || block.timestamp < vault.haltedUntil()) continue;
            vault.pay(account, address(token), all[i].recipient);
            assertEq(token.balanceOf(all[i].recipient), all[i].amount, "paid when it was due");
        }
    }

    function invariant_net_outflow_is_limited() public view {
        (, uint128 totalOut,) = vault.totals(address(token));
        uint256 elapsed = block.timestamp - handler.startedAt();
        uint256 buckets = uint256(handler.CAP()) + handler.SMALL_CAP();
        uint256 refilled = (uint256(handler.RATE()) + handler.SMALL_RATE()) * elapsed;
        assertLe(totalOut, buckets + refilled + handler.deposited());
    }

    /// @dev However it went: once everybody lets payouts through, all that was released can leave.
    function afterInvariant() public {
        vm.warp(block.timestamp + 365 days);
        CyclingHandler.Withdrawal[] memory all = handler.withdrawals();
        for (uint256 i; i < all.length; ++i) {
            vault.pay(handler.account(0), address(token), all[i].recipient);
            assertEq(token.balanceOf(all[i].recipient), all[i].amount);
        }
        for (uint256 r; r < 8; ++r) {
            address recipient = address(uint160(0x1000 + r));
            token.setManner(recipient, UnrulyToken.Manner.Good);
            for (uint256 who = 1; who < 4; ++who) {
                // What followed while a part still waited takes two more turns.
                for (uint256 turn; turn < 3; ++turn) {
                    vault.pay(handler.account(who), address(token), recipient);
                    vm.warp(block.timestamp + 365 days);
                }
                (uint128 released,) = vault.released(handler.account(who), address(token), recipient);
                assertEq(vault.paidOut(handler.account(who), address(token), recipient), released);
            }
        }
    }
}
