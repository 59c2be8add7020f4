// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {EfficientHashLib} from "solady/utils/EfficientHashLib.sol";
import {LibBytes} from "solady/utils/LibBytes.sol";
import {IPriceOracle} from "../interfaces/IPriceOracle.sol";
import {SignerEpochs} from "./SignerEpochs.sol";

/// @title PriceOracle
/// @notice Verifies quorum-signed reports and keeps the newest value of every feed. One report is valid on every chain.
/// @dev A report of 10 feeds signed by 5 of 7 costs one header slot, four words of three prices, and one code read
/// (the epoch's signers lie in code at an address that follows from the epoch's number, so no slot points at them).
contract PriceOracle is IPriceOracle, SignerEpochs {
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
    error FutureReport(uint256 seq);
    error ReportTooOld(uint256 seq);
    error InvalidSignature(uint256 signer);

    /// @dev Confidence that marks a value as unusable in this report.
    uint256 private constant UNUSABLE = 0xffff;
    uint256 private constant WAD = 1e18;
    uint256 private constant WAD_PER_BPS = WAD / BPS;
    /// @dev Half the order of secp256k1: a larger s is the other form of a signature that exists already.
    uint256 private constant MAX_S = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;

    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,bytes32 salt)");
    bytes32 private constant REPORT_TYPEHASH =
        keccak256("Report(uint32 epoch,uint64 seq,bytes32 feeds,bytes32[] slots)");

    /// @dev A word holds three lanes of `int64 price | uint16 confidence`, the first at bit 176. Its low 16 bits, zero as
    /// signed, are flags in storage: bit j, lane j's value is older than the newest report; bit 3 + j, a newer one is parked.
    uint256 private constant LANE_BITS = 80;
    uint256 private constant LANE_MASK = 0xffffffffffffffffffff;
    uint256 private constant FIRST_LANE = 176;
    /// @dev The lowest bit of each lane, and masks made of it.
    uint256 private constant ONES = 1 | (1 << LANE_BITS) | (1 << (2 * LANE_BITS));
    uint256 private constant PRICES = ONES * type(uint64).max;
    uint256 private constant CONFIDENCES = ONES * type(uint16).max;
    uint256 private constant BORROWS = ONES << (LANE_BITS - 1);
    uint256 private constant LAGGED = 1;
    uint256 private constant PARKED = 1 << 3;

    /// @notice Separates networks, not chains: no chain id and no address.
    bytes32 public immutable domainSeparator;
    /// @notice Length of a slot: a report's time is seq * slotSeconds, unix.
    uint32 public immutable slotSeconds;

    bytes32[MAX_FEEDS / 3] private _words;
    mapping(uint256 feed => Lag) private _lags;

    constructor(bytes32 networkId, address owner_, uint32 slotSeconds_, Parameters memory parameters_)
        SignerEpochs(owner_, parameters_)
    {
        if (slotSeconds_ == 0) revert InvalidParameters();
        slotSeconds = slotSeconds_;
        domainSeparator =
            keccak256(abi.encode(DOMAIN_TYPEHASH, keccak256("Clearspan"), keccak256("1"), networkId));
    }

    /* UPDATE */

    /// @inheritdoc IPriceOracle
    /// @dev Exactly t = 2f + 1 signatures, in ascending signer order: more would only cost gas.
    function update(bytes calldata report) external returns (bool stored) {
        if (report.length < WORDS_AT) revert MalformedReport();
        uint256 head = uint256(LibBytes.loadCalldata(report, 0));
        uint256 seq = (head >> 160) & type(uint64).max;
        uint256 header = _header;
        // Before any verification: in a bundle, somebody else's report may have landed first.
        if (seq <= uint48(header)) return false;

        // A slot in 64 bits times seconds in 32 can't overflow; a time in the future wraps to an enormous age.
        unchecked {
            uint256 age = block.timestamp - seq * slotSeconds;
            if (age > uint16(header >> PARAMETERS_AT)) {
                if (age > block.timestamp) revert FutureReport(seq);
                revert ReportTooOld(seq);
            }
        }

        uint256 epoch = head >> 224;
        bytes memory signers = _readEpoch(header, epoch, seq);
        uint256 shape = uint256(LibBytes.load(signers, 32));
        if (report.length != uint32(shape >> 24) || uint8(head >> 152) != uint8(shape >> 16)) {
            revert MalformedReport();
        }
        bytes32[] memory values = _verify(report, epoch, seq, signers, shape);
        _store(values, uint8(shape >> 8), header, seq);

        _header = ((header >> OPENED_EPOCH_AT) << OPENED_EPOCH_AT) | (epoch << EPOCH_AT) | seq;
        bytes32 topic = ReportStored.selector;
        assembly ("memory-safe") {
            log3(sub(values, 32), add(64, shl(5, mload(values))), topic, epoch, seq)
        }
        return true;
    }

    function _verify(bytes calldata report, uint256 epoch, uint256 seq, bytes memory signers, uint256 shape)
        private
        view
        returns (bytes32[] memory values)
    {
        uint256 length;
        bytes32 digest;
        assembly ("memory-safe") {
            // With the head of its ABI encoding before it: ready to be the event's data.
            values := add(mload(0x40), 32)
            let count := and(shr(16, shape), 0xff)
            length := shl(5, count)
            mstore(sub(values, 32), 32)
            mstore(values, count)
            calldatacopy(add(values, 32), add(report.offset, WORDS_AT), length)
            digest := keccak256(add(values, 32), length)
            mstore(0x40, add(add(values, 32), length))
        }
        digest = EfficientHashLib.hash(
            REPORT_TYPEHASH, bytes32(epoch), bytes32(seq), LibBytes.load(signers, 0), digest
        );
        digest = MessageHashUtils.toTypedDataHash(domainSeparator, digest);
        unchecked {
            _checkSignatures(report, WORDS_AT + length, uint8(shape), digest, signers);
        }
    }

    /// @dev The length fits a quorum: fewer signers leave bytes over, more run into what isn't there and fail.
    /// Written out, as a library's recover would write the digest again for each signer, a tenth of what governs the gas here.
    function _checkSignatures(
        bytes calldata report,
        uint256 offset,
        uint256 n,
        bytes32 digest,
        bytes memory signers
    ) private view {
        uint256 failed;
        assembly ("memory-safe") {
            let signature := add(report.offset, offset)
            let bitmap := shr(224, calldataload(signature))
            signature := add(signature, 4)
            if shr(n, bitmap) {
                failed := 1
                bitmap := 0
            }

            let freeMemory := mload(0x40)
            let first := add(signers, 0x60)
            mstore(0x00, digest)
            for { let signer := first } bitmap {
                bitmap := shr(1, bitmap)
                signer := add(signer, 0x20)
            } {
                if iszero(and(bitmap, 1)) { continue }
                let vs := calldataload(add(signature, 0x20))
                let s := shr(1, shl(1, vs))
                mstore(0x20, add(shr(255, vs), 27))
                mstore(0x40, calldataload(signature))
                mstore(0x60, s)
                pop(staticcall(gas(), 1, 0x00, 0x80, 0x20, 0x20))
                // Without a result there is no return data, and v still lies there.
                if or(gt(s, MAX_S), iszero(mul(returndatasize(), eq(mload(0x20), mload(signer))))) {
                    failed := add(2, shr(5, sub(signer, first)))
                    break
                }
                signature := add(signature, 0x40)
            }
            mstore(0x40, freeMemory)
            mstore(0x60, 0)
            if iszero(failed) {
                failed := iszero(eq(signature, add(report.offset, report.length)))
            }
        }
        if (failed != 0) {
            if (failed == 1) revert MalformedReport();
            revert InvalidSignature(failed - 2);
        }
    }

    function _store(bytes32[] memory values, uint256 feeds, uint256 header, uint256 seq) private {
        unchecked {
            uint256 low = BPS - _jumpLimit(header, (seq - uint48(header)) * slotSeconds);
            uint256 parked;
            uint256 slot;
            uint256 value;
            assembly ("memory-safe") {
                slot := _words.slot
                value := add(values, 32)
            }
            // Words and values both number feeds / 3, rounded up.
            for (uint256 feed; feed < feeds; (feed += 3, ++slot, value += 32)) {
                uint256 next;
                uint256 old;
                assembly ("memory-safe") {
                    next := mload(value)
                    old := sload(slot)
                }
                // All lanes, but for those of the last word that stand for no feed.
                uint256 lanes = ~uint256(0xffff);
                if (feed + 3 > feeds) lanes <<= LANE_BITS * (feed + 3 - feeds);
                if (!_allInside(old, next, lanes, low)) {
                    uint256 bits;
                    (next, bits) = _merge(feed, feeds, old, next, header, seq);
                    parked |= bits;
                }
                assembly ("memory-safe") {
                    sstore(slot, next)
                }
            }
            if (parked != 0) emit FeedsParked(uint64(seq), parked);
        }
    }

    /* JUMP GUARD */

    /// @dev Bps of the stored value that a value `age` seconds newer may differ by.
    function _jumpLimit(uint256 header, uint256 age) private pure returns (uint256 limit) {
        unchecked {
            limit =
                uint16(header >> (PARAMETERS_AT + 16)) + (uint16(header >> (PARAMETERS_AT + 32)) * age) / 60;
            uint256 max = uint16(header >> (PARAMETERS_AT + 48));
            if (limit > max) limit = max;
        }
    }

    /// @dev |next - old| <= old * limit.
    function _inside(uint256 old, uint256 next, uint256 limit) private pure returns (bool) {
        unchecked {
            return (next > old ? next - old : old - next) * BPS <= old * limit;
        }
    }

    /// @dev A price on chain is positive: what a quorum signs otherwise is as good as no price.
    function _usable(uint256 lane) private pure returns (bool) {
        unchecked {
            return lane & UNUSABLE != UNUSABLE && (lane >> 16) - 1 < uint64(type(int64).max);
        }
    }

    /// @dev The common case, where a whole word is stored as signed: no lane lags, each is usable and within the guard, which
    /// for 64-bit prices 80 bits apart is three comparisons at once: old * low <= next * BPS <= old * (2 * BPS - low).
    /// Products of a price and up to 2 * BPS stay below bit 79 of their lane, which catches the borrow. low > 0, so a
    /// zero passes only beside a zero, and stays no value.
    function _allInside(uint256 old, uint256 next, uint256 lanes, uint256 low) private pure returns (bool) {
        unchecked {
            if ((old | next) & 0xffff != 0) return false;
            uint256 confidences = (next & lanes) >> 16;
            uint256 prices_ = (confidences >> 16) & PRICES;
            old = ((old & lanes) >> 32) & PRICES;
            uint256 scaled = prices_ * BPS;
            // Per lane: a bit stays in BORROWS where the subtraction needs no more than it was lent.
            uint256 lent = ((scaled | BORROWS) - old * low) & ((old * (2 * BPS - low) | BORROWS) - scaled);
            uint256 fails = ((confidences & CONFIDENCES) + ONES) & (ONES << 16); // confidence 0xffff
            fails |= prices_ & (ONES << 63); // negative
            fails |= ~lent & BORROWS;
            return fails == 0;
        }
    }

    /// @dev Lane by lane. @return word What to store. @return parked Bits of the feeds that are beyond the guard.
    function _merge(uint256 feed, uint256 feeds, uint256 old, uint256 next, uint256 header, uint256 seq)
        private
        returns (uint256 word, uint256 parked)
    {
        if (next & 0xffff != 0) revert MalformedReport();
        if (feeds > feed + 3) feeds = feed + 3;
        for (; feed < feeds; ++feed) {
            (uint256 bits, uint256 bit) = _mergeLane(feed, old, next, header, seq);
            word |= bits;
            parked |= bit;
        }
    }

    /// @return bits What to store of the feed's lane, with its flags. @return parked Bit `feed`: it is beyond the guard.
    function _mergeLane(uint256 feed, uint256 old, uint256 next, uint256 header, uint256 seq)
        private
        returns (uint256 bits, uint256 parked)
    {
        uint256 lane = feed % 3;
        uint256 shift = FIRST_LANE - LANE_BITS * lane;
        next = (next >> shift) & LANE_MASK;
        (uint256 kept, uint256 flags) = _guard(
            _lags[feed], (old >> shift) & LANE_MASK, (old >> lane) & (LAGGED | PARKED), next, header, seq
        );
        bits = (kept << shift) | (flags << lane);
        if (flags & PARKED != 0 && _usable(next)) parked = 1 << feed;
    }

    /// @return The lane and its flags to store.
    function _guard(
        Lag storage lag,
        uint256 oldLane,
        uint256 flags,
        uint256 newLane,
        uint256 header,
        uint256 seq
    ) private returns (uint256, uint256) {
        // Without a value there is nothing to guard, nor to keep.
        uint256 old = oldLane >> 16;
        if (old == 0) return (_usable(newLane) ? newLane : 0, 0);
        uint256 valueSeq = flags & LAGGED != 0 ? lag.seq : uint48(header);
        if (_usable(newLane)) {
            uint256 limit = _jumpLimit(header, (seq - valueSeq) * slotSeconds);
            if (_inside(old, newLane >> 16, limit)) return (newLane, 0);
            if (_park(lag, flags & PARKED != 0, old, newLane >> 16, header, seq)) return (newLane, 0);
            flags = PARKED;
        }
        // An unusable value speaks neither for nor against what is parked.
        lag.seq = uint48(valueSeq);
        return (oldLane, flags | LAGGED);
    }

    /// @dev Notes a value beyond the guard. True when the run of agreeing reports (beyond it on the same side) has lasted:
    /// it spans `jumpSpan` and more than one block, so no single block or burst of reports moves a price.
    function _park(Lag storage lag, bool parked, uint256 old, uint256 next, uint256 header, uint256 seq)
        private
        returns (bool lasted)
    {
        bool agrees = parked && (next > old) == (lag.parked > old);
        if (agrees) {
            lasted = lag.parkedBlock != uint48(block.number)
                && (seq - lag.parkedSeq) * slotSeconds >= uint16(header >> (PARAMETERS_AT + 64));
        } else {
            lag.parkedSeq = uint48(seq);
            lag.parkedBlock = uint48(block.number);
        }
        if (!lasted) lag.parked = uint64(next);
    }

    /* VIEWS */

    /// @inheritdoc IPriceOracle
    function price(uint256 feed) external view returns (Price memory) {
        return _price(_header, feed);
    }

    /// @inheritdoc IPriceOracle
    function prices(uint256[] calldata feeds) external view returns (Price[] memory result) {
        uint256 header = _header;
        result = new Price[](feeds.length);
        for (uint256 i; i < feeds.length; ++i) {
            result[i] = _price(header, feeds[i]);
        }
    }

    /// @inheritdoc IPriceOracle
    function latest() external view returns (uint32 epoch, uint64 seq) {
        return (uint32(_header >> EPOCH_AT), uint48(_header));
    }

    /// @inheritdoc IPriceOracle
    function feedCount() external view returns (uint256) {
        return _feeds.length;
    }

    /// @dev Confidence = signed + ageing * hours of age, at most the whole price.
    function _price(uint256 header, uint256 feed) private view returns (Price memory result) {
        if (feed >= _feeds.length) revert UnknownFeed(feed);
        uint256 word = uint256(_words[feed / 3]);
        uint256 lane = (word >> (FIRST_LANE - LANE_BITS * (feed % 3))) & LANE_MASK;
        if (lane >> 16 == 0) return result;

        uint256 entry = _feeds[feed];
        uint256 scale = 10 ** uint256(18 + int256(int8(uint8(entry >> 24))));
        uint256 seq = uint48(header);
        uint256 flags = word >> (feed % 3);
        if (flags & LAGGED != 0) {
            Lag memory lag = _lags[feed];
            seq = lag.seq;
            if (flags & PARKED != 0) result.parked = lag.parked * scale;
        }
        result.price = (lane >> 16) * scale;
        result.observedAt = seq * slotSeconds;
        uint256 age = block.timestamp - result.observedAt;
        result.fresh = age <= entry & type(uint24).max;
        result.confidence = (lane & UNUSABLE) * WAD_PER_BPS
            + ((header >> (PARAMETERS_AT + 80)) * age * WAD_PER_BPS) / 1 hours;
        if (result.confidence > WAD) result.confidence = WAD;
    }
}
