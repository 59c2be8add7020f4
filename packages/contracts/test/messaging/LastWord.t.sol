// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ISpokeGateway} from "../../src/interfaces/IGateways.sol";
import {Accounts} from "../../src/libraries/Accounts.sol";
import {HubEpoch} from "../../src/messaging/HubEpoch.sol";
import {SpokeGateway} from "../../src/messaging/SpokeGateway.sol";
import {QuorumSignatures} from "../../src/oracle/QuorumSignatures.sol";
import {SignerEpochs} from "../../src/oracle/SignerEpochs.sol";
import {PayoutQueue} from "../../src/spoke/PayoutQueue.sol";
import {UnrulyToken} from "../spoke/Tokens.sol";
import {ExitFixture} from "./ExitFixture.sol";

/// @notice What a last word may say and what it costs if it is wrong, late, or more than there is: nothing beyond what lies at a vault, as fast as
/// its limits let it, until a later version.
contract LastWordTest is ExitFixture {
    address private immutable alice = makeAddr("alice");
    address private immutable bob = makeAddr("bob");
    address private immutable mallory = makeAddr("mallory");
    bytes32 private a;
    bytes32 private b;
    bytes32 private m;
    uint64 private died;

    receive() external payable {}

    function setUp() public {
        _deployAll();
        (a, b, m) = (Accounts.main(alice), Accounts.main(bob), Accounts.main(mallory));
    }

    function _die() private {
        died = uint64(block.timestamp);
        skip(SILENCE + 1);
        _end(gateway, vault);
    }

    /// @dev The quorum says that all is mallory's. What the bucket holds is gone; a later version stops the rest, and who is owed it gets it.
    function test_a_lie_costs_what_the_bucket_lets_through_until_it_is_seen() public {
        _deposit(vault, token, a, 1000e6);
        vm.prank(governance);
        vault.setLimits(address(token), PayoutQueue.Limit(400e6, 1e3), PayoutQueue.Limit(100e6, 1e3));
        _die();
        _addExit(SPOKE, m, address(token), mallory, 1000e6);
        _openExits(gateway, 1, died);
        _exit(gateway, 0);
        _exit(gateway, 0);
        skip(1 hours);
        vault.pay(m, address(token), mallory);
        assertEq(token.balanceOf(mallory), 400e6 + 1 hours * 1e3, "a bucket, and its rate");

        vm.prank(governance);
        vault.halt();
        skip(1 days);
        exits[0].released = 0;
        _addExit(SPOKE, a, address(token), alice, 1000e6 - token.balanceOf(mallory));
        _openExits(gateway, 2, died);
        _exit(gateway, 0);
        _exit(gateway, 1);
        vm.prank(governance);
        vault.resume();
        for (uint256 week; week < 4; ++week) {
            skip(7 days);
            vault.pay(m, address(token), mallory);
            vault.pay(a, address(token), alice);
        }
        assertEq(token.balanceOf(mallory), 400e6 + 1 hours * 1e3, "nothing more");
        assertEq(token.balanceOf(alice), 1000e6 - token.balanceOf(mallory));
        assertEq(token.balanceOf(address(vault)), 0);
    }

    /// @dev Exits that sum to more than lies there: one vault is empty, another chain's isn't touched.
    function test_more_than_there_is() public {
        _deposit(vault, token, a, 100e6);
        _deposit(localVault, hubToken, b, 50e6);
        _die();
        _addExit(SPOKE, a, address(token), alice, 100e6);
        _addExit(SPOKE, m, address(token), mallory, 1000e6);
        _openExits(gateway, 1, died);
        _exit(gateway, 1);
        assertEq(token.balanceOf(mallory), 0, "more than there is is nothing");
        _exit(gateway, 0);
        _exit(gateway, 1);
        assertEq(token.balanceOf(alice), 100e6);
        assertEq(token.balanceOf(address(vault)), 0);
        assertEq(hubToken.balanceOf(address(localVault)), 50e6);
    }

    /// @dev Where tokens have gone from a vault, its last word shares what is left: the first to leave gets no more than the last.
    function test_what_is_missing_is_missing_for_all() public {
        _deposit(vault, token, a, 300e6);
        _deposit(vault, token, b, 100e6);
        vm.prank(address(vault));
        token.transfer(address(0xdead), 200e6);
        _die();
        _addExit(SPOKE, a, address(token), alice, 150e6);
        _addExit(SPOKE, b, address(token), bob, 50e6);
        _openExits(gateway, 1, died);
        _exit(gateway, 1);
        _exit(gateway, 0);
        assertEq(token.balanceOf(alice), 150e6);
        assertEq(token.balanceOf(bob), 50e6);
    }

    /// @dev Released before its death and fetched after the root was made: the exit pays what that hasn't.
    function test_what_was_fetched_since_is_not_paid_again() public {
        _deposit(vault, token, a, 100e6);
        assertTrue(_deliver(_sendCounters(_counterKeys(a, token))));
        vm.prank(governance);
        vault.setLimits(address(token), PayoutQueue.Limit(10e6, 100), PayoutQueue.Limit(1e6, 10));
        _withdraw(a, SPOKE_ASSET, alice, 60e6);
        assertTrue(_deliver(_sendReleases(_releaseKeys(a, alice, SPOKE_ASSET))));
        assertEq(token.balanceOf(alice), 10e6);
        _die();
        _addExit(SPOKE, a, address(token), alice, 100e6);
        bytes32 root = _root();
        vault.pay(a, address(token), alice);
        uint256 fetched = token.balanceOf(alice);
        assertGt(fetched, 10e6);
        assertEq(_root(), root);
        _openExits(gateway, 1, died);
        for (uint256 i; i < 30; ++i) {
            _exit(gateway, 0);
            skip(1 days);
        }
        assertEq(token.balanceOf(alice), 100e6);
    }

    /// @dev Signers may change between a hub's death and its last word: the newest count, and only they.
    function test_the_newest_signers_word_counts() public {
        _deposit(vault, token, a, 100e6);
        _die();
        _addExit(SPOKE, a, address(token), alice, 100e6);
        bytes memory old = _sign(3, 1, 1, died, _root());
        SignerEpochs.Epoch memory next;
        next.epoch = 2;
        next.firstSeq = uint64(block.timestamp / SLOT_SECONDS + 1);
        next.lastSeq = next.firstSeq + 1000;
        next.feeds = new SignerEpochs.Feed[](1);
        next.feeds[0] = SignerEpochs.Feed("BTC/USD", -8, false, 120);
        next.signers = new address[](4);
        for (uint256 i; i < 4; ++i) {
            nodeKeys[i] = 0x11 + i;
            next.signers[i] = vm.addr(nodeKeys[i]);
        }
        vm.prank(governance);
        signers.openEpoch(next);
        bytes32 root = _root();
        vm.prank(governance);
        vm.expectPartialRevert(QuorumSignatures.InvalidSignature.selector);
        gateway.openExits(1, died, root, old);
        _openExits(gateway, 1, died);
        _exit(gateway, 0);
        assertEq(token.balanceOf(alice), 100e6);

        // Nobody's, once the newest have expired.
        skip(1002 * SLOT_SECONDS);
        bytes memory late = _sign(3, 1, 2, died, root);
        vm.prank(governance);
        vm.expectPartialRevert(SignerEpochs.SlotOutsideEpoch.selector);
        gateway.openExits(2, died, root, late);
    }

    function test_each_part_of_a_leaf_counts() public {
        _deposit(vault, token, a, 100e6);
        _die();
        _addExit(SPOKE, a, address(token), alice, 100e6);
        _addExit(SPOKE, b, address(token), bob, 0);
        exits.push(ISpokeGateway.Exit(2, a, address(token), alice, 1e6));
        eids.push(SPOKE);
        _openExits(gateway, 1, died);
        bytes32[] memory proof = _proof(0);
        for (uint256 part; part < 5; ++part) {
            ISpokeGateway.Exit memory e = exits[0];
            if (part == 0) e.vaultEpoch = 2;
            if (part == 1) e.account = b;
            if (part == 2) e.token = address(hubToken);
            if (part == 3) e.recipient = mallory;
            if (part == 4) e.released -= 1;
            vm.expectRevert(HubEpoch.NoSuchExit.selector);
            gateway.exit(e, proof);
        }
        ISpokeGateway.Exit memory first = exits[0];
        vm.expectRevert(HubEpoch.NoSuchExit.selector);
        gateway.exit(first, new bytes32[](0));
        proof = _proof(2);
        ISpokeGateway.Exit memory nowhere = exits[2];
        vm.expectRevert(abi.encodeWithSelector(SpokeGateway.UnknownVaultEpoch.selector, 2));
        gateway.exit(nowhere, proof);
        _exit(gateway, 1);
        assertEq(token.balanceOf(bob), 0, "nothing is nothing");
        assertEq(vault.paidOut(b, address(token), bob), 0);
    }

    /// @dev A token that calls back in the middle of an exit finds the vault closed, and the exit counts once.
    function test_no_reentrance() public {
        UnrulyToken unruly = new UnrulyToken();
        vm.prank(governance);
        vault.setListed(address(unruly), true);
        _deposit(vault, unruly, a, 100e6);
        _deposit(vault, unruly, b, 100e6);
        _die();
        _addExit(SPOKE, a, address(unruly), alice, 60e6);
        _openExits(gateway, 1, died);
        unruly.setManner(alice, UnrulyToken.Manner.CallBack);
        unruly.setCallBack(address(gateway), abi.encodeCall(gateway.exit, (exits[0], _proof(0))));
        _exit(gateway, 0);
        assertTrue(unruly.called());
        assertFalse(unruly.calledBack());
        assertEq(unruly.balanceOf(alice), 60e6);
        _exit(gateway, 0);
        assertEq(unruly.balanceOf(alice), 60e6);
    }
}
