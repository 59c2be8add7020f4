// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {ECDSA} from "solady/utils/ECDSA.sol";
import {LibBit} from "solady/utils/LibBit.sol";
import {LibBytes} from "solady/utils/LibBytes.sol";
import {SSTORE2} from "solady/utils/SSTORE2.sol";
import {IPriceOracle} from "../interfaces/IPriceOracle.sol";

/// @title PriceOracle
/// @notice Verifies quorum-signed reports and keeps the newest value of every feed. One report is valid on every chain.
/// @dev A report of 10 feeds signed by 5 of 7 costs one header slot, four words of three prices, and one code read
/// (the epoch's signers lie in code at an address that follows from the epoch's number, so no slot points at them).
contract PriceOracle is IPriceOracle, Ownable {
    /// @notice Bounds that governance sets. Read from the header's slot, so they cost an update nothing.
    struct Parameters {
        /// Seconds; a report is stored only while its slot's start is at most this old.
        uint16 acceptAge;
        /// Jump guard, bps of the stored value: `base + perMinute * age of the stored value`, at most `max`.
        uint16 jumpBase;
        uint16 jumpPerMinute;
        uint16 jumpMax;
        /// Seconds that agreeing reports beyond the guard must span before the newest is stored.
        uint16 jumpSpan;
        /// Widening of the interval, bps of the price an hour of age.
        uint16 ageing;
    }

    /// @dev One slot.
    struct Header {
        uint48 seq;
        uint32 epoch;
        /// Newest opened epoch and its first slot. Its predecessor may sign earlier slots, nobody else anything.
        uint32 openedEpoch;
        uint48 openedFirstSeq;
        Parameters parameters;
    }

    struct Feed {
        /// ASCII, left-aligned, zero-padded.
        bytes32 name;
        /// One unit of the signed price is 10^exponent of the quote; -18..0.
        int8 exponent;
        /// Seconds; the value is fresh while it is at most this old (its heartbeat).
        uint24 useAge;
    }

    struct Epoch {
        uint32 epoch;
        /// First and last slot that its signers may sign.
        uint64 firstSeq;
        uint64 lastSeq;
        /// n = 3f + 1, distinct, in the order of the signer bitmap.
        address[] signers;
        /// All feeds in order; those of earlier epochs first and unchanged.
        Feed[] feeds;
    }

    /// @dev Exists only while a feed's stored value is older than the newest report.
    struct Lag {
        /// Slot of the stored value.
        uint48 seq;
        /// Slot and block of the first report of the agreeing run beyond the guard, and the newest value of the run.
        uint48 parkedSeq;
        uint48 parkedBlock;
        uint64 parked;
    }

    event EpochOpened(
        uint32 indexed epoch, uint64 firstSeq, uint64 lastSeq, address[] signers, bytes32 feedsHash
    );
    event ParametersSet(Parameters parameters);
    event UseAgeSet(uint256 indexed feed, uint24 useAge);

    error MalformedReport();
    error UnknownEpoch(uint256 epoch);
    error SlotOutsideEpoch(uint256 epoch, uint256 seq);
    error FutureReport(uint256 seq);
    error ReportTooOld(uint256 seq);
    error InvalidSignature(uint256 signer);
    error UnknownFeed(uint256 feed);
    error InvalidEpoch();
    error InvalidSigners();
    error InvalidFeeds();
    error InvalidParameters();

    uint256 public constant MAX_FEEDS = 48;
    uint256 public constant MAX_SIGNERS = 31;

    /// @dev Confidence that marks a value as unusable in this report.
    uint256 private constant UNUSABLE = 0xffff;
    uint256 private constant BPS = 10_000;
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
    uint256 private constant LANE_MASK = (1 << LANE_BITS) - 1;
    uint256 private constant FIRST_LANE = 176;
    uint256 private constant LAGGED = 1;
    uint256 private constant PARKED = 1 << 3;

    /// @dev `epoch u32 | seq u64 | wordCount u8`, then words, `bitmap u32`, signatures.
    uint256 private constant WORDS_AT = 13;
    uint256 private constant SIGNATURE_BYTES = 64;

    /// @notice Separates networks, not chains: no chain id and no address.
    bytes32 public immutable domainSeparator;
    /// @notice Length of a slot: a report's time is seq * slotSeconds, unix.
    uint32 public immutable slotSeconds;

    Header private _header;
    bytes32[MAX_FEEDS / 3] private _words;
    mapping(uint256 feed => Lag) private _lags;
    /// @dev `int8 exponent | uint24 useAge` of each feed, eight a slot.
    uint32[] private _feeds;
    mapping(uint256 feed => bytes32 name) public feedName;

    constructor(bytes32 networkId, address owner_, uint32 slotSeconds_, Parameters memory parameters_)
        Ownable(owner_)
    {
        if (slotSeconds_ == 0) revert InvalidParameters();
        slotSeconds = slotSeconds_;
        domainSeparator =
            keccak256(abi.encode(DOMAIN_TYPEHASH, keccak256("Clearspan"), keccak256("1"), networkId));
        _setParameters(parameters_);
    }

    /* GOVERNANCE */

    /// @notice Gives the signing of the slots from `firstSeq` on to new signers. Its predecessor keeps the slots before.
    function openEpoch(Epoch calldata next) external onlyOwner {
        Header memory header = _header;
        if (
            next.epoch == 0 || (header.openedEpoch != 0 && next.epoch != header.openedEpoch + 1)
                || next.firstSeq <= header.openedFirstSeq || next.lastSeq < next.firstSeq
                || next.lastSeq > type(uint48).max
        ) revert InvalidEpoch();
        _checkSigners(next.signers);
        bytes32 feedsHash = _setFeeds(next.feeds);

        SSTORE2.writeDeterministic(
            abi.encodePacked(
                feedsHash,
                (uint256(next.lastSeq) << 16) | (next.feeds.length << 8) | next.signers.length,
                next.signers
            ),
            bytes32(uint256(next.epoch))
        );
        _header.openedEpoch = next.epoch;
        _header.openedFirstSeq = uint48(next.firstSeq);
        emit EpochOpened(next.epoch, next.firstSeq, next.lastSeq, next.signers, feedsHash);
    }

    function setParameters(Parameters calldata parameters_) external onlyOwner {
        _setParameters(parameters_);
    }

    /// @param useAge Seconds for which the feed's value is fresh.
    function setUseAge(uint256 feed, uint24 useAge) external onlyOwner {
        if (feed >= _feeds.length) revert UnknownFeed(feed);
        _feeds[feed] = (_feeds[feed] & 0xff000000) | useAge;
        emit UseAgeSet(feed, useAge);
    }

    function _setParameters(Parameters memory parameters_) private {
        if (parameters_.acceptAge == 0 || parameters_.jumpBase > parameters_.jumpMax) {
            revert InvalidParameters();
        }
        _header.parameters = parameters_;
        emit ParametersSet(parameters_);
    }

    function _checkSigners(address[] calldata signers) private pure {
        uint256 n = signers.length;
        if (n < 4 || n > MAX_SIGNERS || n % 3 != 1) revert InvalidSigners();
        for (uint256 i; i < n; ++i) {
            if (signers[i] == address(0)) revert InvalidSigners();
            for (uint256 j; j < i; ++j) {
                if (signers[i] == signers[j]) revert InvalidSigners();
            }
        }
    }

    /// @dev A feed's index never changes its meaning: known feeds must stand where they stood, new ones follow.
    function _setFeeds(Feed[] calldata feeds) private returns (bytes32 feedsHash) {
        uint256 known = _feeds.length;
        if (feeds.length == 0 || feeds.length < known || feeds.length > MAX_FEEDS) revert InvalidFeeds();
        bytes memory packed;
        for (uint256 i; i < feeds.length; ++i) {
            Feed calldata feed = feeds[i];
            uint8 exponent = uint8(feed.exponent);
            uint32 entry = (uint32(exponent) << 24) | feed.useAge;
            if (feed.exponent > 0 || feed.exponent < -18 || feed.name == 0) revert InvalidFeeds();
            if (i < known) {
                if (feedName[i] != feed.name || _feeds[i] >> 24 != exponent) revert InvalidFeeds();
                _feeds[i] = entry;
            } else {
                feedName[i] = feed.name;
                _feeds.push(entry);
            }
            packed = abi.encodePacked(packed, feed.name, exponent);
        }
        return keccak256(packed);
    }

    /* UPDATE */

    /// @inheritdoc IPriceOracle
    /// @dev Exactly t = 2f + 1 signatures, in ascending signer order: more would only cost gas.
    function update(bytes calldata report) external returns (bool stored) {
        if (report.length < WORDS_AT) revert MalformedReport();
        uint256 head = uint256(LibBytes.loadCalldata(report, 0));
        uint256 seq = (head >> 160) & type(uint64).max;
        Header memory header = _header;
        // Before any verification: in a bundle, somebody else's report may have landed first.
        if (seq <= header.seq) return false;

        uint256 observedAt = seq * slotSeconds;
        if (observedAt > block.timestamp) revert FutureReport(seq);
        if (block.timestamp - observedAt > header.parameters.acceptAge) revert ReportTooOld(seq);

        uint256 epoch = head >> 224;
        bytes memory signers = _readEpoch(header, epoch, seq);
        uint256 meta = uint256(LibBytes.load(signers, 32));
        bytes32[] memory values = _verify(report, epoch, seq, signers, meta);
        _store(values, (meta >> 8) & 0xff, header, seq);

        _header.seq = uint48(seq);
        _header.epoch = uint32(epoch);
        emit ReportStored(uint32(epoch), uint64(seq), values);
        return true;
    }

    /// @dev The code of an epoch: `feedsHash | lastSeq << 16, feedCount << 8, n | signers`, each a word.
    function _readEpoch(Header memory header, uint256 epoch, uint256 seq)
        private
        view
        returns (bytes memory data)
    {
        address pointer = SSTORE2.predictDeterministicAddress(bytes32(epoch));
        bool current = epoch == header.openedEpoch;
        if (!current && (epoch + 1 != header.openedEpoch || pointer.code.length == 0) || epoch == 0) {
            revert UnknownEpoch(epoch);
        }
        data = SSTORE2.read(pointer);
        bool inside = current == (seq >= header.openedFirstSeq);
        if (!inside || seq > uint256(LibBytes.load(data, 32)) >> 16) revert SlotOutsideEpoch(epoch, seq);
    }

    function _verify(bytes calldata report, uint256 epoch, uint256 seq, bytes memory signers, uint256 meta)
        private
        view
        returns (bytes32[] memory values)
    {
        uint256 count = (((meta >> 8) & 0xff) + 2) / 3;
        uint256 n = meta & 0xff;
        uint256 quorum = 2 * ((n - 1) / 3) + 1;
        uint256 offset = WORDS_AT + 32 * count;
        if (report.length != offset + 4 + SIGNATURE_BYTES * quorum || uint8(report[WORDS_AT - 1]) != count) {
            revert MalformedReport();
        }
        uint256 bitmap = uint256(LibBytes.loadCalldata(report, offset)) >> 224;
        if (bitmap >> n != 0 || LibBit.popCount(bitmap) != quorum) revert MalformedReport();

        values = new bytes32[](count);
        bytes32 digest;
        assembly ("memory-safe") {
            let length := mul(count, 32)
            calldatacopy(add(values, 32), add(report.offset, WORDS_AT), length)
            digest := keccak256(add(values, 32), length)
        }
        digest = keccak256(abi.encode(REPORT_TYPEHASH, epoch, seq, LibBytes.load(signers, 0), digest));
        digest = keccak256(abi.encodePacked(hex"1901", domainSeparator, digest));

        _checkSignatures(report, offset + 4, bitmap, digest, signers);
    }

    function _checkSignatures(
        bytes calldata report,
        uint256 offset,
        uint256 bitmap,
        bytes32 digest,
        bytes memory signers
    ) private view {
        unchecked {
            for (uint256 i; bitmap != 0; (++i, bitmap >>= 1)) {
                if (bitmap & 1 == 0) continue;
                bytes32 vs = LibBytes.loadCalldata(report, offset + 32);
                address signer = ECDSA.tryRecover(digest, LibBytes.loadCalldata(report, offset), vs);
                if (
                    signer != address(uint160(uint256(LibBytes.load(signers, 64 + 32 * i))))
                        || (uint256(vs) << 1) >> 1 > MAX_S
                ) revert InvalidSignature(i);
                offset += SIGNATURE_BYTES;
            }
        }
    }

    function _store(bytes32[] memory values, uint256 feeds, Header memory header, uint256 seq) private {
        uint256 limit = _jumpLimit(header.parameters, (seq - header.seq) * slotSeconds);
        uint256 parked;
        unchecked {
            for (uint256 i; i < values.length; ++i) {
                uint256 next = uint256(values[i]);
                if (next & 0xffff != 0) revert MalformedReport();
                uint256 old = uint256(_words[i]);
                uint256 lanes = feeds < 3 * i + 3 ? feeds - 3 * i : 3;
                if (!_allInside(old, next, lanes, limit)) {
                    parked |= _merge(i, old, next, lanes, header, seq);
                } else {
                    _words[i] = bytes32(next);
                }
            }
        }
        if (parked != 0) emit FeedsParked(uint64(seq), parked);
    }

    /* JUMP GUARD */

    /// @dev Bps of the stored value that a value `age` seconds newer may differ by.
    function _jumpLimit(Parameters memory parameters_, uint256 age) private pure returns (uint256 limit) {
        unchecked {
            limit = parameters_.jumpBase + (parameters_.jumpPerMinute * age) / 60;
        }
        if (limit > parameters_.jumpMax) limit = parameters_.jumpMax;
    }

    /// @dev |next - old| <= old * limit; a feed without a value takes any.
    function _inside(uint256 old, uint256 next, uint256 limit) private pure returns (bool) {
        unchecked {
            return old == 0 || (next > old ? next - old : old - next) * BPS <= old * limit;
        }
    }

    /// @dev A price on chain is positive: what a quorum signs otherwise is as good as no price.
    function _usable(uint256 lane) private pure returns (bool) {
        unchecked {
            return lane & UNUSABLE != UNUSABLE && (lane >> 16) - 1 < uint64(type(int64).max);
        }
    }

    /// @dev The common case, where a whole word is stored as signed: nothing lags, every lane is usable and within the guard.
    function _allInside(uint256 old, uint256 next, uint256 lanes, uint256 limit) private pure returns (bool) {
        if (old & 0xffff != 0) return false;
        unchecked {
            for (uint256 shift = FIRST_LANE; lanes != 0; (--lanes, shift -= LANE_BITS)) {
                uint256 lane = (next >> shift) & LANE_MASK;
                if (!_usable(lane) || !_inside(((old >> shift) & LANE_MASK) >> 16, lane >> 16, limit)) {
                    return false;
                }
            }
        }
        return true;
    }

    /// @dev Lane by lane. @return parked Bits of the feeds that are beyond the guard.
    function _merge(
        uint256 index,
        uint256 old,
        uint256 next,
        uint256 lanes,
        Header memory header,
        uint256 seq
    ) private returns (uint256 parked) {
        uint256 word;
        for (uint256 feed = 3 * index; lanes != 0; (++feed, --lanes)) {
            (uint256 bits, uint256 bit) = _mergeLane(feed, old, next, header, seq);
            word |= bits;
            parked |= bit;
        }
        _words[index] = bytes32(word);
    }

    /// @return bits What to store of the feed's lane, with its flags. @return parked Bit `feed`: it is beyond the guard.
    function _mergeLane(uint256 feed, uint256 old, uint256 next, Header memory header, uint256 seq)
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
        Header memory header,
        uint256 seq
    ) private returns (uint256, uint256) {
        // Without a value there is nothing to guard, nor to keep.
        uint256 old = oldLane >> 16;
        if (old == 0) return (_usable(newLane) ? newLane : 0, 0);
        uint256 valueSeq = flags & LAGGED != 0 ? lag.seq : header.seq;
        if (_usable(newLane)) {
            uint256 limit = _jumpLimit(header.parameters, (seq - valueSeq) * slotSeconds);
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
    function _park(Lag storage lag, bool parked, uint256 old, uint256 next, Header memory header, uint256 seq)
        private
        returns (bool lasted)
    {
        bool agrees = parked && (next > old) == (lag.parked > old);
        if (agrees) {
            lasted = lag.parkedBlock != uint48(block.number)
                && (seq - lag.parkedSeq) * slotSeconds >= header.parameters.jumpSpan;
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
        Header memory header = _header;
        result = new Price[](feeds.length);
        for (uint256 i; i < feeds.length; ++i) {
            result[i] = _price(header, feeds[i]);
        }
    }

    /// @inheritdoc IPriceOracle
    function latest() external view returns (uint32 epoch, uint64 seq) {
        return (_header.epoch, _header.seq);
    }

    /// @inheritdoc IPriceOracle
    function feedCount() external view returns (uint256) {
        return _feeds.length;
    }

    function parameters() external view returns (Parameters memory) {
        return _header.parameters;
    }

    /// @notice Newest opened epoch, and the first slot that it signs.
    function openedEpoch() external view returns (uint32 epoch, uint64 firstSeq) {
        return (_header.openedEpoch, _header.openedFirstSeq);
    }

    /// @dev Confidence = signed + ageing * hours of age, at most the whole price.
    function _price(Header memory header, uint256 feed) private view returns (Price memory result) {
        if (feed >= _feeds.length) revert UnknownFeed(feed);
        uint256 word = uint256(_words[feed / 3]);
        uint256 lane = (word >> (FIRST_LANE - LANE_BITS * (feed % 3))) & LANE_MASK;
        if (lane >> 16 == 0) return result;

        uint256 entry = _feeds[feed];
        uint256 scale = 10 ** uint256(18 + int256(int8(uint8(entry >> 24))));
        uint256 seq = header.seq;
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
        result.confidence =
            (lane & UNUSABLE) * WAD_PER_BPS + (header.parameters.ageing * age * WAD_PER_BPS) / 1 hours;
        if (result.confidence > WAD) result.confidence = WAD;
    }
}
