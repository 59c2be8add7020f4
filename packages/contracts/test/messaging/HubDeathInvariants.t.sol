// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IHubGateway, ISpokeGateway} from "../../src/interfaces/IGateways.sol";
import {Accounts} from "../../src/libraries/Accounts.sol";
import {TestToken} from "../../src/mocks/TestToken.sol";
import {SpokeGateway} from "../../src/messaging/SpokeGateway.sol";
import {CollateralVault} from "../../src/spoke/CollateralVault.sol";
import {PayoutQueue} from "../../src/spoke/PayoutQueue.sol";
import {ExitFixture} from "./ExitFixture.sol";

/// @notice DESIGN §6.2 over a hub's death: accounts deposit, withdraw to two recipients on two chains, packets come in any order, again, or never; the
/// hub dies at some moment, people leave by its last word, and it comes back and goes on as if nothing had happened. Nobody ever gets more than he
/// brought, and in the end everybody has all of it.
contract HubDeathInvariantsTest is ExitFixture {
    uint256 private constant ACCOUNTS = 3;

    Packet[] private _packets;
    uint256[ACCOUNTS] private _brought;
    uint64 private _diedAt;
    bool private _localEnded;
    mapping(uint32 dstEid => uint64) private _committed;
    mapping(bytes32 guid => bool) private _executed;
    mapping(bytes32 action => uint256) private _calls;

    receive() external payable {}

    function setUp() public {
        _deployAll();
        vm.startPrank(governance);
        vault.setLimits(address(token), PayoutQueue.Limit(60e6, 500), PayoutQueue.Limit(20e6, 100));
        vm.stopPrank();
        for (uint256 a; a < ACCOUNTS; ++a) {
            deposit(a, false, 50e6);
            deposit(a, true, 50e6);
            sendCounters(a, false);
            sendCounters(a, true);
            this.deliver(a);
        }
        bytes4[] memory selectors = new bytes4[](9);
        selectors[0] = this.deposit.selector;
        selectors[1] = this.sendCounters.selector;
        selectors[2] = this.withdraw.selector;
        selectors[3] = this.sendReleases.selector;
        selectors[4] = this.deliver.selector;
        selectors[5] = this.leave.selector;
        selectors[6] = this.pass.selector;
        selectors[7] = this.die.selector;
        selectors[8] = this.endLocal.selector;
        targetSelector(FuzzSelector({addr: address(this), selectors: selectors}));
        targetContract(address(this));
    }

    /* ACTIONS */

    function deposit(uint256 a, bool local, uint256 amount) public {
        (CollateralVault v, TestToken t) = _at(local);
        if (v.isSealed()) return;
        amount = bound(amount, 1, 50e6);
        _deposit(v, t, _account(a), amount);
        _brought[a % ACCOUNTS] += amount;
    }

    function sendCounters(uint256 a, bool local) public {
        (, TestToken t) = _at(local);
        if (local) localGateway.sendCounters(_counterKeys(_account(a), t));
        else _packets.push(_sendCounters(_counterKeys(_account(a), t)));
    }

    function withdraw(uint256 a, bool local, bool other, uint256 amount) external {
        bytes32 account = _account(a);
        vm.prank(Accounts.owner(account));
        try clearinghouse.withdraw(
            account, _asset(local), _recipient(a, other), uint128(bound(amount, 1, 60e6))
        ) {
            ++_calls["withdraw"];
        } catch {}
    }

    function sendReleases(uint256 a, bool local, bool other) external {
        IHubGateway.ReleaseKey[] memory keys = _releaseKeys(_account(a), _recipient(a, other), _asset(local));
        if (!local) return _packets.push(_sendReleases(keys));
        // On its own chain a hub that isn't heard can't even send.
        try hub.sendReleases(HUB, keys) {
            assertEq(_diedAt, 0, "the dead are not heard");
        } catch {
            assertTrue(_diedAt != 0);
            ++_calls["unheard"];
        }
    }

    /// @dev Any packet, none or several times; before the hub's death or after its return.
    function deliver(uint256 i) external {
        if (_packets.length == 0) return;
        i %= _packets.length;
        Packet memory packet = _packets[i];
        // Packets are committed in nonce order a lane.
        for (uint256 n; n <= i; ++n) {
            Packet memory p = _packets[n];
            if (p.dstEid != packet.dstEid || p.nonce <= _committed[p.dstEid]) continue;
            _commit(p);
            _committed[p.dstEid] = p.nonce;
        }
        if (_executed[packet.guid]) return;
        _executed[packet.guid] = _execute(packet, packet.gas);
        if (!_executed[packet.guid]) ++_calls["unheard"];
        assertTrue(_executed[packet.guid] || (_diedAt != 0 && packet.dstEid == SPOKE), "heard while it lives");
    }

    function leave(uint256 i, bool push) public {
        if (exits.length == 0) return;
        i %= exits.length;
        bool local = eids[i] == HUB;
        if (local && !_localEnded) return;
        _exit(local ? localGateway : gateway, i);
        (CollateralVault v,) = _at(local);
        if (push) v.pay(exits[i].account, exits[i].token, exits[i].recipient);
        ++_calls["leave"];
    }

    /// @dev A hub that lives speaks once a day.
    function pass(uint256 time) external {
        if (_diedAt == 0) hub.sendReleases(HUB, new IHubGateway.ReleaseKey[](0));
        vm.warp(block.timestamp + bound(time, 1, 1 days));
    }

    function die(uint256 seed) public {
        if (_diedAt != 0 || seed % 8 != 0) return;
        _diedAt = uint64(block.timestamp);
        skip(SILENCE + 1);
        _end(gateway, vault);
        vm.prank(governance);
        localVault.seal();
        _writeLastWord();
        if (exits.length != 0) _openExits(gateway, 1, _diedAt);
        ++_calls["die"];
    }

    /// @dev The hub's own chain stood still all the time, and runs again.
    function endLocal() public {
        if (_diedAt == 0 || _localEnded) return;
        _localEnded = true;
        _end(localGateway, localVault);
        if (exits.length != 0) _openExits(localGateway, 1, _diedAt);
    }

    /* THE LAST WORD */

    /// @dev Of each payout what was released; what the hub has never heard of, at the vault where it lies; and an account's cash wherever there is room.
    function _writeLastWord() private {
        uint256[2] memory room = [_room(true), _room(false)];
        for (uint256 a; a < ACCOUNTS; ++a) {
            bytes32 account = _account(a);
            uint256 rest = uint256(clearinghouse.cash(account)) / 1e12;
            for (uint256 k; k < 2; ++k) {
                bool local = k == 0;
                uint256 cash = rest < room[k] ? rest : room[k];
                (rest, room[k]) = (rest - cash, room[k] - cash);
                _addPayout(a, local, false, cash + _unheard(a, local));
                _addPayout(a, local, true, 0);
            }
            assertEq(rest, 0, "room for all");
        }
    }

    function _addPayout(uint256 a, bool local, bool other, uint256 more) private {
        (, TestToken t) = _at(local);
        uint256 released = clearinghouse.released(_account(a), _recipient(a, other), _asset(local));
        if (released + more == 0) return;
        _addExit(local ? HUB : SPOKE, _account(a), address(t), _recipient(a, other), released + more);
    }

    function _unheard(uint256 a, bool local) private view returns (uint256) {
        (CollateralVault v, TestToken t) = _at(local);
        (uint128 heard,) = clearinghouse.counters(local ? HUB : SPOKE, 1, _account(a), address(t));
        return v.depositedIn(_account(a), address(t)) - heard;
    }

    function _room(bool local) private view returns (uint256) {
        return clearinghouse.backing(_asset(local)) / 1e12;
    }

    /* INVARIANTS */

    /// forge-config: default.invariant.runs = 12
    /// forge-config: default.invariant.depth = 50
    /// forge-config: full.invariant.runs = 60
    /// forge-config: full.invariant.depth = 150
    function invariant_nobody_gets_more_than_he_brought() public view {
        for (uint256 a; a < ACCOUNTS; ++a) {
            assertLe(_got(a), _brought[a]);
        }
    }

    function afterInvariant() public {
        die(0);
        endLocal();
        for (uint256 day; day < 30; ++day) {
            for (uint256 i; i < exits.length; ++i) {
                leave(i, true);
            }
            skip(1 days);
        }
        for (uint256 a; a < ACCOUNTS; ++a) {
            assertEq(_got(a), _brought[a], "everybody has all of it");
        }
        emit log_named_uint("withdraw", _calls["withdraw"]);
        emit log_named_uint("leave", _calls["leave"]);
        emit log_named_uint("unheard", _calls["unheard"]);
    }

    function _got(uint256 a) private view returns (uint256 sum) {
        for (uint256 k; k < 2; ++k) {
            address to = _recipient(a, k == 1);
            sum += token.balanceOf(to) + hubToken.balanceOf(to);
        }
    }

    function _account(uint256 a) private pure returns (bytes32) {
        return Accounts.main(address(uint160(0xa0 + a % ACCOUNTS)));
    }

    function _recipient(uint256 a, bool other) private pure returns (address) {
        return address(uint160((other ? 0x200 : 0xa0) + a % ACCOUNTS));
    }

    function _asset(bool local) private pure returns (uint256) {
        return local ? HUB_ASSET : SPOKE_ASSET;
    }

    function _at(bool local) private view returns (CollateralVault v, TestToken t) {
        return local ? (localVault, hubToken) : (vault, token);
    }
}
