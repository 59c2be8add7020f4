// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
import {PriceOracle} from "../../src/oracle/PriceOracle.sol";
import {QuorumSignatures} from "../../src/oracle/QuorumSignatures.sol";
import {SignerEpochs} from "../../src/oracle/SignerEpochs.sol";
import {OracleTest} from "./OracleTest.sol";

contract EpochsTest is OracleTest {
    int64 private constant P = 2_000e8;
    address private immutable lzRevoker = makeAddr("revoker");

    function setUp() public {
        _deploy(4, 4);
        vm.prank(governance);
        oracle.setRevoker(lzRevoker);
    }

    /* SLOTS */

    function test_unknown_epoch() public {
        _refused(_signedFor(2, _now()), _unknown(2));
        _refused(_signedFor(0, _now()), _unknown(0));
    }

    function test_rotation_gives_each_slot_one_set_of_signers() public {
        uint64 seq = _now();
        bytes memory oldBefore = _signedFor(1, seq + 4);
        bytes memory oldAfter = _signedFor(1, seq + 5);
        _rotateKeys();
        _open(2, seq + 5, seq + 20);
        bytes memory newBefore = _signedFor(2, seq + 4);
        bytes memory newAfter = _signedFor(2, seq + 5);

        _skip(5);
        _refused(oldAfter, _outside(1, seq + 5));
        _refused(newBefore, _outside(2, seq + 4));
        assertTrue(oracle.update(oldBefore));
        assertTrue(oracle.update(newAfter));
        (uint32 epoch,) = oracle.latest();
        assertEq(epoch, 2);
        _skip(20);
        _refused(_signedFor(2, seq + 21), _outside(2, seq + 21)); // expired
    }

    /// @dev Two epochs opened ahead: neither signs before its first slot, and the present one signs on until then.
    function test_an_epoch_never_signs_slots_before_its_first() public {
        uint64 seq = _now();
        bytes memory first = _signedFor(1, seq + 4);
        bytes memory firstLate = _signedFor(1, seq + 5);
        _open(2, seq + 5, seq + 20);
        _open(3, seq + 8, seq + 30);
        bytes memory third = _signedFor(3, seq + 7);
        _skip(7);
        _refused(_signedFor(2, seq + 4), _outside(2, seq + 4));
        _refused(firstLate, _outside(1, seq + 5));
        _refused(third, _outside(3, seq + 7));
        assertTrue(oracle.update(first));
        assertTrue(oracle.update(_signedFor(2, seq + 7)));
        _skip(1);
        _refused(_signedFor(2, seq + 8), _outside(2, seq + 8));
        assertTrue(oracle.update(_signedFor(3, seq + 8)));
    }

    /// @dev Whatever is opened, revoked or replaced in whatever order, no slot is two epochs' at once.
    /// forge-config: default.fuzz.runs = 48
    /// forge-config: full.fuzz.runs = 1500
    function testFuzz_no_slot_has_two_epochs(uint256 seed) public {
        for (uint256 i; i < 12; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            (uint32 opened,,) = oracle.openedEpoch();
            if (seed % 5 == 0) {
                vm.prank(lzRevoker);
                oracle.revoke(uint32(1 + (seed >> 8) % (opened + 1)));
            } else {
                uint64 first = _now() + 1 + uint64((seed >> 8) % 20);
                try this.open(
                    opened + 1 + uint32((seed >> 16) % 2), first, first + uint64((seed >> 24) % 30)
                ) {}
                    catch {}
            }
            _skip(seed % 4);
            for (uint64 seq = _now(); seq < _now() + 40; ++seq) {
                assertLe(_owners(seq), 1);
            }
        }
    }

    function open(uint32 epoch, uint64 firstSeq, uint64 lastSeq) external {
        _open(epoch, firstSeq, lastSeq);
    }

    function _owners(uint64 seq) private view returns (uint256 owners) {
        (uint32 opened,,) = oracle.openedEpoch();
        for (uint32 epoch = 1; epoch <= opened; ++epoch) {
            try oracle.epochSlots(epoch) returns (uint64 first, uint64 last, bool revoked) {
                if (!revoked && first <= seq && seq <= last) ++owners;
            } catch {}
        }
    }

    function test_epochSlots() public {
        uint64 seq = _now();
        vm.expectRevert(_unknown(0));
        oracle.epochSlots(0);
        vm.expectRevert(_unknown(2));
        oracle.epochSlots(2);
        _open(2, seq + 5, seq + 20);
        _expectSlots(1, 1, seq + 4, false);
        _expectSlots(2, seq + 5, seq + 20, false);
        vm.prank(governance);
        oracle.revoke(1);
        _expectSlots(1, 1, seq + 4, true);
    }

    function _expectSlots(uint32 epoch, uint64 first, uint64 last, bool revoked) private view {
        assertEq(abi.encode(first, last, revoked), _slots(epoch));
    }

    function _slots(uint32 epoch) private view returns (bytes memory) {
        (uint64 first, uint64 last, bool revoked) = oracle.epochSlots(epoch);
        return abi.encode(first, last, revoked);
    }

    /* HANDOVER */

    function test_handover_by_the_outgoing_quorum_delivered_by_anyone() public {
        uint64 seq = _now();
        uint256[] memory old = keys;
        feeds.push(SignerEpochs.Feed("RATE", -6, true, 60));
        SignerEpochs.Epoch memory next = _next(2, seq + 3, seq + 50);
        bytes memory signatures = _signHandover(old, next, 0x0d);
        vm.prank(makeAddr("anyone"));
        oracle.handOver(next, signatures);
        (uint32 epoch, uint64 first,) = oracle.openedEpoch();
        assertEq(epoch, 2);
        assertEq(first, seq + 3);
        assertEq(oracle.configHash(2), next.configHash);
        assertEq(oracle.feedCount(), 5);
        _skip(3);
        assertTrue(oracle.update(_signedFor(2, seq + 3)));
    }

    /// @dev No chain id and no address are signed, so that every chain of the network follows.
    function test_handover_counts_on_every_chain_of_the_network_and_on_no_other() public {
        SignerEpochs.Epoch memory next = _next(2, _now() + 3, _now() + 50);
        bytes memory signatures = _signHandover(_firstKeys(), next, 0x07);
        SignerEpochs.Epoch memory first = next;
        vm.chainId(4217);
        for (uint256 i; i < 2; ++i) {
            oracle = new PriceOracle(i == 0 ? NETWORK : keccak256("another"), governance, SLOT, _parameters());
            first = _epoch(1, 1, type(uint48).max);
            first.signers = _addresses(_firstKeys());
            vm.prank(governance);
            oracle.openEpoch(first);
            if (i == 1) vm.expectRevert(_invalidSignature(0));
            oracle.handOver(next, signatures);
        }
    }

    function test_handover_signed_by_others_or_for_something_else() public {
        SignerEpochs.Epoch memory next = _next(2, _now() + 3, _now() + 50);
        uint256[] memory old = _firstKeys();
        _refusedHandover(next, _signHandover(keys, next, 0x07), _invalidSignature(0)); // the new ones
        bytes4 malformed = QuorumSignatures.MalformedSignatures.selector;
        _refusedHandover(next, _signHandover(old, next, 0x03), abi.encodeWithSelector(malformed));
        _refusedHandover(next, _signHandover(old, next, 0x0f), abi.encodeWithSelector(malformed));
        _refusedHandover(next, "", abi.encodeWithSelector(malformed));
        bytes memory signatures = _signHandover(old, next, 0x07);
        next.lastSeq += 1;
        _refusedHandover(next, signatures, _invalidSignature(0));
        next.lastSeq -= 1;
        next.configHash = 0;
        _refusedHandover(next, signatures, _invalidSignature(0));
        next.configHash = keccak256("configuration");
        next.feeds[1].useAge += 1;
        _refusedHandover(next, signatures, _invalidSignature(0));
        next.feeds[1].useAge -= 1;
        (next.signers[0], next.signers[1]) = (next.signers[1], next.signers[0]);
        _refusedHandover(next, signatures, _invalidSignature(0));
        (next.signers[0], next.signers[1]) = (next.signers[1], next.signers[0]);
        oracle.handOver(next, signatures);
        // Once: the same words open nothing again, nor by the quorum that has handed over.
        _refusedHandover(next, signatures, abi.encodeWithSelector(SignerEpochs.InvalidEpoch.selector));
        next.epoch = 3;
        _refusedHandover(next, _signHandover(old, next, 0x07), "");
    }

    function test_handover_bounds() public {
        _rotateKeys();
        uint64 seq = _now();
        _open(2, seq + 2, seq + 10);
        uint256[] memory old = keys;
        bytes memory invalid = abi.encodeWithSelector(SignerEpochs.InvalidEpoch.selector);
        _refusedBy(old, _epoch(4, seq + 5, seq + 20), invalid); // leaves a number out
        _refusedBy(old, _epoch(3, seq + 2, seq + 20), invalid); // takes all slots of the second
        _refusedBy(old, _epoch(3, seq + 12, seq + 20), invalid); // leaves a slot without signers
        _refusedBy(old, _epoch(3, seq + 5, seq + 4), invalid);
        _refusedBy(old, _epoch(3, seq + 5, uint64(type(uint48).max) + 1), invalid);
        _skip(11);
        _refusedBy(old, _epoch(3, seq + 11, seq + 20), _outside(2, seq + 11)); // expired
        vm.warp(block.timestamp - 1);
        SignerEpochs.Epoch memory next = _epoch(3, seq + 11, seq + 20);
        oracle.handOver(next, _signHandover(old, next, 0x07));
    }

    /// @dev A chain that slept through a handover takes it late; slots that its quorum gave away are nobody's but the next.
    function test_handover_delivered_late() public {
        uint64 seq = _now();
        bytes memory stray = _signedFor(1, seq + 9);
        SignerEpochs.Epoch memory next = _next(2, seq + 5, seq + 90);
        bytes memory signatures = _signHandover(_firstKeys(), next, 0x07);
        _skip(9);
        oracle.handOver(next, signatures);
        _refused(stray, _outside(1, seq + 9));
        assertTrue(oracle.update(_signedFor(2, seq + 9)));
    }

    /* REVOCATION */

    function test_revocation_only_takes_away() public {
        SignerEpochs.Epoch memory next = _next(2, _now() + 5, _now() + 50);
        bytes memory handover = _signHandover(_firstKeys(), next, 0x07);
        vm.expectRevert(abi.encodeWithSelector(SignerEpochs.NotRevoker.selector, address(this)));
        oracle.revoke(1);
        vm.startPrank(lzRevoker);
        oracle.revoke(1);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, lzRevoker));
        oracle.openEpoch(next);
        vm.stopPrank();
        bytes memory revoked = abi.encodeWithSelector(SignerEpochs.RevokedEpoch.selector, 1);
        _refused(_signedFor(1, _now()), revoked);
        _refusedHandover(next, handover, revoked);
        // Values and parameters stay.
        oracle.parameters();
        (,, bool isRevoked) = oracle.openedEpoch();
        assertTrue(isRevoked);
        // The timelock's replacement ends it.
        _open(2, _now() + 1, _now() + 50);
        _skip(1);
        assertTrue(oracle.update(_signedFor(2, _now())));
        _skip(1);
        _refused(_signedFor(1, _now()), revoked);
    }

    function test_revocation_of_the_past_and_of_the_future() public {
        uint64 seq = _now();
        bytes memory old = _signedFor(1, seq);
        SignerEpochs.Epoch memory next = _next(2, seq + 1, seq + 50);
        bytes memory handover = _signHandover(_firstKeys(), next, 0x07);
        oracle.handOver(next, handover);
        vm.startPrank(lzRevoker);
        oracle.revoke(1);
        oracle.revoke(3);
        vm.stopPrank();
        _refused(old, abi.encodeWithSelector(SignerEpochs.RevokedEpoch.selector, 1));
        _skip(1);
        assertTrue(oracle.update(_signedFor(2, seq + 1)));
        // A revocation that came before the handover.
        uint256[] memory second = keys;
        next = _next(3, seq + 9, seq + 90);
        _refusedBy(second, next, abi.encodeWithSelector(SignerEpochs.RevokedEpoch.selector, 3));
        _open(4, seq + 9, seq + 90);
        _skip(8);
        assertTrue(oracle.update(_signedFor(4, seq + 9)));
    }

    function test_revoking_a_pending_epoch_leaves_the_present_one() public {
        uint64 seq = _now();
        bytes memory present = _signedFor(1, seq + 1);
        _rotateKeys();
        _open(2, seq + 5, seq + 50);
        vm.prank(lzRevoker);
        oracle.revoke(2);
        _skip(1);
        assertTrue(oracle.update(present));
        // Its replacement may begin before it would have.
        _open(3, seq + 3, seq + 50);
        _skip(2);
        assertTrue(oracle.update(_signedFor(3, seq + 3)));
        _refused(_signedFor(2, seq + 6), "");
    }

    /* REPLACEMENT OF A LOST QUORUM */

    function test_a_lost_quorum_is_replaced_by_timelock() public {
        address[] memory one = new address[](1);
        one[0] = governance;
        TimelockController timelock = new TimelockController(2 days, one, one, address(0));
        vm.prank(governance);
        oracle.transferOwnership(address(timelock));
        _rotateKeys();
        SignerEpochs.Epoch memory next = _epoch(2, _now() + 3 days / SLOT, type(uint48).max);
        bytes memory call = abi.encodeCall(oracle.openEpoch, (next));
        vm.startPrank(governance);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, governance));
        oracle.openEpoch(next);
        timelock.schedule(address(oracle), 0, call, 0, 0, 2 days);
        vm.expectRevert();
        timelock.execute(address(oracle), 0, call, 0, 0);
        vm.warp(block.timestamp + 2 days);
        timelock.execute(address(oracle), 0, call, 0, 0);
        vm.stopPrank();
        vm.warp(block.timestamp + 1 days);
        assertTrue(oracle.update(_signedFor(2, _now())));
    }

    /// @dev Chains execute at different times: what has begun on one would give a slot two sets of signers.
    function test_a_replacement_begins_in_the_future() public {
        vm.startPrank(governance);
        vm.expectRevert(SignerEpochs.InvalidEpoch.selector);
        oracle.openEpoch(_epoch(2, _now(), _now() + 9));
        oracle.openEpoch(_epoch(2, _now() + 1, _now() + 9));
    }

    /* HELPERS */

    function _skip(uint256 slots) private {
        vm.warp(block.timestamp + slots * SLOT);
        vm.roll(block.number + 1);
    }

    function _firstKeys() private pure returns (uint256[] memory list) {
        list = new uint256[](4);
        for (uint256 i; i < 4; ++i) {
            list[i] = uint256(keccak256(abi.encode("node", i)));
        }
    }

    function _rotateKeys() private {
        for (uint256 i; i < keys.length; ++i) {
            keys[i] = uint256(keccak256(abi.encode("next", keys[i])));
        }
    }

    /// @dev An epoch of new signers.
    function _next(uint32 epoch, uint64 firstSeq, uint64 lastSeq)
        private
        returns (SignerEpochs.Epoch memory)
    {
        _rotateKeys();
        return _epoch(epoch, firstSeq, lastSeq);
    }

    function _signedFor(uint32 epoch, uint64 seq) private view returns (bytes memory) {
        (int64[] memory prices, uint16[] memory confidences) = _values(P);
        bytes32[] memory words = _words(prices, confidences);
        bytes32 digest = _digest(epoch, seq, _feedsHash(), words);
        return _assemble(epoch, seq, words, _quorum(), _sign(digest, _quorum()));
    }

    function _refusedBy(uint256[] memory by, SignerEpochs.Epoch memory next, bytes memory reason) private {
        _refusedHandover(next, _signHandover(by, next, 0x07), reason);
    }

    function _refusedHandover(SignerEpochs.Epoch memory next, bytes memory signatures, bytes memory reason)
        private
    {
        if (reason.length == 0) vm.expectRevert();
        else vm.expectRevert(reason);
        oracle.handOver(next, signatures);
    }

    function _refused(bytes memory report, bytes memory reason) private {
        if (reason.length == 0) vm.expectRevert();
        else vm.expectRevert(reason);
        oracle.update(report);
    }

    function _unknown(uint256 epoch) private pure returns (bytes memory) {
        return abi.encodeWithSelector(SignerEpochs.UnknownEpoch.selector, epoch);
    }

    function _outside(uint256 epoch, uint256 seq) private pure returns (bytes memory) {
        return abi.encodeWithSelector(SignerEpochs.SlotOutsideEpoch.selector, epoch, seq);
    }

    function _invalidSignature(uint256 signer) private pure returns (bytes memory) {
        return abi.encodeWithSelector(QuorumSignatures.InvalidSignature.selector, signer);
    }
}
