// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IPriceOracle} from "../../src/interfaces/IPriceOracle.sol";
import {PriceOracle} from "../../src/oracle/PriceOracle.sol";
import {QuorumSignatures} from "../../src/oracle/QuorumSignatures.sol";
import {SignerEpochs} from "../../src/oracle/SignerEpochs.sol";
import {OracleTest} from "./OracleTest.sol";

/// @dev The chain's part of "Hostile inputs" in docs/oracle.md, under the same numbers. Seven nodes, f = 2, two feeds.
contract HostileInputsTest is OracleTest {
    uint256 private constant N = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
    int64 private constant P = 2_000e8;
    uint256 private constant WAD_P = 2_000e18;

    function setUp() public {
        _deploy(7, 2);
        oracle.update(_flat(_now(), P));
    }

    /// @dev More than f nodes lie alike, so the report is valid: what is left is the limit on how far a price may jump.
    function test_row2_f_plus_1_collude_beyond_the_jump_limit_and_the_old_value_stays() public {
        _next(2, 3 * P);
        _expect(WAD_P, 3 * WAD_P);
        // As soon as honest nodes are a majority again, the lie is gone.
        _next(2, P);
        _expect(WAD_P, 0);
    }

    function test_row10_a_real_40_percent_fall_trips_the_breaker_then_recovers_by_confirmation() public {
        int64 fallen = (P * 60) / 100;
        uint256 wadFallen = (WAD_P * 60) / 100;
        _next(2, fallen);
        _expect(WAD_P, wadFallen);
        // T = 30 s of quorums that agree, in different blocks.
        for (uint256 i; i < 14; ++i) {
            _next(2, fallen);
            _expect(WAD_P, wadFallen);
        }
        _next(2, fallen);
        _expect(wadFallen, 0);
        // Not stuck: the next small move is stored at once.
        _next(2, (fallen * 101) / 100);
        _expect((wadFallen * 101) / 100, 0);
    }

    function test_row13_slot_7_after_8_is_ignored() public {
        uint64 slot = _now();
        bytes memory seven = _flat(slot + 7, (P * 101) / 100);
        bytes memory eight = _flat(slot + 8, (P * 102) / 100);
        vm.warp(block.timestamp + 8 * SLOT);
        assertTrue(oracle.update(eight));
        assertFalse(oracle.update(seven), "no revert, and no effect");
        _expect((WAD_P * 102) / 100, 0);
        (, uint64 seq) = oracle.latest();
        assertEq(seq, slot + 8);
    }

    /// @dev By design: a price is the same on every chain of the network, so a report is too.
    function test_row14_replay_on_another_chain_of_the_network_is_accepted() public {
        bytes memory report = _flat(_now(), P);
        vm.chainId(block.chainid + 1);
        oracle = new PriceOracle(NETWORK, governance, SLOT, _parameters());
        _open(1, 1, type(uint48).max);
        assertTrue(oracle.update(report));
    }

    function test_row14_replay_on_another_network_reverts() public {
        bytes memory report = _flat(_now(), P);
        oracle = new PriceOracle(keccak256("other"), governance, SLOT, _parameters());
        _open(1, 1, type(uint48).max);
        _refused(report, 0);
    }

    function test_row14_replay_under_another_epoch_reverts() public {
        bytes32[] memory words = _flatWords();
        uint64 slot = _now() + 5;
        bytes memory signatures = _sign(_digest(1, slot, _feedsHash(), words), _quorum());
        _open(2, slot, type(uint48).max);
        vm.warp(uint256(slot) * SLOT);
        _refused(_assemble(2, slot, words, _quorum(), signatures), 0);
        // As what it is it comes too late: the slot belongs to the next epoch.
        vm.expectRevert(abi.encodeWithSelector(SignerEpochs.SlotOutsideEpoch.selector, 1, slot));
        oracle.update(_assemble(1, slot, words, _quorum(), signatures));
    }

    function test_row14_replay_for_another_feed_set_reverts() public {
        bytes memory report = _flat(_now(), P);
        oracle = new PriceOracle(NETWORK, governance, SLOT, _parameters());
        feeds[1].name = "OTHER";
        _open(1, 1, type(uint48).max);
        _refused(report, 0);
    }

    function test_row15_a_duplicate_signer_reverts() public {
        vm.warp(block.timestamp + SLOT);
        bytes32 digest = _flatDigest();
        // Node 3 stands in for node 4, and the bitmap names five.
        _refusedSignatures(bytes.concat(_sign(digest, 0x0f), _compact(keys[3], digest)), 4);
        // Four signers, one of them named once and given twice.
        vm.expectRevert(QuorumSignatures.MalformedSignatures.selector);
        oracle.update(
            _assemble(
                1, _now(), _flatWords(), 0x0f, bytes.concat(_sign(digest, 0x0f), _compact(keys[3], digest))
            )
        );
    }

    /// @dev s' = n − s with the other parity recovers the same signer; in the compact form the parity is the top bit.
    function test_row15_a_high_s_reverts() public {
        vm.warp(block.timestamp + SLOT);
        bytes32 digest = _flatDigest();
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(keys[4], digest);
        bytes32 high = bytes32((N - uint256(s)) | (uint256(28 - v) << 255));
        _refusedSignatures(bytes.concat(_sign(digest, 0x0f), abi.encodePacked(r, high)), 4);
    }

    function test_row15_a_changed_v_reverts() public {
        vm.warp(block.timestamp + SLOT);
        bytes32 digest = _flatDigest();
        bytes memory signatures = _sign(digest, _quorum());
        for (uint256 i; i < 5; ++i) {
            bytes memory changed = bytes.concat(signatures);
            changed[64 * i + 32] ^= 0x80;
            _refusedSignatures(changed, i);
        }
        assertTrue(
            oracle.update(_assemble(1, _now(), _flatWords(), _quorum(), signatures)), "unchanged it holds"
        );
    }

    /* HELPERS */

    function _next(uint256 time, int64 price) private {
        vm.warp(block.timestamp + time);
        vm.roll(block.number + 1);
        assertTrue(oracle.update(_flat(_now(), price)));
    }

    function _expect(uint256 price, uint256 parked) private view {
        for (uint256 feed; feed < 2; ++feed) {
            IPriceOracle.Price memory stored = oracle.price(feed);
            assertEq(stored.price, price, "price");
            assertEq(stored.parked, parked, "parked");
        }
    }

    function _flatWords() private view returns (bytes32[] memory) {
        (int64[] memory prices, uint16[] memory confidences) = _values(P);
        return _words(prices, confidences);
    }

    function _flatDigest() private view returns (bytes32) {
        return _digest(1, _now(), _feedsHash(), _flatWords());
    }

    function _refusedSignatures(bytes memory signatures, uint256 signer) private {
        _refused(_assemble(1, _now(), _flatWords(), _quorum(), signatures), signer);
    }

    function _refused(bytes memory report, uint256 signer) private {
        vm.expectRevert(abi.encodeWithSelector(QuorumSignatures.InvalidSignature.selector, signer));
        oracle.update(report);
    }
}
