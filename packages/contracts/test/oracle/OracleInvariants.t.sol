// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IValueOracle} from "../../src/interfaces/IValueOracle.sol";
import {SignerEpochs} from "../../src/oracle/SignerEpochs.sol";
import {OracleWorld} from "./OracleWorld.sol";

/// @notice DESIGN §6.9 on three chains, one of which is mostly idle: reports and handovers arrive late, out of order, twice or never;
/// one node in four equivocates; epochs rotate, are revoked and replaced, and their old keys leak; the market jumps.
contract OracleInvariantsTest is OracleWorld {
    uint256 private constant IDLE = 2;
    /// @dev T of the jump guard, in slots.
    uint256 private constant SPAN = 15;

    /* What was seen on chain. */
    mapping(uint64 seq => bytes32 digest) private _accepted;
    uint256 private _conflicts;
    uint256 private _unbacked;
    uint256 private _lateCrashes;
    mapping(uint256 chain => uint64) private _newestSeen;
    mapping(bytes32 what => uint256) private _count;

    function setUp() public {
        _build();
        bytes4[] memory selectors = new bytes4[](14);
        selectors[0] = this.pass.selector;
        selectors[1] = this.move.selector;
        selectors[2] = this.publish.selector;
        selectors[3] = this.publish.selector;
        selectors[4] = this.equivocate.selector;
        selectors[5] = this.deliver.selector;
        selectors[6] = this.deliver.selector;
        selectors[7] = this.forge.selector;
        selectors[8] = this.leak.selector;
        selectors[9] = this.rotate.selector;
        selectors[10] = this.deliverHandover.selector;
        selectors[11] = this.revoke.selector;
        selectors[12] = this.replace.selector;
        selectors[13] = this.crash.selector;
        targetSelector(FuzzSelector({addr: address(this), selectors: selectors}));
        targetContract(address(this));
    }

    /* TIME AND MARKET */

    /// @dev Sometimes past the accept-age; sometimes within one block.
    function pass(uint256 seed) public {
        vm.warp(block.timestamp + (seed % 16 == 0 ? (seed >> 8) % 4_000 : (seed >> 8) % 7));
        if (seed % 3 != 0) vm.roll(block.number + 1);
    }

    /// @dev Mostly a little, sometimes far beyond the jump guard and back.
    function move(uint256 seed) public {
        int64 bps = int64(int256((seed >> 8) % 601)) - 300;
        if (seed % 4 == 0) bps = int64(int256((seed >> 8) % 9_001)) - 4_000;
        _move(bps);
    }

    function _move(int64 bps) private {
        for (uint256 i; i < FEEDS; ++i) {
            int64 next = _truth[i] + ((i == RATE ? int64(1e8) : _truth[i]) / 10_000) * bps;
            bool sane = i == RATE ? next < 10e8 && next > -10e8 : next > 1e5 && next < 1e15;
            if (sane) _truth[i] = next;
        }
    }

    /* NODES */

    /// @dev The slot's report, if it has none: all nodes sign, and two of the quorums among them publish.
    function publish(uint256 seed) public {
        uint64 seq = _now();
        uint32 epoch = _owner(seq);
        if (epoch == 0 || _proposed[seq] != 0) return;
        bytes32[] memory words = _content(seed, true);
        _proposed[seq] = keccak256(abi.encode(words));
        for (uint256 node; node < NODES; ++node) {
            _nodeSigns(epoch, seq, words, node);
        }
        _reports.push(Report(epoch, seq, words, uint32(0xf ^ (1 << (seed % NODES)))));
        _reports.push(Report(epoch, seq, words, uint32(0xf ^ (1 << ((seed >> 8) % NODES)))));
    }

    /// @dev The faulty node leads with two contents, each to some of the honest, and signs both; or it comes after the slot's report.
    function equivocate(uint256 seed) public {
        uint64 seq = _now();
        uint32 epoch = _owner(seq);
        if (epoch == 0) return;
        bytes32[] memory b = _content(uint256(keccak256(abi.encode(seed))), false);
        _nodeSigns(epoch, seq, b, FAULTY);
        if (_proposed[seq] == 0) {
            _move(int64(int256((seed >> 16) % 1_001)) - 500);
            bytes32[] memory a = _content(seed, true);
            _proposed[seq] = keccak256(abi.encode(a));
            _nodeSigns(epoch, seq, a, FAULTY);
            for (uint256 node; node < NODES; ++node) {
                if (node != FAULTY) _nodeSigns(epoch, seq, (seed >> node) & 1 == 0 ? a : b, node);
            }
            _sort(epoch, seq, a);
        }
        _sort(epoch, seq, b);
    }

    function _sort(uint32 epoch, uint64 seq, bytes32[] memory words) private {
        bytes32 digest = _digest(epoch, seq, _feedsHash(), words);
        Report memory r = Report(epoch, seq, words, _signersOf(digest));
        if (_support[digest] < QUORUM) _partials.push(r);
        // Exactly a quorum's signatures count.
        else _reports.push(Report(epoch, seq, words, r.bitmap == 0xf ? uint32(0xe) : r.bitmap));
    }

    /* DELIVERY */

    /// @dev Any report, newest or old, to any chain, as often as one likes.
    function deliver(uint256 chain, uint256 i) public {
        if (_reports.length == 0) return;
        chain = chain % 8 == 0 ? IDLE : chain % 2;
        uint256 back = (i >> 8) % (i % 2 == 0 ? 4 : 40);
        _deliver(chain, _reports[_reports.length - 1 - (back % _reports.length)]);
    }

    function _deliver(uint256 chain, Report memory r) private {
        bool expected = _takes(chain, r);
        bool stored = _update(chain, _encode(r), r);
        assertEq(stored, expected, "a quorum's report is taken where and while it counts");
    }

    function _update(uint256 chain, bytes memory data, Report memory r) private returns (bool stored) {
        try _chains[chain].update(data) returns (bool result) {
            stored = result;
        } catch {
            _note("refused");
        }
        if (!stored) return false;
        _note("stored");
        bytes32 digest = _digest(r.epoch, r.seq, _feedsHash(), r.words);
        if (_accepted[r.seq] == 0) _accepted[r.seq] = digest;
        else if (_accepted[r.seq] != digest) ++_conflicts;
        if (_support[digest] < QUORUM) ++_unbacked;
        (, _newestSeen[chain]) = _chains[chain].latest();
    }

    /// @dev What too few have signed, made to look like a quorum's; or a quorum's report for another slot, epoch or price.
    function forge(uint256 chain, uint256 i, uint256 how) external {
        bool partial_ = how % 2 == 0;
        Report[] storage from = partial_ ? _partials : _reports;
        if (from.length == 0) return;
        Report memory r = from[from.length - 1 - (i % from.length) % 4];
        how >>= 8;
        bytes memory data = partial_ ? _padded(r, how) : _altered(r, how);
        _update(chain % CHAINS, data, r);
    }

    /// @dev A partial's signatures beside what stands in for the missing ones.
    function _padded(Report memory r, uint256 how) private view returns (bytes memory) {
        if (how % 5 == 0) return _encode(r); // too short
        uint256[] memory list = _keysOf(r.epoch);
        bytes32 digest = _digest(r.epoch, r.seq, _feedsHash(), r.words);
        bytes memory own = _compact(list[FAULTY], digest);
        // The honest have signed another content, another epoch's node this one.
        bytes32 other = _digest(r.epoch, r.seq, _feedsHash(), _certified[r.seq]);
        bytes memory pad = own;
        if (how % 5 == 2) pad = _compact(list[0], other);
        if (how % 5 == 3) pad = _compact(_keysOf(r.epoch + 1)[0], digest);
        if (how % 5 == 4) pad = new bytes(64);
        bytes memory signatures;
        uint32 bitmap = uint32(0xf ^ (1 << (how >> 8) % NODES));
        for (uint256 node; node < NODES; ++node) {
            if ((bitmap >> node) & 1 == 0) continue;
            bool has = (r.bitmap >> node) & 1 == 1;
            signatures = bytes.concat(signatures, has ? _compact(list[node], digest) : pad);
        }
        return _assemble(r.epoch, r.seq, r.words, bitmap, signatures);
    }

    /// @dev A quorum's signatures under something else. @param r Becomes what the bytes say.
    function _altered(Report memory r, uint256 how) private view returns (bytes memory data) {
        data = _encode(r);
        uint256 at = 0;
        if (how % 3 == 0) {
            (, uint64 newest) = _chains[how % CHAINS].latest();
            r.seq = newest + 1 + uint64((how >> 8) % 3);
        } else if (how % 3 == 1) {
            r.epoch = 1 + uint32((how >> 8) % _newest);
        } else {
            at = (how >> 8) % r.words.length;
            r.words[at] ^= bytes32(uint256(1) << (16 + (how >> 16) % 240));
        }
        bytes memory head = abi.encodePacked(r.epoch, r.seq, uint8(r.words.length), r.words);
        for (uint256 i; i < head.length; ++i) {
            data[i] = head[i];
        }
    }

    function _note(string memory what) private {
        ++_count[keccak256(bytes(what))];
    }

    /* EPOCHS */

    function rotate(uint256 seed) external {
        // A quorum that is revoked somewhere is replaced, not followed.
        if (_revocations[_newest] != 0 || _newest > 40) return;
        uint64 from = _now() > _firstSeq[_newest] ? _now() : _firstSeq[_newest];
        _signHandover(from + 1 + uint64((seed >> 8) % 12), seed);
    }

    /// @dev To any chain, late, twice, before the one that goes first.
    function deliverHandover(uint256 chain, uint256 i) external {
        if (_handovers.length == 0) return;
        chain %= CHAINS;
        uint256 first = _openedOn(chain);
        // Mostly the one that this chain waits for.
        for (uint256 k; i % 4 != 0 && k < _handovers.length; ++k) {
            if (_handovers[k].epoch == first + 1) return _handOver(chain, _handovers[k]);
        }
        _handOver(chain, _handovers[(i >> 8) % _handovers.length]);
    }

    function _handOver(uint256 chain, Handover memory handover) private {
        uint32 from = handover.epoch - 1;
        bool expected = _openedOn(chain) == from && !_revoked[chain][from] && !_revoked[chain][handover.epoch];
        (bool done,) = address(_chains[chain]).call(handover.call);
        assertEq(done, expected, "a quorum's handover is taken once, where it counts");
        if (!done) return;
        _opened[chain][handover.epoch] = true;
        _note("rotated");
    }

    /// @dev On one chain, or on all, when its keys may sign anything.
    function revoke(uint256 chain, uint256 seed) external {
        for (uint256 c; c < CHAINS; ++c) {
            if ((c == chain % CHAINS || seed % 2 == 0) && !_revoked[c][_newest]) {
                vm.prank(governance);
                _chains[c].revoke(_newest);
                _revoked[c][_newest] = true;
                if (++_revocations[_newest] == CHAINS) _note("revoked");
            }
        }
    }

    function replace(uint256 seed) external {
        if (seed % 2 == 0 && _revocations[_newest] != 0) _replace(_now() + 1 + uint64((seed >> 8) % 6));
    }

    /// @dev Keys of an epoch that a chain has seen the end of sign whatever they are asked to, reports and handovers.
    function leak(uint256 chain, uint256 seed) external {
        chain %= CHAINS;
        uint64 seq = _now();
        uint32 newest = _openedOn(chain);
        // Mostly the one just revoked or handed over.
        uint32 epoch = _revoked[chain][newest] || newest == 1 ? newest : newest - 1;
        if (seed % 4 == 0) epoch = 1 + uint32((seed >> 8) % _newest);
        if (_ownerOn(chain, seq) == epoch && !_revoked[chain][epoch]) return;
        Report memory r = Report(epoch, seq, _content(seed, false), 0x7);
        _update(chain, _encode(r), r);
        if (newest == epoch && !_revoked[chain][epoch]) return;
        keys = _keysOf(1_000);
        SignerEpochs.Epoch memory next = _epoch(newest + 1, seq + 1, type(uint48).max);
        bytes memory signatures = _signHandover(_keysOf(epoch), next, 0x7);
        vm.expectRevert();
        _chains[chain].handOver(next, signatures);
    }

    /* A REAL CRASH */

    /// @dev -40 %, for good. Relayers bring each slot's report to every chain, the idle one too; the faulty leader may lose its slots.
    function crash(uint256 seed) external {
        if (seed % 2 == 0) return; // it takes long
        _settleEpochs();
        _move(-4_000);
        vm.warp((_now() + 1) * uint256(SLOT));
        uint64 start = _now();
        for (uint64 seq = start; seq <= start + SPAN + 2; ++seq) {
            vm.warp(seq * uint256(SLOT));
            vm.roll(block.number + 1);
            if (seq % NODES == FAULTY && (seed >> (seq % 64)) & 2 == 2) continue;
            _publishAll(uint256(keccak256(abi.encode(seed, seq))));
        }
        for (uint256 c; c < CHAINS; ++c) {
            for (uint256 feed; feed < FEEDS; ++feed) {
                IValueOracle.Value memory v = _chains[c].value(feed);
                if (v.isParked || v.observedAt < start * SLOT) ++_lateCrashes;
            }
        }
        _note("crashes");
    }

    /// @dev One signed content a slot, without holds, on every chain.
    function _publishAll(uint256 seed) private {
        uint64 seq = _now();
        uint32 epoch = _owner(seq);
        bytes32[] memory words = _content(seed, false);
        _proposed[seq] = keccak256(abi.encode(words));
        for (uint256 node; node < NODES; ++node) {
            _nodeSigns(epoch, seq, words, node);
        }
        _reports.push(Report(epoch, seq, words, 0xd));
        for (uint256 c; c < CHAINS; ++c) {
            _deliver(c, _reports[_reports.length - 1]);
        }
    }

    /// @dev Every chain knows the newest epoch, nobody has revoked it, and it has begun.
    function _settleEpochs() private {
        for (uint256 k; k < _handovers.length; ++k) {
            for (uint256 c; c < CHAINS; ++c) {
                _handOver(c, _handovers[k]);
            }
        }
        if (_revocations[_newest] != 0) _replace(_now() + 1);
        if (_now() < _firstSeq[_newest]) vm.warp(_firstSeq[_newest] * uint256(SLOT));
    }

    /* INVARIANTS */

    /// forge-config: default.invariant.runs = 12
    /// forge-config: default.invariant.depth = 60
    /// forge-config: full.invariant.runs = 60
    /// forge-config: full.invariant.depth = 150
    function invariant_one_report_a_slot_and_every_value_a_quorums() public view {
        assertEq(_conflicts, 0, "two reports of one slot were taken");
        assertEq(_unbacked, 0, "a report without a quorum was taken");
        assertEq(_lateCrashes, 0, "a real crash was not taken within T + 2 slots");
        for (uint256 c; c < CHAINS; ++c) {
            (, uint64 newest) = _chains[c].latest();
            assertEq(newest, _newestSeen[c], "something else moved the oracle");
            for (uint256 feed; feed < FEEDS; ++feed) {
                _checkValue(_chains[c].value(feed), feed);
            }
            for (uint256 d; d < c; ++d) {
                _checkEqual(c, d);
            }
        }
    }

    /// @dev A stored value is the one that a quorum signed for its slot; a parked one, one that a quorum signed.
    function _checkValue(IValueOracle.Value memory v, uint256 feed) private view {
        if (v.observedAt == 0) return;
        bytes32[] storage words = _certified[uint64(v.observedAt / SLOT)];
        assertGt(words.length, 0, "a value of a slot that no quorum signed");
        assertEq(v.value, int256(_lane(words, feed)) * 1e10, "a value that no quorum signed");
        if (v.isParked) {
            assertTrue(_certifiedValue[feed][v.parked / 1e10], "parked, and no quorum signed it");
        }
    }

    /// @dev Of equal slots, every value that isn't held back by the chain's own past is equal.
    function _checkEqual(uint256 c, uint256 d) private view {
        (uint32 epoch, uint64 seq) = _chains[c].latest();
        (uint32 otherEpoch, uint64 otherSeq) = _chains[d].latest();
        if (seq != otherSeq || seq == 0) return;
        assertEq(epoch, otherEpoch, "one slot, two epochs");
        for (uint256 feed; feed < FEEDS; ++feed) {
            IValueOracle.Value memory v = _chains[c].value(feed);
            IValueOracle.Value memory w = _chains[d].value(feed);
            if (v.observedAt == w.observedAt) {
                assertEq(abi.encode(v.value, v.confidence), abi.encode(w.value, w.confidence));
            }
        }
    }

    /// @dev The handlers reach what the invariants speak of.
    function test_the_handlers_reach_it_all() public {
        bytes4[] memory selectors = targetSelectors()[0].selectors;
        for (uint256 i; i < 600; ++i) {
            bytes32 seed = keccak256(abi.encode(i));
            bytes4 selector = selectors[uint256(seed) % selectors.length];
            bytes memory call = abi.encodePacked(selector, seed, keccak256(abi.encode(seed)), ~seed);
            (bool done, bytes memory reason) = address(this).call(call);
            assertTrue(done, string(reason));
        }
        invariant_one_report_a_slot_and_every_value_a_quorums();
        string[5] memory all = ["stored", "refused", "rotated", "revoked", "crashes"];
        for (uint256 i; i < all.length; ++i) {
            assertGt(_count[keccak256(bytes(all[i]))], 5, all[i]);
        }
        assertGt(_partials.length, 5);
    }
}
