// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IHubGateway, ISpokeGateway} from "../../src/interfaces/IGateways.sol";
import {Accounts} from "../../src/libraries/Accounts.sol";
import {CounterMessages} from "../../src/libraries/CounterMessages.sol";
import {GatewayFixture} from "./GatewayFixture.sol";

/// @notice DESIGN §6.3 over LayerZero's real contracts and the real ledger: packets are executed in any order, some never, and
/// counters are sent as often as anyone likes. What the receiver holds is the newest value of what arrived; when one honest message
/// arrives at the end, it is what the owner holds.
contract CounterInvariantsTest is GatewayFixture {
    uint256 private constant ACCOUNTS = 2;

    Packet[] private _counters;
    Packet[] private _releases;
    /// @dev Packets are committed in nonce order, and executed in any.
    uint256 private _countersCommitted;
    uint256 private _releasesCommitted;
    mapping(bytes32 guid => bool) private _executed;
    /// @dev The model: what has arrived.
    mapping(bytes32 account => uint128) private _newestDeposit;
    mapping(bytes32 account => uint128) private _newestRelease;

    function setUp() public {
        _deployAll();
        bytes4[] memory selectors = new bytes4[](6);
        selectors[0] = this.deposit.selector;
        selectors[1] = this.sendCounters.selector;
        selectors[2] = this.deliverCounters.selector;
        selectors[3] = this.withdraw.selector;
        selectors[4] = this.sendReleases.selector;
        selectors[5] = this.deliverReleases.selector;
        targetSelector(FuzzSelector({addr: address(this), selectors: selectors}));
        targetContract(address(this));
    }

    receive() external payable {}

    /* ACTIONS */

    function deposit(uint256 a, uint32 amount) external {
        _pass(a);
        _deposit(vault, token, _account(a), uint256(amount) + 1);
    }

    function withdraw(uint256 a, uint128 amount) external {
        uint256 cash = uint256(clearinghouse.cash(_account(a))) / 1e12;
        if (cash == 0) return;
        _withdraw(_account(a), SPOKE_ASSET, _recipient(a), uint128(bound(amount, 1, cash)));
    }

    function sendCounters(uint256 a, uint256 b) external {
        ISpokeGateway.CounterKey[] memory keys = new ISpokeGateway.CounterKey[](2);
        keys[0] = ISpokeGateway.CounterKey(_account(a), address(token));
        keys[1] = ISpokeGateway.CounterKey(_account(b), address(token));
        _counters.push(_sendCounters(keys));
    }

    function sendReleases(uint256 a) external {
        _pass(a);
        _releases.push(_sendReleases(_releaseKeys(_account(a), _recipient(a), SPOKE_ASSET)));
    }

    function deliverCounters(uint256 i) public {
        if (_counters.length == 0) return;
        i %= _counters.length;
        Packet memory packet = _counters[i];
        if (_executed[packet.guid]) packet = _counters[i = _counters.length - 1];
        for (; _countersCommitted <= i; ++_countersCommitted) {
            _commit(_counters[_countersCommitted]);
        }
        if (_executed[packet.guid]) return;
        _executed[packet.guid] = true;
        assertTrue(_execute(packet, packet.gas), "counters");
        this.noteCounters(packet.message);
    }

    function deliverReleases(uint256 i) public {
        if (_releases.length == 0) return;
        i %= _releases.length;
        Packet memory packet = _releases[i];
        if (_executed[packet.guid]) packet = _releases[i = _releases.length - 1];
        for (; _releasesCommitted <= i; ++_releasesCommitted) {
            _commit(_releases[_releasesCommitted]);
        }
        if (_executed[packet.guid]) return;
        _executed[packet.guid] = true;
        assertTrue(_execute(packet, packet.gas), "releases");
        this.noteReleases(packet.message);
    }

    function noteCounters(bytes calldata message) external {
        (,, CounterMessages.CounterRow[] memory rows) = CounterMessages.decodeCounters(message);
        for (uint256 i; i < rows.length; ++i) {
            if (rows[i].depositedIn > _newestDeposit[rows[i].account]) {
                _newestDeposit[rows[i].account] = rows[i].depositedIn;
            }
        }
    }

    function noteReleases(bytes calldata message) external {
        (,, CounterMessages.ReleaseRow[] memory rows) = CounterMessages.decodeReleases(message);
        for (uint256 i; i < rows.length; ++i) {
            if (rows[i].released > _newestRelease[rows[i].account]) {
                _newestRelease[rows[i].account] = rows[i].released;
            }
        }
    }

    /* INVARIANTS */
    function invariant_state_is_the_newest_of_what_arrived() public view {
        uint256 cash;
        for (uint256 a; a < ACCOUNTS; ++a) {
            bytes32 account = _account(a);
            assertEq(_received(account), _newestDeposit[account], "hub");
            assertLe(_received(account), vault.depositedIn(account, address(token)));
            (uint128 released,) = vault.released(account, address(token), _recipient(a));
            assertEq(released, _newestRelease[account], "spoke");
            assertLe(released, clearinghouse.released(account, _recipient(a), SPOKE_ASSET));
            assertEq(vault.paidOut(account, address(token), _recipient(a)), released, "paid");
            assertEq(token.balanceOf(_recipient(a)), released, "once");
            cash += uint256(clearinghouse.cash(account));
        }
        assertEq(cash, clearinghouse.backing(SPOKE_ASSET));
        // Custody covers cash and what is released and unpaid.
        (uint128 totalIn, uint128 totalOut,) = vault.totals(address(token));
        assertGe(totalIn - totalOut, cash / 1e12);
    }

    /// @dev Whatever was lost: one more message each way, and both sides agree.
    function afterInvariant() public {
        _pass(1);
        ISpokeGateway.CounterKey[] memory keys = new ISpokeGateway.CounterKey[](ACCOUNTS);
        IHubGateway.ReleaseKey[] memory releases = new IHubGateway.ReleaseKey[](ACCOUNTS);
        for (uint256 a; a < ACCOUNTS; ++a) {
            keys[a] = ISpokeGateway.CounterKey(_account(a), address(token));
            releases[a] = IHubGateway.ReleaseKey(_account(a), _recipient(a), SPOKE_ASSET);
        }
        _counters.push(_sendCounters(keys));
        deliverCounters(_counters.length - 1);
        _releases.push(_sendReleases(releases));
        deliverReleases(_releases.length - 1);
        for (uint256 a; a < ACCOUNTS; ++a) {
            bytes32 account = _account(a);
            uint128 released = clearinghouse.released(account, _recipient(a), SPOKE_ASSET);
            uint128 deposited = vault.depositedIn(account, address(token));
            assertEq(_received(account), deposited);
            assertEq(vault.paidOut(account, address(token), _recipient(a)), released);
            assertEq(uint256(clearinghouse.cash(account)), uint256(deposited - released) * 1e12);
        }
    }

    /* HELPERS */

    function _account(uint256 a) private pure returns (bytes32) {
        return Accounts.main(address(uint160(0x100 + (a % ACCOUNTS))));
    }

    function _recipient(uint256 a) private pure returns (address) {
        return address(uint160(0x200 + (a % ACCOUNTS)));
    }

    /// @dev Sometimes the clock stands still, so that several messages bear one time.
    function _pass(uint256 seed) private {
        vm.warp(block.timestamp + (seed % 3));
    }
}
