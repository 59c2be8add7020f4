// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {EfficientHashLib} from "solady/utils/EfficientHashLib.sol";
import {LibBytes} from "solady/utils/LibBytes.sol";
import {IPriceOracle} from "../interfaces/IPriceOracle.sol";
import {IReportOracle} from "../interfaces/IReportOracle.sol";
import {IValueOracle} from "../interfaces/IValueOracle.sol";
import {JumpGuard} from "./JumpGuard.sol";
import {Lanes} from "./Lanes.sol";
import {QuorumSignatures} from "./QuorumSignatures.sol";
import {SignerEpochs} from "./SignerEpochs.sol";

/// @title PriceOracle
/// @notice Verifies quorum-signed reports and keeps the newest value of every feed. One report is valid on every chain.
/// @dev A report of 10 feeds signed by 5 of 7 costs four words (slot, epoch and values), one read of the configuration and one
/// of code (the epoch's signers lie in code at an address that follows from the epoch's number, so no slot points at them).
contract PriceOracle is IValueOracle, IReportOracle, JumpGuard {
    error FutureReport(uint256 seq);
    error ReportTooOld(uint256 seq);
    /// @dev The value may be negative: `value` reads it.
    error SignedFeed(uint256 feed);

    uint256 private constant WAD = 1e18;
    uint256 private constant WAD_PER_BPS = WAD / BPS;
    bytes32 private constant REPORT_TYPEHASH =
        keccak256("Report(uint32 epoch,uint64 seq,bytes32 feeds,bytes32[] slots)");

    constructor(bytes32 networkId, address owner_, uint32 slotSeconds_, Parameters memory parameters_)
        SignerEpochs(networkId, owner_, slotSeconds_, parameters_)
    {}

    /* UPDATE */

    /// @inheritdoc IPriceOracle
    /// @dev Exactly t = 2f + 1 signatures, in ascending signer order: more would only cost gas.
    function update(bytes calldata report) external returns (bool stored) {
        if (report.length < WORDS_AT) revert MalformedReport();
        uint256 head = uint256(LibBytes.loadCalldata(report, 0));
        uint256 seq = (head >> 160) & type(uint64).max;
        uint256 first = _words[0];
        // Before any verification: in a bundle, somebody else's report may have landed first.
        if (seq <= Lanes.seqOf(first)) return false;

        uint256 config = _config;
        // A slot in 64 bits times seconds in 32 can't overflow; a time in the future wraps to an enormous age.
        unchecked {
            uint256 age = block.timestamp - seq * slotSeconds;
            if (age > uint16(config)) {
                if (age > block.timestamp) revert FutureReport(seq);
                revert ReportTooOld(seq);
            }
        }

        uint256 epoch = head >> 224;
        (bytes32[] memory values, uint256 shape) = _verify(report, head, config);
        _store(values, seq, epoch, shape, first, config);

        bytes32 topic = ReportStored.selector;
        assembly ("memory-safe") {
            log3(sub(values, 32), add(64, shl(5, mload(values))), topic, epoch, seq)
        }
        return true;
    }

    /// @param head Of the report. @return shape Of its epoch.
    function _verify(bytes calldata report, uint256 head, uint256 config)
        private
        view
        returns (bytes32[] memory values, uint256 shape)
    {
        uint256 epoch = head >> 224;
        uint256 seq = (head >> 160) & type(uint64).max;
        bytes memory code = _readEpoch(config, epoch, seq, false);
        shape = uint256(LibBytes.load(code, 32));
        if (report.length != uint32(shape >> 24) || uint8(head >> 152) != uint8(shape >> 16)) {
            revert MalformedReport();
        }
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
            REPORT_TYPEHASH, bytes32(epoch), bytes32(seq), LibBytes.load(code, 0), digest
        );
        digest = MessageHashUtils.toTypedDataHash(domainSeparator, digest);
        unchecked {
            QuorumSignatures.check(report, WORDS_AT + length, uint8(shape), digest, code);
        }
    }

    /* VIEWS */

    /// @inheritdoc IReportOracle
    function priceIn(bytes calldata report, uint256 feed)
        external
        view
        returns (uint64 seq, uint256 reported)
    {
        if (report.length < WORDS_AT) revert MalformedReport();
        uint256 head = uint256(LibBytes.loadCalldata(report, 0));
        seq = uint64(head >> 160);
        if (seq * uint256(slotSeconds) > block.timestamp) revert FutureReport(seq);
        uint256 entry = _entry(feed);
        if (entry & SIGNED != 0) revert SignedFeed(feed);
        (bytes32[] memory values, uint256 shape) = _verify(report, head, _config);
        if (feed >= uint8(shape >> 8)) revert UnknownFeed(feed);
        uint256 lane = Lanes.at(uint256(values[feed / 3]), feed);
        if (Lanes.usable(lane)) reported = (lane >> 16) * _scale(entry);
    }

    /// @inheritdoc IPriceOracle
    function price(uint256 feed) external view returns (Price memory result) {
        _fill(result, _words[0], _config, feed);
    }

    /// @inheritdoc IPriceOracle
    function prices(uint256[] calldata feeds) external view returns (Price[] memory) {
        uint256 first = _words[0];
        uint256 config = _config;
        uint256 head;
        Price memory result;
        assembly ("memory-safe") {
            // With the head of its ABI encoding before it: it is returned as it lies.
            head := mload(0x40)
            mstore(head, 32)
            mstore(add(head, 32), feeds.length)
            result := add(head, 64)
            mstore(0x40, add(result, mul(feeds.length, 160)))
        }
        for (uint256 i; i < feeds.length; ++i) {
            _fill(result, first, config, feeds[i]);
            assembly ("memory-safe") {
                result := add(result, 160)
            }
        }
        assembly ("memory-safe") {
            return(head, sub(result, head))
        }
    }

    /// @inheritdoc IValueOracle
    function value(uint256 feed) external view returns (Value memory result) {
        uint256 config = _config;
        Price memory raw;
        uint256 entry = _read(raw, _words[0], config, feed);
        if (raw.price == 0) return result;
        int256 scale = int256(_scale(entry));
        bool isSigned = entry & SIGNED != 0;
        int256 zero = isSigned ? -int256(type(int64).min) : int256(0);
        result.value = (int256(raw.price) - zero) * scale;
        result.confidence = raw.confidence;
        if (!isSigned) {
            result.confidence = uint256(result.value) * (raw.confidence < WAD ? raw.confidence : WAD) / WAD;
        }
        result.observedAt = raw.observedAt;
        result.fresh = raw.fresh;
        result.isParked = raw.parked != 0;
        if (result.isParked) result.parked = (int256(raw.parked) - zero) * scale;
    }

    /// @inheritdoc IValueOracle
    function exponent(uint256 feed) external view returns (int8) {
        return int8(uint8(_entry(feed) >> 24));
    }

    /// @inheritdoc IPriceOracle
    function latest() external view returns (uint32 epoch, uint64 seq) {
        uint256 first = _words[0];
        return (uint32(Lanes.epochOf(first)), uint64(Lanes.seqOf(first)));
    }

    /// @inheritdoc IPriceOracle
    function feedCount() external view returns (uint256) {
        return uint8(_config >> FEEDS_AT);
    }

    /// @dev A feed as it is stored: writes every field, price and what is parked in its units, plus 2^63 for a signed one; no price is 0.
    /// Confidence is signed + ageing * hours of age, as a WAD fraction.
    function _read(Price memory raw, uint256 first, uint256 config, uint256 feed)
        private
        view
        returns (uint256 entry)
    {
        if (feed >= uint8(config >> FEEDS_AT)) revert UnknownFeed(feed);
        assembly ("memory-safe") {
            // _feeds[feed], whose place the compiler would work out by a power.
            entry := and(shr(shl(5, and(feed, 7)), sload(add(_feeds.slot, shr(3, feed)))), 0xffffffff)
        }
        // A slot in 48 bits times seconds in 32; reports are never of the future.
        unchecked {
            uint256 place = feed + 1;
            uint256 word = place < 3 ? first : _words[place / 3];
            uint256 lane = Lanes.at(word, place);
            (raw.price, raw.parked) = (lane >> 16, 0);
            if (lane >> 16 == 0) {
                (raw.confidence, raw.observedAt, raw.fresh) = (0, 0, false);
                return entry;
            }
            uint256 seq = Lanes.seqOf(first);
            uint256 flags = word >> (place % 3);
            if (flags & Lanes.LAGGED != 0) {
                Lag memory lag = _lags[feed];
                seq = lag.seq;
                if (flags & Lanes.PARKED != 0) raw.parked = lag.parked;
            }
            seq *= slotSeconds;
            raw.observedAt = seq;
            uint256 age = block.timestamp - seq;
            raw.fresh = age <= entry & (SIGNED - 1);
            raw.confidence =
                (lane & Lanes.UNUSABLE) * WAD_PER_BPS + uint16(config >> 80) * age * WAD_PER_BPS / 1 hours;
        }
    }

    /// @dev WAD of one unit of the feed: at most 10^18, as epochs see to.
    function _scale(uint256 entry) private pure returns (uint256) {
        unchecked {
            return 10 ** uint256(18 + int256(int8(uint8(entry >> 24))));
        }
    }

    /// @dev Writes every field.
    function _fill(Price memory result, uint256 first, uint256 config, uint256 feed) private view {
        uint256 entry = _read(result, first, config, feed);
        if (entry & SIGNED != 0) revert SignedFeed(feed);
        // 63 bits times at most 10^18.
        unchecked {
            uint256 scale = _scale(entry);
            result.price *= scale;
            result.parked *= scale;
        }
        if (result.confidence > WAD) result.confidence = WAD;
    }
}
