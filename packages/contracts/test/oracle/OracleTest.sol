// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Test} from "forge-std/Test.sol";
import {PriceOracle} from "../../src/oracle/PriceOracle.sol";
import {SignerEpochs} from "../../src/oracle/SignerEpochs.sol";

/// @notice Nodes with keys, an oracle, and the report codec, written apart from the contract's own.
abstract contract OracleTest is Test {
    bytes32 internal constant NETWORK = keccak256("network");
    uint32 internal constant SLOT = 2;
    address internal immutable governance = makeAddr("governance");

    PriceOracle internal oracle;
    uint256[] internal keys;
    SignerEpochs.Feed[] internal feeds;

    function _parameters() internal pure returns (SignerEpochs.Parameters memory) {
        return SignerEpochs.Parameters({
            acceptAge: 60, jumpBase: 500, jumpPerMinute: 100, jumpMax: 2_000, jumpSpan: 30, ageing: 100
        });
    }

    /// @dev An oracle at slot 1,000,000 of epoch 1, without a report.
    function _deploy(uint256 nodes, uint256 feedCount) internal {
        _deploy(nodes, feedCount, 0);
    }

    /// @param signedFeeds Bit i, feed i may be negative.
    function _deploy(uint256 nodes, uint256 feedCount, uint256 signedFeeds) internal {
        vm.warp(1_000_000 * uint256(SLOT));
        oracle = new PriceOracle(NETWORK, governance, SLOT, _parameters());
        delete keys;
        delete feeds;
        for (uint256 i; i < nodes; ++i) {
            keys.push(uint256(keccak256(abi.encode("node", i))));
        }
        for (uint256 i; i < feedCount; ++i) {
            bytes32 name = bytes32(abi.encodePacked("FEED", uint8(65 + i)));
            feeds.push(SignerEpochs.Feed(name, -8, (signedFeeds >> i) & 1 == 1, 120));
        }
        _open(1, 1, type(uint48).max);
    }

    function _open(uint32 epoch, uint64 firstSeq, uint64 lastSeq) internal {
        vm.prank(governance);
        oracle.openEpoch(_epoch(epoch, firstSeq, lastSeq));
    }

    function _epoch(uint32 epoch, uint64 firstSeq, uint64 lastSeq)
        internal
        view
        returns (SignerEpochs.Epoch memory)
    {
        return SignerEpochs.Epoch(epoch, firstSeq, lastSeq, keccak256("configuration"), _signers(), feeds);
    }

    function _signers() internal view returns (address[] memory) {
        return _addresses(keys);
    }

    function _addresses(uint256[] memory list) internal pure returns (address[] memory signers) {
        signers = new address[](list.length);
        for (uint256 i; i < list.length; ++i) {
            signers[i] = vm.addr(list[i]);
        }
    }

    function _now() internal view returns (uint64) {
        return uint64(block.timestamp / SLOT);
    }

    function _feedsHash() internal view returns (bytes32) {
        bytes memory packed;
        for (uint256 i; i < feeds.length; ++i) {
            packed = bytes.concat(
                packed, feeds[i].name, bytes1(uint8(feeds[i].exponent) ^ (feeds[i].isSigned ? 0x80 : 0))
            );
        }
        return keccak256(packed);
    }

    function _words(int64[] memory prices, uint16[] memory confidences)
        internal
        pure
        returns (bytes32[] memory words)
    {
        words = new bytes32[]((prices.length + 2) / 3);
        for (uint256 i; i < 3 * words.length; ++i) {
            bytes memory lane =
                i < prices.length ? abi.encodePacked(prices[i], confidences[i]) : new bytes(10);
            words[i / 3] |= bytes32(bytes10(lane)) >> (80 * (i % 3));
        }
    }

    function _domain() internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,bytes32 salt)"),
                keccak256("Clearspan"),
                keccak256("1"),
                NETWORK
            )
        );
    }

    function _digest(uint32 epoch, uint64 seq, bytes32 feedsHash, bytes32[] memory words)
        internal
        pure
        returns (bytes32)
    {
        bytes32 report = keccak256(
            abi.encode(
                keccak256("Report(uint32 epoch,uint64 seq,bytes32 feeds,bytes32[] slots)"),
                epoch,
                seq,
                feedsHash,
                keccak256(abi.encodePacked(words))
            )
        );
        return keccak256(abi.encodePacked(hex"1901", _domain(), report));
    }

    function _handoverDigest(SignerEpochs.Epoch memory next) internal pure returns (bytes32) {
        bytes32[] memory hashes = new bytes32[](next.feeds.length);
        string memory feedType = "Feed(bytes32 name,int8 exponent,bool isSigned,uint24 useAge)";
        for (uint256 i; i < hashes.length; ++i) {
            SignerEpochs.Feed memory feed = next.feeds[i];
            hashes[i] = keccak256(
                abi.encode(
                    keccak256(bytes(feedType)), feed.name, int256(feed.exponent), feed.isSigned, feed.useAge
                )
            );
        }
        string memory handoverType = string.concat(
            "Handover(uint32 epoch,uint64 firstSeq,uint64 lastSeq,bytes32 configHash,address[] signers,",
            "Feed[] feeds)",
            feedType
        );
        bytes memory head =
            abi.encode(keccak256(bytes(handoverType)), next.epoch, next.firstSeq, next.lastSeq);
        bytes memory tail = abi.encode(
            next.configHash, keccak256(abi.encodePacked(next.signers)), keccak256(abi.encodePacked(hashes))
        );
        return keccak256(abi.encodePacked(hex"1901", _domain(), keccak256(bytes.concat(head, tail))));
    }

    /// @dev `bitmap u32 | signatures` of the nodes with these keys.
    function _signHandover(uint256[] memory by, SignerEpochs.Epoch memory next, uint32 bitmap)
        internal
        pure
        returns (bytes memory signatures)
    {
        signatures = abi.encodePacked(bitmap);
        for (uint256 i; i < by.length; ++i) {
            if ((bitmap >> i) & 1 == 1) {
                signatures = bytes.concat(signatures, _compact(by[i], _handoverDigest(next)));
            }
        }
    }

    function _compact(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, bytes32(uint256(s) | (uint256(v - 27) << 255)));
    }

    function _assemble(
        uint32 epoch,
        uint64 seq,
        bytes32[] memory words,
        uint32 bitmap,
        bytes memory signatures
    ) internal pure returns (bytes memory) {
        return abi.encodePacked(epoch, seq, uint8(words.length), abi.encodePacked(words), bitmap, signatures);
    }

    /// @dev Signatures of the nodes in `bitmap`, in ascending order.
    function _sign(bytes32 digest, uint32 bitmap) internal view returns (bytes memory signatures) {
        for (uint256 i; i < keys.length; ++i) {
            if ((bitmap >> i) & 1 == 1) signatures = bytes.concat(signatures, _compact(keys[i], digest));
        }
    }

    /// @dev Bitmap of the first 2f + 1 nodes.
    function _quorum() internal view returns (uint32) {
        return uint32((1 << (2 * ((keys.length - 1) / 3) + 1)) - 1);
    }

    function _report(uint64 seq, int64[] memory prices, uint16[] memory confidences)
        internal
        view
        returns (bytes memory)
    {
        (uint32 epoch,,) = oracle.openedEpoch();
        bytes32[] memory words = _words(prices, confidences);
        bytes32 digest = _digest(epoch, seq, _feedsHash(), words);
        return _assemble(epoch, seq, words, _quorum(), _sign(digest, _quorum()));
    }

    /// @dev All feeds at one price, confidence 5 bps.
    function _flat(uint64 seq, int64 price) internal view returns (bytes memory) {
        (int64[] memory prices, uint16[] memory confidences) = _values(price);
        return _report(seq, prices, confidences);
    }

    function _values(int64 price) internal view returns (int64[] memory prices, uint16[] memory confidences) {
        prices = new int64[](feeds.length);
        confidences = new uint16[](feeds.length);
        for (uint256 i; i < prices.length; ++i) {
            (prices[i], confidences[i]) = (price, 5);
        }
    }
}
