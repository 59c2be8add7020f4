// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {LibBytes} from "solady/utils/LibBytes.sol";
import {SSTORE2} from "solady/utils/SSTORE2.sol";

/// @title SignerEpochs
/// @notice Who may sign which slots for which feeds, and the bounds that governance sets. Each slot has one set of signers.
abstract contract SignerEpochs is Ownable {
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

    event EpochOpened(
        uint32 indexed epoch, uint64 firstSeq, uint64 lastSeq, address[] signers, bytes32 feedsHash
    );
    event ParametersSet(Parameters parameters);
    event UseAgeSet(uint256 indexed feed, uint24 useAge);

    error UnknownEpoch(uint256 epoch);
    error SlotOutsideEpoch(uint256 epoch, uint256 seq);
    error UnknownFeed(uint256 feed);
    error InvalidEpoch();
    error InvalidSigners();
    error InvalidFeeds();
    error InvalidParameters();

    uint256 internal constant MAX_FEEDS = 48;
    uint256 private constant MAX_SIGNERS = 31;

    uint256 internal constant BPS = 10_000;
    uint256 internal constant EPOCH_AT = 48;
    uint256 internal constant OPENED_EPOCH_AT = 80;
    uint256 internal constant OPENED_FIRST_SEQ_AT = 112;
    uint256 internal constant PARAMETERS_AT = 160;

    /// @dev `epoch u32 | seq u64 | wordCount u8`, then words, `bitmap u32`, signatures.
    uint256 internal constant WORDS_AT = 13;
    uint256 internal constant SIGNATURE_BYTES = 64;

    /// @dev One slot, read once and written once an update:
    /// `ageing u16 | jumpSpan u16 | jumpMax u16 | jumpPerMinute u16 | jumpBase u16 | acceptAge u16` (Parameters) `|
    /// openedFirstSeq u48 | openedEpoch u32` (newest opened epoch; its predecessor may sign earlier slots, nobody else
    /// anything) `| epoch u32 | seq u48` (of the newest stored report).
    uint256 internal _header;
    /// @dev `int8 exponent | uint24 useAge` of each feed, eight a slot.
    uint32[] internal _feeds;
    mapping(uint256 feed => bytes32 name) public feedName;

    constructor(address owner_, Parameters memory parameters_) Ownable(owner_) {
        _setParameters(parameters_);
    }

    /* GOVERNANCE */

    /// @notice Gives the signing of the slots from `firstSeq` on to new signers. Its predecessor keeps the slots before.
    function openEpoch(Epoch calldata next) external onlyOwner {
        (uint32 opened, uint64 openedFirstSeq) = openedEpoch();
        if (
            next.epoch == 0 || (opened != 0 && next.epoch != opened + 1) || next.firstSeq <= openedFirstSeq
                || next.lastSeq < next.firstSeq || next.lastSeq > type(uint48).max
        ) revert InvalidEpoch();
        _checkSigners(next.signers);
        bytes32 feedsHash = _setFeeds(next.feeds);

        SSTORE2.writeDeterministic(
            abi.encodePacked(feedsHash, _shape(next), next.signers), bytes32(uint256(next.epoch))
        );
        uint256 kept = _header & ~(((uint256(1) << 80) - 1) << OPENED_EPOCH_AT);
        _header =
            kept | (uint256(next.epoch) << OPENED_EPOCH_AT) | (uint256(next.firstSeq) << OPENED_FIRST_SEQ_AT);
        emit EpochOpened(next.epoch, next.firstSeq, next.lastSeq, next.signers, feedsHash);
    }

    /// @dev `lastSeq | report's length u32 | words u8 | feeds u8 | signers u8`: what an update checks a report against.
    function _shape(Epoch calldata next) private pure returns (uint256) {
        uint256 n = next.signers.length;
        uint256 words = (next.feeds.length + 2) / 3;
        uint256 quorum = 2 * ((n - 1) / 3) + 1;
        uint256 length = WORDS_AT + 32 * words + 4 + SIGNATURE_BYTES * quorum;
        return (uint256(next.lastSeq) << 56) | (length << 24) | (words << 16) | (next.feeds.length << 8) | n;
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

    function _setParameters(Parameters memory p) private {
        // jumpMax < 100%: no value that is zero passes the guard.
        if (p.acceptAge == 0 || p.jumpBase > p.jumpMax || p.jumpMax >= BPS) revert InvalidParameters();
        uint256 packed = p.acceptAge | (uint256(p.jumpBase) << 16) | (uint256(p.jumpPerMinute) << 32)
            | (uint256(p.jumpMax) << 48) | (uint256(p.jumpSpan) << 64) | (uint256(p.ageing) << 80);
        _header = (_header & ((1 << PARAMETERS_AT) - 1)) | (packed << PARAMETERS_AT);
        emit ParametersSet(p);
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

    /* VIEWS */

    function parameters() external view returns (Parameters memory) {
        uint256 packed = _header >> PARAMETERS_AT;
        return Parameters({
            acceptAge: uint16(packed),
            jumpBase: uint16(packed >> 16),
            jumpPerMinute: uint16(packed >> 32),
            jumpMax: uint16(packed >> 48),
            jumpSpan: uint16(packed >> 64),
            ageing: uint16(packed >> 80)
        });
    }

    /// @notice Newest opened epoch, and the first slot that it signs.
    function openedEpoch() public view returns (uint32 epoch, uint64 firstSeq) {
        return (uint32(_header >> OPENED_EPOCH_AT), uint48(_header >> OPENED_FIRST_SEQ_AT));
    }

    /// @dev The code of an epoch: `feedsHash | shape | signers`, each a word.
    function _readEpoch(uint256 header, uint256 epoch, uint256 seq)
        internal
        view
        returns (bytes memory data)
    {
        address pointer = SSTORE2.predictDeterministicAddress(bytes32(epoch));
        uint256 opened = uint32(header >> OPENED_EPOCH_AT);
        bool inside = seq >= uint48(header >> OPENED_FIRST_SEQ_AT);
        if (epoch != opened) {
            if (epoch == 0 || epoch + 1 != opened || pointer.code.length == 0) revert UnknownEpoch(epoch);
            inside = !inside;
        } else if (epoch == 0) {
            revert UnknownEpoch(epoch);
        }
        data = SSTORE2.read(pointer);
        if (!inside || seq > uint256(LibBytes.load(data, 32)) >> 56) revert SlotOutsideEpoch(epoch, seq);
    }
}
