// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IPriceOracle} from "../../src/interfaces/IPriceOracle.sol";
import {IValueOracle} from "../../src/interfaces/IValueOracle.sol";
import {JumpGuard} from "../../src/oracle/JumpGuard.sol";
import {PriceOracle} from "../../src/oracle/PriceOracle.sol";
import {QuorumSignatures} from "../../src/oracle/QuorumSignatures.sol";
import {SignerEpochs} from "../../src/oracle/SignerEpochs.sol";
import {OracleTest} from "./OracleTest.sol";

contract PriceOracleTest is OracleTest {
    uint256 private constant N = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
    int64 private constant P = 2_000e8;

    function setUp() public {
        _deploy(7, 10);
    }

    /* GAS */

    /// @dev The whole transaction: values stored before, all within the guard. DESIGN §3 allows 80,000.
    /// forge-config: default.isolate = true
    function test_gas_update_10_feeds_5_of_7() public {
        _updateTwice();
        assertLe(vm.snapshotGasLastCall("PriceOracle", "update_10_feeds_5_of_7"), 80_000);
    }

    /// forge-config: default.isolate = true
    function test_gas_update_20_feeds_5_of_7() public {
        _deploy(7, 20);
        _updateTwice();
        assertLe(vm.snapshotGasLastCall("PriceOracle", "update_20_feeds_5_of_7"), 100_000);
    }

    /// @dev What a bundle pays for a report that somebody else has landed.
    /// forge-config: default.isolate = true
    function test_gas_update_not_newer() public {
        bytes memory report = _varied(_now(), 0);
        oracle.update(report);
        oracle.update(report);
        uint256 used = vm.snapshotGasLastCall("PriceOracle", "update_not_newer_10_feeds");
        assertLe(used, 33_000);
        // Where EIP-7623 holds (Prague), which these rules (Cancun) don't know, calldata has a price of its own.
        uint256 floor = 21_000;
        bytes memory data = abi.encodeCall(oracle.update, (report));
        for (uint256 i; i < data.length; ++i) {
            floor += data[i] == 0 ? 10 : 40;
        }
        assertGt(floor, used);
        vm.snapshotValue("PriceOracle", "update_not_newer_10_feeds_prague_floor", floor);
    }

    function _updateTwice() private {
        oracle.update(_varied(_now(), 0));
        vm.warp(block.timestamp + SLOT);
        bytes memory report = _varied(_now(), 1_234_567);
        oracle.update(report);
    }

    function _varied(uint64 seq, int64 move) private view returns (bytes memory) {
        (int64[] memory prices, uint16[] memory confidences) = _values(P);
        for (uint256 i; i < prices.length; ++i) {
            prices[i] += int64(int256(i * 7_654_321_987)) + move;
        }
        return _report(seq, prices, confidences);
    }

    /* ACCEPTANCE */

    function test_update_stores_every_feed() public {
        (int64[] memory prices, uint16[] memory confidences) = _values(P);
        for (uint256 i; i < prices.length; ++i) {
            prices[i] = int64(int256(i + 1));
            confidences[i] = uint16(i);
        }
        bytes memory report = _report(_now(), prices, confidences);
        vm.expectEmit(address(oracle));
        emit IPriceOracle.ReportStored(1, _now(), _words(prices, confidences));
        assertTrue(oracle.update(report));

        for (uint256 i; i < prices.length; ++i) {
            IPriceOracle.Price memory price = oracle.price(i);
            assertEq(price.price, (i + 1) * 1e10);
            assertEq(price.confidence, i * 1e14);
            assertEq(price.observedAt, block.timestamp);
            assertEq(price.parked, 0);
            assertTrue(price.fresh);
        }
        (uint32 epoch, uint64 seq) = oracle.latest();
        assertEq(epoch, 1);
        assertEq(seq, _now());
        assertEq(oracle.feedCount(), 10);
        vm.expectRevert(abi.encodeWithSelector(SignerEpochs.UnknownFeed.selector, 10));
        oracle.price(10);
    }

    function test_not_newer_is_false_before_any_check() public {
        oracle.update(_flat(_now(), P));
        assertFalse(oracle.update(_flat(_now(), P)));
        assertFalse(oracle.update(_flat(_now() - 1, P)));
        // Not even its shape or its epoch is looked at: a bundle must not pay for it.
        assertFalse(oracle.update(abi.encodePacked(uint32(99), _now(), uint8(0))));
    }

    function test_time_bounds() public {
        uint64 next = _now() + 1;
        bytes memory report = _flat(next, P);
        vm.expectRevert(abi.encodeWithSelector(PriceOracle.FutureReport.selector, next));
        oracle.update(report);
        vm.warp(uint256(next) * SLOT + 61);
        vm.expectRevert(abi.encodeWithSelector(PriceOracle.ReportTooOld.selector, next));
        oracle.update(report);
        vm.warp(uint256(next) * SLOT + 60);
        assertTrue(oracle.update(report));
    }

    function testFuzz_any_quorum_in_any_place(uint32 seed) public {
        uint32 bitmap;
        for (uint256 set; set < 5; seed = uint32(uint256(keccak256(abi.encode(seed))))) {
            uint32 bit = uint32(1) << (seed % 7);
            if (bitmap & bit == 0) (bitmap, set) = (bitmap | bit, set + 1);
        }
        assertTrue(oracle.update(_signedBy(bitmap)));
    }

    /* SIGNATURES */

    function test_invalid_quorums() public {
        _refused(_signedBy(0x0f), JumpGuard.MalformedReport.selector); // 4 of 5
        _refused(_signedBy(0x3f), JumpGuard.MalformedReport.selector); // 6: more than needed
        _refused(_signedBy(0), JumpGuard.MalformedReport.selector);
        // Bitmap and signatures disagree.
        _refused(_parts(0x0f, _sign(_goodDigest(), 0x1f)), QuorumSignatures.MalformedSignatures.selector);
        _refused(_parts(0x3f, _sign(_goodDigest(), 0x1f)), _invalidSignature(5));
        _refused(_parts(0x9f, _sign(_goodDigest(), 0x1f)), QuorumSignatures.MalformedSignatures.selector);
        // Bit 7 of 7 signers.
        _refused(_parts(0x8f, _sign(_goodDigest(), 0x1f)), QuorumSignatures.MalformedSignatures.selector);
    }

    function test_invalid_signatures() public {
        bytes32 digest = _goodDigest();
        bytes memory first4 = _sign(digest, 0x0f);

        bytes memory forged = _compact(uint256(keccak256("stranger")), digest);
        _refusedSigner(bytes.concat(first4, forged), 4);
        bytes memory duplicate = _compact(keys[3], digest);
        _refusedSigner(bytes.concat(first4, duplicate), 4);
        _refusedSigner(bytes.concat(_sign(digest, 0x02), _sign(digest, 0x01), _sign(digest, 0x1c)), 0);
        _refusedSigner(bytes.concat(first4, new bytes(64)), 4);
        // The right signer of another report.
        _refusedSigner(bytes.concat(first4, _compact(keys[4], keccak256("other"))), 4);
        // Same signer, not the one that the bitmap names.
        _refused(_parts(0x2f, _sign(digest, 0x1f)), _invalidSignature(5));
    }

    /// @dev s' = n − s with the other parity recovers the same address. In the compact form a high s loses its top bit to
    /// the parity, so only those between n/2 and 2^255 can be written at all: both kinds are refused.
    function test_high_s() public {
        bytes32 digest = _goodDigest();
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(keys[4], digest);
        uint256 high = N - uint256(s);
        bytes memory flipped = abi.encodePacked(r, bytes32(high | (uint256(28 - v) << 255)));
        _refusedSigner(bytes.concat(_sign(digest, 0x0f), flipped), 4);
    }

    /// @dev A signature whose s lies just above n/2, which only a key chosen after the digest can have: key = (s·k − z)/r with
    /// k = 1, so r is the generator's x.
    function test_high_s_that_fits_the_compact_form() public {
        uint256 s = N / 2 + 1;
        uint256 r = 0x79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798;
        bytes32 digest = _goodDigest();
        // The high s stands for the low one of the same key with the other parity: take the address from the precompile.
        address signer = ecrecover(digest, 27, bytes32(r), bytes32(s));
        assertTrue(signer != address(0), "the curve accepts it");
        address[] memory signers = _signers();
        signers[4] = signer;
        oracle = new PriceOracle(NETWORK, governance, SLOT, _parameters());
        vm.prank(governance);
        oracle.openEpoch(SignerEpochs.Epoch(1, 1, type(uint48).max, 0, signers, feeds));
        _refusedSigner(bytes.concat(_sign(digest, 0x0f), abi.encodePacked(r, s)), 4);
        // The same signer's low form is accepted.
        bytes memory low = abi.encodePacked(r, (N - s) | (1 << 255));
        assertTrue(oracle.update(_parts(0x1f, bytes.concat(_sign(digest, 0x0f), low))));
    }

    function test_signed_for_something_else() public {
        (int64[] memory prices, uint16[] memory confidences) = _values(P);
        bytes32[] memory words = _words(prices, confidences);
        bytes32 digest = _digest(2, _now(), _feedsHash(), words);
        _refused(_parts(0x1f, _sign(digest, 0x1f)), _invalidSignature(0)); // another epoch
        digest = _digest(1, _now() - 1, _feedsHash(), words);
        _refused(_parts(0x1f, _sign(digest, 0x1f)), _invalidSignature(0)); // another slot
        digest = _digest(1, _now(), keccak256("feeds"), words);
        _refused(_parts(0x1f, _sign(digest, 0x1f)), _invalidSignature(0)); // other feeds
        bytes memory report = _flat(_now(), P);
        PriceOracle elsewhere = new PriceOracle(keccak256("other"), governance, SLOT, _parameters());
        oracle = elsewhere;
        _open(1, 1, type(uint48).max);
        _refused(report, _invalidSignature(0)); // another network
    }

    /// @dev By design: a price is the same on every chain of the network, so a report is too.
    function test_replay_on_another_chain_of_the_network() public {
        bytes memory report = _flat(_now(), P);
        assertTrue(oracle.update(report));
        vm.chainId(block.chainid + 1);
        oracle = new PriceOracle(NETWORK, governance, SLOT, _parameters());
        _open(1, 1, type(uint48).max);
        assertTrue(oracle.update(report));
    }

    function test_malformed() public {
        bytes memory report = _flat(_now(), P);
        _refused("", JumpGuard.MalformedReport.selector);
        _refused(new bytes(12), JumpGuard.MalformedReport.selector);
        _refused(bytes.concat(report, hex"00"), JumpGuard.MalformedReport.selector);
        for (uint256 length = 13; length < report.length; length += 41) {
            bytes memory cut = bytes.concat(report);
            assembly ("memory-safe") {
                mstore(cut, length)
            }
            _refused(cut, JumpGuard.MalformedReport.selector);
        }
        bytes memory miscounted = bytes.concat(report);
        miscounted[12] = 0x05;
        _refused(miscounted, JumpGuard.MalformedReport.selector);
        bytes32[] memory words = _goodWords();
        words[2] |= bytes32(uint256(1));
        _refused(
            _assemble(1, _now(), words, 0x1f, _sign(_digest(1, _now(), _feedsHash(), words), 0x1f)),
            JumpGuard.MalformedReport.selector
        );
    }

    function testFuzz_no_byte_may_change(uint256 position, uint8 flip) public {
        bytes memory report = _flat(_now(), P);
        position = bound(position, 0, report.length - 1);
        report[position] ^= bytes1(flip == 0 ? 1 : flip);
        (bool ok, bytes memory result) = address(oracle).call(abi.encodeCall(oracle.update, (report)));
        assertTrue(!ok || !abi.decode(result, (bool)), "altered report stored");
    }

    function test_lanes_without_a_feed_are_refused() public {
        bytes32[] memory words = _goodWords();
        words[3] |= bytes32(uint256(7) << 112);
        _refused(
            _assemble(1, _now(), words, 0x1f, _sign(_digest(1, _now(), _feedsHash(), words), 0x1f)),
            JumpGuard.MalformedReport.selector
        );
    }

    /* VECTORS */

    /// @dev The file is written by packages/shared/src/report.test.ts.
    function test_vectors_of_typescript() public {
        string memory json = vm.readFile("test/fixtures/reports.json");
        bytes32 network = vm.parseJsonBytes32(json, ".networkId");
        for (uint256 i; i < 3; ++i) {
            string memory path = string.concat(".reports[", vm.toString(i), "]");
            _checkVector(json, path, new PriceOracle(network, governance, SLOT, _parameters()));
        }
    }

    function _checkVector(string memory json, string memory path, PriceOracle fresh) private {
        uint64 seq = uint64(vm.parseJsonUint(json, string.concat(path, ".seq")));
        uint32 epoch = uint32(vm.parseJsonUint(json, string.concat(path, ".epoch")));
        bytes memory encoded = vm.parseJsonBytes(json, string.concat(path, ".encoded"));
        delete feeds;
        for (uint256 i; vm.keyExistsJson(json, _feedAt(path, i, "")); ++i) {
            bytes32 name = vm.parseJsonBytes32(json, _feedAt(path, i, ".name"));
            int8 exponent = int8(vm.parseJsonInt(json, _feedAt(path, i, ".exponent")));
            bool isSigned = vm.parseJsonBool(json, _feedAt(path, i, ".signed"));
            feeds.push(SignerEpochs.Feed(name, exponent, isSigned, 120));
        }
        address[] memory signers = new address[](31);
        uint256 n;
        for (; vm.keyExistsJson(json, _nodeAt(path, n)); ++n) {
            signers[n] = vm.parseJsonAddress(json, string.concat(_nodeAt(path, n), ".signer"));
        }
        assembly ("memory-safe") {
            mstore(signers, n)
        }
        vm.prank(governance);
        fresh.openEpoch(SignerEpochs.Epoch(epoch, 1, type(uint48).max, 0, signers, feeds));
        assertEq(_feedsHash(), vm.parseJsonBytes32(json, string.concat(path, ".feedsHash")));

        vm.warp(uint256(seq) * SLOT);
        assertTrue(fresh.update(encoded));
        for (uint256 i; i < feeds.length; ++i) {
            int256 price = vm.parseJsonInt(json, _feedAt(path, i, ".price"));
            uint256 confidence = vm.parseJsonUint(json, _feedAt(path, i, ".confidence"));
            IValueOracle.Value memory stored = fresh.value(i);
            if ((price <= 0 && !feeds[i].isSigned) || confidence == 0xffff) {
                assertEq(stored.observedAt, 0);
                assertFalse(stored.fresh);
            } else {
                uint256 unit = 10 ** uint256(int256(18 + feeds[i].exponent));
                assertEq(stored.value, price * int256(unit));
                uint256 half = confidence * (feeds[i].isSigned ? 1e18 : uint256(stored.value));
                assertEq(stored.confidence, half / 10_000);
            }
        }
    }

    function test_handover_of_typescript() public {
        string memory json = vm.readFile("test/fixtures/handover.json");
        PriceOracle fresh =
            new PriceOracle(vm.parseJsonBytes32(json, ".networkId"), governance, SLOT, _parameters());
        SignerEpochs.Epoch memory next;
        next.epoch = uint32(vm.parseJsonUint(json, ".next.epoch"));
        next.firstSeq = uint64(vm.parseJsonUint(json, ".next.firstSeq"));
        next.lastSeq = uint64(vm.parseJsonUint(json, ".next.lastSeq"));
        next.configHash = vm.parseJsonBytes32(json, ".next.configHash");
        next.feeds = new SignerEpochs.Feed[](4);
        for (uint256 i; i < 4; ++i) {
            next.feeds[i].name = vm.parseJsonBytes32(json, _feedAt(".next", i, ".name"));
            next.feeds[i].exponent = int8(vm.parseJsonInt(json, _feedAt(".next", i, ".exponent")));
            next.feeds[i].isSigned = vm.parseJsonBool(json, _feedAt(".next", i, ".isSigned"));
            next.feeds[i].useAge = uint24(vm.parseJsonUint(json, _feedAt(".next", i, ".useAge")));
        }
        next.signers = vm.parseJsonAddressArray(json, ".signers");
        SignerEpochs.Epoch memory first = SignerEpochs.Epoch(1, 1, next.firstSeq, 0, next.signers, next.feeds);
        next.signers = vm.parseJsonAddressArray(json, ".next.signers");
        vm.prank(governance);
        fresh.openEpoch(first);
        vm.warp(uint256(next.firstSeq) * SLOT);
        fresh.handOver(next, vm.parseJsonBytes(json, ".signatures"));
        (uint32 epoch,,) = fresh.openedEpoch();
        assertEq(epoch, 2);
    }

    function _feedAt(string memory path, uint256 i, string memory field)
        private
        pure
        returns (string memory)
    {
        return string.concat(path, ".feeds[", vm.toString(i), "]", field);
    }

    function _nodeAt(string memory path, uint256 i) private pure returns (string memory) {
        return string.concat(path, ".nodes[", vm.toString(i), "]");
    }

    /* HELPERS */

    function _goodWords() private view returns (bytes32[] memory) {
        (int64[] memory prices, uint16[] memory confidences) = _values(P);
        return _words(prices, confidences);
    }

    function _goodDigest() private view returns (bytes32) {
        return _digest(1, _now(), _feedsHash(), _goodWords());
    }

    function _signedBy(uint32 bitmap) private view returns (bytes memory) {
        return _parts(bitmap, _sign(_goodDigest(), bitmap));
    }

    function _parts(uint32 bitmap, bytes memory signatures) private view returns (bytes memory) {
        return _assemble(1, _now(), _goodWords(), bitmap, signatures);
    }

    function _invalidSignature(uint256 signer) private pure returns (bytes memory) {
        return abi.encodeWithSelector(QuorumSignatures.InvalidSignature.selector, signer);
    }

    function _refusedSigner(bytes memory signatures, uint256 signer) private {
        _refused(_parts(0x1f, signatures), _invalidSignature(signer));
    }

    function _refused(bytes memory report, bytes4 selector) private {
        _refused(report, abi.encodeWithSelector(selector));
    }

    function _refused(bytes memory report, bytes memory reason) private {
        vm.expectRevert(reason);
        oracle.update(report);
    }
}
