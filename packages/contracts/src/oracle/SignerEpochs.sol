// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {LibBytes} from "solady/utils/LibBytes.sol";
import {SSTORE2} from "solady/utils/SSTORE2.sol";
import {ISlots} from "../interfaces/IReportOracle.sol";
import {QuorumSignatures} from "./QuorumSignatures.sol";

/// @title SignerEpochs
/// @notice Who may sign which slots for which feeds, and the bounds that governance sets. Each slot has one set of signers:
/// an epoch's are its slots from its first to its last, as far as no later epoch has taken them.
/// @dev An epoch is opened by the outgoing quorum (`handOver`, delivered by anyone) or, where that is lost, by the owner, a
/// timelock. A revocation only takes away: no more reports and no handover of that epoch.
abstract contract SignerEpochs is Ownable, ISlots {
    /// @notice Bounds that governance sets.
    struct Parameters {
        /// Seconds; a report is stored only while its slot's start is at most this old.
        uint16 acceptAge;
        /// Jump guard, bps of the stored value (of one, for a signed feed): `base + perMinute * age of the stored value`, at
        /// most `max`.
        uint16 jumpBase;
        uint16 jumpPerMinute;
        uint16 jumpMax;
        /// Seconds that agreeing reports beyond the guard must span before the newest is stored.
        uint16 jumpSpan;
        /// Widening of the interval, bps of the price (of one, for a signed feed) an hour of age.
        uint16 ageing;
    }

    struct Feed {
        /// ASCII, left-aligned, zero-padded.
        bytes32 name;
        /// One unit of the signed 64-bit value is 10^exponent of the quote; -18..0.
        int8 exponent;
        /// May be negative or zero, such as a rate; its basis points are of one, not of the value. Otherwise only a positive
        /// value is usable.
        bool isSigned;
        /// Seconds, less than 2^23; the value is fresh while it is at most this old (its heartbeat). Counts for a new feed
        /// only: `setUseAge` changes it.
        uint24 useAge;
    }

    struct Epoch {
        uint32 epoch;
        /// First and last slot that its signers may sign; the last is its expiry, of its right to hand over too.
        uint64 firstSeq;
        uint64 lastSeq;
        /// Hash of the configuration that its nodes aggregate by, for replays.
        bytes32 configHash;
        /// n = 3f + 1, distinct, in the order of the signer bitmap.
        address[] signers;
        /// All feeds in order; those of earlier epochs first and unchanged.
        Feed[] feeds;
    }

    /// @dev What becomes of an epoch after its opening.
    struct Span {
        /// First slot that it has lost to a later epoch or by revocation. 0: none, as for the newest and those never opened.
        uint48 end;
        /// The one opened before it: governance may leave numbers out.
        uint32 previous;
        bool revoked;
    }

    event EpochOpened(
        uint32 indexed epoch,
        uint64 firstSeq,
        uint64 lastSeq,
        bytes32 configHash,
        bytes32 feedsHash,
        address[] signers
    );
    event EpochRevoked(uint32 indexed epoch);
    event RevokerSet(address revoker);
    event ParametersSet(Parameters parameters);
    event UseAgeSet(uint256 indexed feed, uint24 useAge);

    error UnknownEpoch(uint256 epoch);
    error RevokedEpoch(uint256 epoch);
    error SlotOutsideEpoch(uint256 epoch, uint256 seq);
    error UnknownFeed(uint256 feed);
    error NotRevoker(address sender);
    error InvalidEpoch();
    error InvalidSigners();
    error InvalidFeeds();
    error InvalidParameters();

    uint256 internal constant MAX_FEEDS = 48;
    uint256 private constant MAX_SIGNERS = 31;
    uint256 internal constant SIGNED = 1 << 23;

    uint256 internal constant BPS = 10_000;
    /// @dev `epoch u32 | seq u64 | wordCount u8`, then words, `bitmap u32`, signatures.
    uint256 internal constant WORDS_AT = 13;
    uint256 private constant SIGNATURE_BYTES = 64;
    uint256 internal constant SIGNED_FEEDS_AT = 153;

    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,bytes32 salt)");
    bytes32 private constant FEED_TYPEHASH =
        keccak256("Feed(bytes32 name,int8 exponent,bool isSigned,uint24 useAge)");
    bytes32 private constant HANDOVER_TYPEHASH = keccak256(
        "Handover(uint32 epoch,uint64 firstSeq,uint64 lastSeq,bytes32 configHash,address[] signers,Feed[] feeds)"
        "Feed(bytes32 name,int8 exponent,bool isSigned,uint24 useAge)"
    );

    /// @dev `ageing u16 | jumpSpan u16 | jumpMax u16 | jumpPerMinute u16 | jumpBase u16 | acceptAge u16` in the low bits
    /// (Parameters), then the newest opened epoch, whether it is revoked, and the number of feeds.
    uint256 internal _config;
    uint256 private constant OPENED_AT = 96;
    uint256 private constant REVOKED = 1 << 128;
    uint256 internal constant FEEDS_AT = 136;

    /// @notice Separates networks, not chains: no chain id and no address.
    bytes32 public immutable domainSeparator;
    /// @inheritdoc ISlots
    uint32 public immutable override slotSeconds;

    /// @dev `int8 exponent | bool isSigned | uint23 useAge` of each feed, eight a slot.
    uint32[MAX_FEEDS] internal _feeds;
    mapping(uint256 feed => bytes32 name) public feedName;
    mapping(uint256 epoch => Span) private _spans;
    mapping(uint256 epoch => bytes32) public configHash;
    /// @notice May revoke epochs, and nothing else: what brings LayerZero's word.
    address public revoker;

    constructor(bytes32 networkId, address owner_, uint32 slotSeconds_, Parameters memory parameters_)
        Ownable(owner_)
    {
        if (slotSeconds_ == 0) revert InvalidParameters();
        slotSeconds = slotSeconds_;
        domainSeparator =
            keccak256(abi.encode(DOMAIN_TYPEHASH, keccak256("Clearspan"), keccak256("1"), networkId));
        _setParameters(parameters_);
    }

    /* EPOCHS */

    /// @notice The first epoch, or one in place of a lost quorum, in slots that have not begun: on every chain it governs the
    /// same slots, whenever a chain's timelock is executed, or none.
    /// @param next Its number is above all before; a number that some chain knows for another epoch must be left out.
    function openEpoch(Epoch calldata next) external onlyOwner {
        uint256 opened = uint32(_config >> OPENED_AT);
        if (next.epoch <= opened || (opened != 0 && next.firstSeq <= block.timestamp / slotSeconds)) {
            revert InvalidEpoch();
        }
        _open(next, opened);
    }

    /// @notice Opens the next epoch by the word of the newest one's quorum, while that has neither expired nor been revoked.
    /// @param signatures `bitmap u32 | signatures`, exactly 2f + 1 in ascending signer order, of the EIP-712 digest of
    /// `Handover` in the reports' domain: valid on every chain of the network.
    function handOver(Epoch calldata next, bytes calldata signatures) external {
        uint256 config = _config;
        uint256 opened = uint32(config >> OPENED_AT);
        bytes memory code = _readEpoch(config, opened, block.timestamp / slotSeconds, true);
        uint256 shape = uint256(LibBytes.load(code, 32));
        // No slot without signers between the two, nor a next epoch so far off that it blocks all others.
        if (
            next.epoch != opened + 1 || next.firstSeq <= uint48(shape >> 104)
                || next.firstSeq > uint256(uint48(shape >> 56)) + 1
        ) revert InvalidEpoch();
        _checkQuorum(_handoverHash(next), signatures, uint8(shape), code);
        _open(next, opened);
    }

    /// @notice Reverts unless the quorum of the newest epoch, while that has neither expired nor been revoked, has signed an EIP-712 struct in the
    /// reports' domain.
    /// @param signatures As for `handOver`.
    function requireQuorum(bytes32 structHash, bytes calldata signatures) external view {
        uint256 config = _config;
        bytes memory code =
            _readEpoch(config, uint32(config >> OPENED_AT), block.timestamp / slotSeconds, true);
        _checkQuorum(structHash, signatures, uint8(uint256(LibBytes.load(code, 32))), code);
    }

    function _checkQuorum(bytes32 structHash, bytes calldata signatures, uint256 n, bytes memory code)
        private
        view
    {
        if (signatures.length != _signaturesLength(n)) revert QuorumSignatures.MalformedSignatures();
        bytes32 digest = MessageHashUtils.toTypedDataHash(domainSeparator, structHash);
        QuorumSignatures.check(signatures, 0, n, digest, code);
    }

    /// @notice Takes all slots from an epoch that are not stored yet, and its right to hand over. One that is not open yet
    /// can never be opened: a revocation may arrive before the handover.
    function revoke(uint32 epoch) external {
        if (msg.sender != revoker && msg.sender != owner()) revert NotRevoker(msg.sender);
        Span storage span = _spans[epoch];
        span.revoked = true;
        if (epoch == uint32(_config >> OPENED_AT)) _config |= REVOKED;
        emit EpochRevoked(epoch);
    }

    function _open(Epoch calldata next, uint256 opened) private {
        if (next.firstSeq == 0 || next.lastSeq < next.firstSeq || next.lastSeq > type(uint48).max) {
            revert InvalidEpoch();
        }
        if (_spans[next.epoch].revoked) revert RevokedEpoch(next.epoch);
        _checkSigners(next.signers);
        (bytes32 feedsHash, uint256 signedFeeds) = _setFeeds(next.feeds);
        SSTORE2.writeDeterministic(
            abi.encodePacked(feedsHash, _shape(next, signedFeeds), next.signers), bytes32(uint256(next.epoch))
        );
        configHash[next.epoch] = next.configHash;
        _spans[next.epoch].previous = uint32(opened);
        // Ends never fall from an epoch to the next, so those to cut are the newest.
        for (uint256 epoch = opened; epoch != 0; epoch = _spans[epoch].previous) {
            if (epoch != opened && _spans[epoch].end <= next.firstSeq) break;
            _spans[epoch].end = uint48(next.firstSeq);
        }
        _config = uint96(_config) | (uint256(next.epoch) << OPENED_AT) | (next.feeds.length << FEEDS_AT);
        emit EpochOpened(next.epoch, next.firstSeq, next.lastSeq, next.configHash, feedsHash, next.signers);
    }

    /// @dev `signedFeeds u48 | 0 u1 | firstSeq u48 | lastSeq u48 | report's length u32 | words u8 | feeds u8 | signers u8`: what an
    /// update checks a report against.
    function _shape(Epoch calldata next, uint256 signedFeeds) private pure returns (uint256) {
        uint256 n = next.signers.length;
        uint256 words = (next.feeds.length + 2) / 3;
        uint256 length = WORDS_AT + 32 * words + _signaturesLength(n);
        return (signedFeeds << SIGNED_FEEDS_AT) | (uint256(next.firstSeq) << 104)
            | (uint256(next.lastSeq) << 56) | (length << 24) | (words << 16) | (next.feeds.length << 8) | n;
    }

    /// @dev Of a bitmap and 2f + 1 signatures.
    function _signaturesLength(uint256 n) private pure returns (uint256) {
        return 4 + SIGNATURE_BYTES * (2 * ((n - 1) / 3) + 1);
    }

    function _handoverHash(Epoch calldata next) private pure returns (bytes32) {
        bytes memory feeds;
        for (uint256 i; i < next.feeds.length; ++i) {
            feeds = bytes.concat(feeds, keccak256(abi.encode(FEED_TYPEHASH, next.feeds[i])));
        }
        return keccak256(
            abi.encode(
                HANDOVER_TYPEHASH,
                next.epoch,
                next.firstSeq,
                next.lastSeq,
                next.configHash,
                keccak256(abi.encodePacked(next.signers)),
                keccak256(feeds)
            )
        );
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
    /// @return feedsHash What reports of these feeds are bound to. @return signedFeeds Bit i, feed i is signed.
    function _setFeeds(Feed[] calldata feeds) private returns (bytes32 feedsHash, uint256 signedFeeds) {
        uint256 known = uint8(_config >> FEEDS_AT);
        if (feeds.length == 0 || feeds.length < known || feeds.length > MAX_FEEDS) revert InvalidFeeds();
        bytes memory packed;
        for (uint256 i; i < feeds.length; ++i) {
            Feed calldata feed = feeds[i];
            if (feed.exponent > 0 || feed.exponent < -18 || feed.name == 0) revert InvalidFeeds();
            uint256 kind = (uint256(uint8(feed.exponent)) << 24) | (feed.isSigned ? SIGNED : 0);
            if (i < known) {
                if (feedName[i] != feed.name || (_feeds[i] ^ kind) >> 23 != 0) revert InvalidFeeds();
            } else {
                if (feed.useAge >= SIGNED) revert InvalidFeeds();
                feedName[i] = feed.name;
                _feeds[i] = uint32(kind | feed.useAge);
            }
            if (feed.isSigned) signedFeeds |= 1 << i;
            // An exponent takes six bits: the top one is inverted for a signed feed.
            packed = abi.encodePacked(packed, feed.name, uint8(feed.exponent) ^ (feed.isSigned ? 0x80 : 0));
        }
        feedsHash = keccak256(packed);
    }

    /* GOVERNANCE */

    function setRevoker(address revoker_) external onlyOwner {
        revoker = revoker_;
        emit RevokerSet(revoker_);
    }

    function setParameters(Parameters calldata parameters_) external onlyOwner {
        _setParameters(parameters_);
    }

    /// @param useAge Seconds for which the feed's value is fresh, less than 2^23.
    function setUseAge(uint256 feed, uint24 useAge) external onlyOwner {
        uint256 entry = _entry(feed);
        if (useAge >= SIGNED) revert InvalidParameters();
        _feeds[feed] = uint32(entry & ~(SIGNED - 1)) | useAge;
        emit UseAgeSet(feed, useAge);
    }

    function _setParameters(Parameters memory p) private {
        // jumpMax < 100%: no value that is zero passes the guard.
        if (p.acceptAge == 0 || p.jumpBase > p.jumpMax || p.jumpMax >= BPS) revert InvalidParameters();
        uint256 packed = p.acceptAge | (uint256(p.jumpBase) << 16) | (uint256(p.jumpPerMinute) << 32)
            | (uint256(p.jumpMax) << 48) | (uint256(p.jumpSpan) << 64) | (uint256(p.ageing) << 80);
        _config = ((_config >> OPENED_AT) << OPENED_AT) | packed;
        emit ParametersSet(p);
    }

    /* VIEWS */

    function parameters() external view returns (Parameters memory) {
        uint256 packed = _config;
        return Parameters({
            acceptAge: uint16(packed),
            jumpBase: uint16(packed >> 16),
            jumpPerMinute: uint16(packed >> 32),
            jumpMax: uint16(packed >> 48),
            jumpSpan: uint16(packed >> 64),
            ageing: uint16(packed >> 80)
        });
    }

    /// @notice Newest opened epoch, 0 before the first; its first slot, and whether it is revoked.
    function openedEpoch() external view returns (uint32 epoch, uint64 firstSeq, bool revoked) {
        uint256 config = _config;
        epoch = uint32(config >> OPENED_AT);
        if (epoch == 0) return (0, 0, false);
        return (epoch, uint48(uint256(LibBytes.load(_code(epoch), 32)) >> 104), config & REVOKED != 0);
    }

    /// @notice Slots that an epoch's signers may still sign; none when `lastSeq < firstSeq` or `revoked`.
    function epochSlots(uint32 epoch) external view returns (uint64 firstSeq, uint64 lastSeq, bool revoked) {
        Span memory span = _spans[epoch];
        if (epoch == 0 || (span.end == 0 && epoch != uint32(_config >> OPENED_AT))) {
            revert UnknownEpoch(epoch);
        }
        uint256 shape = uint256(LibBytes.load(_code(epoch), 32));
        (firstSeq, lastSeq, revoked) = (uint48(shape >> 104), uint48(shape >> 56), span.revoked);
        if (span.end != 0 && span.end <= lastSeq) lastSeq = span.end - 1;
    }

    /// @notice Name, exponent, kind and use-age (seconds) of a feed.
    function feedInfo(uint256 feed) external view returns (Feed memory) {
        uint256 entry = _entry(feed);
        return Feed({
            name: feedName[feed],
            exponent: int8(uint8(entry >> 24)),
            isSigned: entry & SIGNED != 0,
            useAge: uint24(entry & (SIGNED - 1))
        });
    }

    function _entry(uint256 feed) internal view returns (uint256) {
        if (feed >= uint8(_config >> FEEDS_AT)) revert UnknownFeed(feed);
        return _feeds[feed];
    }

    /// @dev The code of an opened epoch: `feedsHash | shape | signers`, each a word.
    function _code(uint256 epoch) private view returns (bytes memory) {
        return SSTORE2.read(SSTORE2.predictDeterministicAddress(bytes32(epoch)));
    }

    /// @dev The epoch's code, if it may sign this slot. `handover`: if it is the newest and not past its last slot.
    function _readEpoch(uint256 config, uint256 epoch, uint256 seq, bool handover)
        internal
        view
        returns (bytes memory code)
    {
        uint256 end = type(uint256).max;
        if (epoch == uint32(config >> OPENED_AT)) {
            if (epoch == 0) revert UnknownEpoch(epoch);
            if (config & REVOKED != 0) revert RevokedEpoch(epoch);
        } else {
            Span memory span = _spans[epoch];
            if (span.end == 0) revert UnknownEpoch(epoch);
            if (span.revoked) revert RevokedEpoch(epoch);
            end = span.end;
        }
        code = _code(epoch);
        uint256 shape = uint256(LibBytes.load(code, 32));
        if (seq >= end || seq > uint48(shape >> 56) || (!handover && seq < uint48(shape >> 104))) {
            revert SlotOutsideEpoch(epoch, seq);
        }
    }
}
