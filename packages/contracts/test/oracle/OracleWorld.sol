// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {PriceOracle} from "../../src/oracle/PriceOracle.sol";
import {SignerEpochs} from "../../src/oracle/SignerEpochs.sol";
import {OracleTest} from "./OracleTest.sol";

/// @notice Several chains' oracles and the nodes of every epoch, apart from the contract: who signed what, which slot is whose, and
/// what each chain has been told. Honest nodes sign at most one report a slot, and none of a slot that they have handed over.
abstract contract OracleWorld is OracleTest {
    uint256 internal constant CHAINS = 3;
    uint256 internal constant NODES = 4;
    uint256 internal constant QUORUM = 3;
    /// @dev Place of each epoch's faulty node: the same in all, so that two lost slots never meet at a rotation.
    uint256 internal constant FAULTY = 1;
    uint256 internal constant FEEDS = 4;
    /// @dev The feed that may be negative.
    uint256 internal constant RATE = 3;

    struct Report {
        uint32 epoch;
        uint64 seq;
        bytes32[] words;
        uint32 bitmap;
    }

    struct Handover {
        uint32 epoch;
        bytes call;
    }

    PriceOracle[CHAINS] internal _chains;
    int64[FEEDS] internal _truth = [int64(2_000e8), 50_000e8, 1e8, 5e6];

    /* What nodes know. */
    uint32 internal _newest = 1;
    mapping(uint256 epoch => uint64) internal _firstSeq;
    Report[] internal _reports;
    /// @dev Contents that some have signed, and too few.
    Report[] internal _partials;
    Handover[] internal _handovers;
    mapping(uint64 seq => bytes32 digest) internal _proposed;
    mapping(bytes32 digest => mapping(uint256 node => bool)) private _signed;
    mapping(bytes32 digest => uint256 nodes) internal _support;
    mapping(uint256 epoch => mapping(uint64 seq => mapping(uint256 node => bytes32 digest))) private
        _promised;

    /* What chains were told. */
    mapping(uint256 chain => mapping(uint256 epoch => bool)) internal _opened;
    mapping(uint256 chain => mapping(uint256 epoch => bool)) internal _revoked;
    /// @dev Number of chains that know of it: once all do, its keys may sign anything.
    mapping(uint256 epoch => uint256) internal _revocations;

    /// @dev Slots that a quorum has signed.
    mapping(uint64 seq => bytes32[] words) internal _certified;
    mapping(uint256 feed => mapping(int256 value => bool)) internal _certifiedValue;

    function _build() internal {
        vm.warp(1_000_000 * uint256(SLOT));
        for (uint256 i; i < FEEDS; ++i) {
            bytes32 name = bytes32(abi.encodePacked("FEED", uint8(65 + i)));
            feeds.push(SignerEpochs.Feed(name, -8, i == RATE, 120));
        }
        keys = _keysOf(1);
        _firstSeq[1] = 1;
        for (uint256 c; c < CHAINS; ++c) {
            oracle = _chains[c] = new PriceOracle(NETWORK, governance, SLOT, _parameters());
            _open(1, 1, type(uint48).max);
            _opened[c][1] = true;
        }
    }

    /* NODES */

    function _keysOf(uint256 epoch) internal pure returns (uint256[] memory list) {
        list = new uint256[](NODES);
        for (uint256 i; i < NODES; ++i) {
            list[i] = uint256(keccak256(abi.encode("node", epoch, i)));
        }
    }

    /// @dev Whose slot it is, as nodes know it, whatever chains know. 0: nobody's whom one could trust.
    function _owner(uint64 seq) internal view returns (uint32 epoch) {
        epoch = _newest;
        while (_firstSeq[epoch] > seq) --epoch;
        if (_revocations[epoch] == CHAINS) return 0;
    }

    /// @dev Whose slot it is on a chain.
    function _ownerOn(uint256 chain, uint64 seq) internal view returns (uint32 epoch) {
        epoch = _newest;
        while (!_opened[chain][epoch] || _firstSeq[epoch] > seq) --epoch;
    }

    /// @dev A node's signature of a report, noted. Fails if this model made an honest node sign twice.
    function _nodeSigns(uint32 epoch, uint64 seq, bytes32[] memory words, uint256 node) internal {
        bytes32 digest = _digest(epoch, seq, _feedsHash(), words);
        if (node != FAULTY) {
            assertTrue(_promised[epoch][seq][node] == 0, "an honest node signed twice");
            _promised[epoch][seq][node] = digest;
        }
        if (_signed[digest][node]) return;
        _signed[digest][node] = true;
        if (++_support[digest] != QUORUM) return;
        _certified[seq] = words;
        for (uint256 feed; feed < FEEDS; ++feed) {
            _certifiedValue[feed][_lane(words, feed)] = true;
        }
    }

    /// @dev The bitmap of those who have signed it.
    function _signersOf(bytes32 digest) internal view returns (uint32 bitmap) {
        for (uint256 node; node < NODES; ++node) {
            if (_signed[digest][node]) bitmap |= uint32(1 << node);
        }
    }

    /// @dev A signed 64-bit value, in the feed's unit.
    function _lane(bytes32[] memory words, uint256 feed) internal pure returns (int64) {
        return int64(uint64(uint256(words[feed / 3]) >> (192 - 80 * (feed % 3))));
    }

    /// @dev The market as nodes see it, with some noise. @param holds Some feeds have no price.
    function _content(uint256 seed, bool holds) internal view returns (bytes32[] memory) {
        int64[] memory prices = new int64[](FEEDS);
        uint16[] memory confidences = new uint16[](FEEDS);
        for (uint256 i; i < FEEDS; ++i) {
            uint256 random = uint256(keccak256(abi.encode(seed, i)));
            if (holds && random % 8 == 0) {
                confidences[i] = 0xffff;
                continue;
            }
            int64 noise = int64(int256((random >> 8) % 101)) - 50;
            prices[i] = _truth[i] + ((i == RATE ? int64(1e8) : _truth[i]) / 10_000) * noise;
            confidences[i] = uint16((random >> 16) % 50);
        }
        return _words(prices, confidences);
    }

    function _encode(Report memory r) internal view returns (bytes memory) {
        uint256[] memory list = _keysOf(r.epoch);
        bytes32 digest = _digest(r.epoch, r.seq, _feedsHash(), r.words);
        bytes memory signatures;
        for (uint256 i; i < NODES; ++i) {
            if ((r.bitmap >> i) & 1 == 1) signatures = bytes.concat(signatures, _compact(list[i], digest));
        }
        return _assemble(r.epoch, r.seq, r.words, r.bitmap, signatures);
    }

    /* CHAINS */

    /// @dev Whether a chain must take a report that a quorum signed.
    function _takes(uint256 chain, Report memory r) internal view returns (bool) {
        (, uint64 newest) = _chains[chain].latest();
        return r.seq > newest && block.timestamp - r.seq * SLOT <= 60 && !_revoked[chain][r.epoch]
            && _ownerOn(chain, r.seq) == r.epoch;
    }

    function _openedOn(uint256 chain) internal view returns (uint32 epoch) {
        (epoch,,) = _chains[chain].openedEpoch();
    }

    /// @dev The newest epoch's quorum names the next, once.
    function _signHandover(uint64 firstSeq, uint256 absent) internal {
        uint32 epoch = _newest + 1;
        keys = _keysOf(epoch);
        SignerEpochs.Epoch memory next = _epoch(epoch, firstSeq, type(uint48).max);
        bytes memory signatures = _signHandover(_keysOf(_newest), next, uint32(0xf ^ (1 << (absent % NODES))));
        _handovers.push(Handover(epoch, abi.encodeCall(SignerEpochs.handOver, (next, signatures))));
        _newest = epoch;
        _firstSeq[epoch] = firstSeq;
    }

    /// @dev The timelock's epoch, in place of one that is revoked; on every chain.
    function _replace(uint64 firstSeq) internal {
        uint32 epoch = ++_newest;
        _firstSeq[epoch] = firstSeq;
        keys = _keysOf(epoch);
        for (uint256 c; c < CHAINS; ++c) {
            oracle = _chains[c];
            _open(epoch, firstSeq, type(uint48).max);
            _opened[c][epoch] = true;
        }
    }
}
