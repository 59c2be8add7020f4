// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IPriceOracle} from "../interfaces/IPriceOracle.sol";
import {Lanes} from "./Lanes.sol";
import {SignerEpochs} from "./SignerEpochs.sol";

/// @title JumpGuard
/// @notice Stores the values of verified reports. A value that differs from the stored one by more than a limit, which grows
/// with the stored value's age, waits until reports that agree with it span `jumpSpan` and more than one block.
abstract contract JumpGuard is SignerEpochs {
    /// @dev Exists only while a feed's stored value is older than the newest report.
    struct Lag {
        /// Slot of the stored value.
        uint48 seq;
        /// Slot and block of the first report of the agreeing run beyond the guard, and the newest value of the run.
        uint48 parkedSeq;
        uint48 parkedBlock;
        uint64 parked;
    }

    error MalformedReport();

    /// @dev Beside the flags that `_guard` returns: this very report's value is beyond the guard.
    uint256 private constant IS_PARKED = 1 << 8;

    /// @dev The head and every feed's lane (see Lanes).
    uint256[MAX_FEEDS / 3 + 1] internal _words;
    mapping(uint256 feed => Lag) internal _lags;

    /// @dev Shifts the words by a lane, as the head goes first.
    /// @param old `_words[0]`. @param shape Of the report's epoch.
    function _store(
        bytes32[] memory values,
        uint256 seq,
        uint256 epoch,
        uint256 shape,
        uint256 old,
        uint256 config
    ) internal {
        unchecked {
            uint256 seqs = (seq << 48) | Lanes.seqOf(old);
            uint256 low = BPS - _jumpLimit(config, (seq - uint48(seqs)) * slotSeconds);
            // The word before, whose last lane goes first: at the start, of no word but the head.
            uint256 before = (seq << 48) | (epoch << 16);
            uint256 parked;
            uint256 dirty;
            for (uint256 i; 3 * i <= uint8(shape >> 8); ++i) {
                uint256 next = before << 160;
                assembly ("memory-safe") {
                    // After its last word a report has no lane left.
                    before := 0
                    if lt(i, mload(values)) { before := mload(add(add(values, 32), shl(5, i))) }
                    next := or(next, shl(16, shr(96, before)))
                    if i { old := sload(add(_words.slot, i)) }
                }
                dirty |= before;
                // The head is no price, and takes no part.
                uint256 head = i == 0 ? Lanes.BITS : 0;
                if (
                    (shape >> (SIGNED_FEEDS_AT - 1 + 3 * i)) & 7 != 0
                        || !Lanes.allInside((old << head) >> head, (next << head) >> head, low)
                ) {
                    uint256 bits;
                    (next, bits) = _merge(3 * i, uint8(shape >> 8), old, next, config, seqs);
                    parked |= bits;
                }
                assembly ("memory-safe") {
                    sstore(add(_words.slot, i), next)
                }
            }
            // One way to write a report: flags, and lanes after the last feed, are zero.
            uint256 unused = 16 + Lanes.BITS * (2 - (uint8(shape >> 8) + 2) % 3);
            if ((dirty & Lanes.FLAGS) | (before & ((1 << unused) - 1)) != 0) revert MalformedReport();
            if (parked != 0) emit IPriceOracle.FeedsParked(uint64(seq), parked);
        }
    }

    /// @dev Lane by lane. @return word What to store. @return parked Bits of the feeds that are beyond the guard.
    function _merge(uint256 place, uint256 feeds, uint256 old, uint256 next, uint256 config, uint256 seqs)
        private
        returns (uint256 word, uint256 parked)
    {
        if (place == 0) word = (next >> Lanes.FIRST) << Lanes.FIRST;
        for (uint256 lane = place == 0 ? 1 : 0; lane < 3 && place + lane <= feeds; ++lane) {
            (uint256 bits, bool parks) = _mergeLane(place + lane, old, next, config, seqs);
            word |= bits;
            if (parks) parked |= 1 << (place + lane - 1);
        }
    }

    /// @return bits What to store of the lane at `place`, with its flags. @return parks Its value is beyond the guard.
    function _mergeLane(uint256 place, uint256 old, uint256 next, uint256 config, uint256 seqs)
        private
        returns (uint256 bits, bool parks)
    {
        uint256 flags = (old >> (place % 3)) & (Lanes.LAGGED | Lanes.PARKED);
        (bits, flags) = _guard(place - 1, Lanes.at(old, place), flags, Lanes.at(next, place), config, seqs);
        parks = flags & IS_PARKED != 0;
        flags &= Lanes.LAGGED | Lanes.PARKED;
        bits = (bits << (Lanes.FIRST - Lanes.BITS * (place % 3))) | (flags << (place % 3));
    }

    /// @param seqs Slot of this report, and in the low 48 bits of the newest stored.
    /// @return The lane and its flags to store.
    function _guard(
        uint256 feed,
        uint256 oldLane,
        uint256 flags,
        uint256 newLane,
        uint256 config,
        uint256 seqs
    ) private returns (uint256, uint256) {
        uint256 entry = _feeds[feed];
        bool usable;
        if (entry & SIGNED == 0) {
            usable = Lanes.usable(newLane);
        } else {
            newLane ^= Lanes.SIGN;
            usable = newLane & Lanes.UNUSABLE != Lanes.UNUSABLE && newLane >> 16 != 0;
        }
        // Without a value there is nothing to guard, nor to keep.
        uint256 old = oldLane >> 16;
        if (old == 0) return (usable ? newLane : 0, 0);
        Lag storage lag = _lags[feed];
        uint256 valueSeq = flags & Lanes.LAGGED != 0 ? lag.seq : uint48(seqs);
        if (usable) {
            uint256 limit = _jumpLimit(config, ((seqs >> 48) - valueSeq) * slotSeconds);
            if (_inside(entry, old, newLane >> 16, limit)) return (newLane, 0);
            if (_park(lag, flags & Lanes.PARKED != 0, old, newLane >> 16, config, seqs >> 48)) {
                return (newLane, 0);
            }
            flags = Lanes.PARKED | IS_PARKED;
        }
        // An unusable value speaks neither for nor against what is parked.
        lag.seq = uint48(valueSeq);
        return (oldLane, flags | Lanes.LAGGED);
    }

    /// @dev Notes a value beyond the guard. True when the run of agreeing reports (beyond it on the same side) has lasted:
    /// it spans `jumpSpan` and more than one block, so no single block or burst of reports moves a price.
    function _park(Lag storage lag, bool parked, uint256 old, uint256 next, uint256 config, uint256 seq)
        private
        returns (bool lasted)
    {
        bool agrees = parked && (next > old) == (lag.parked > old);
        if (agrees) {
            lasted = lag.parkedBlock != uint48(block.number)
                && (seq - lag.parkedSeq) * slotSeconds >= uint16(config >> 64);
        } else {
            lag.parkedSeq = uint48(seq);
            lag.parkedBlock = uint48(block.number);
        }
        if (!lasted) lag.parked = uint64(next);
    }

    /// @dev Bps that a value `age` seconds newer may differ by.
    function _jumpLimit(uint256 config, uint256 age) private pure returns (uint256 limit) {
        unchecked {
            limit = uint16(config >> 16) + (uint16(config >> 32) * age) / 60;
            uint256 max = uint16(config >> 48);
            if (limit > max) limit = max;
        }
    }

    /// @dev |next - old| <= limit, of the old value or, for a signed feed, of one.
    function _inside(uint256 entry, uint256 old, uint256 next, uint256 limit) private pure returns (bool) {
        unchecked {
            uint256 scale = entry & SIGNED == 0 ? old : 10 ** uint256(-int256(int8(uint8(entry >> 24))));
            return (next > old ? next - old : old - next) * BPS <= scale * limit;
        }
    }
}
