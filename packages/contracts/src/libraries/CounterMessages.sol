// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {DynamicBufferLib} from "solady/utils/DynamicBufferLib.sol";
import {LibBytes} from "solady/utils/LibBytes.sol";

/// @title CounterMessages
/// @notice The two messages between hub and spokes, packed big-endian. They carry counters' values, never deltas.
/// Twin of packages/shared/src/messages.ts. Amounts in token decimals, times in seconds of the sender's block.
///
/// `version u8 | kind u8 | epoch u32 | time u64 | nTokens u8 | tokens | nRows u16 | rows` with, by kind,
/// COUNTERS (spoke to hub) token `address | totalIn u128 | totalOut u128 | shortfall u128`,
/// row `account b32 | tokenIndex u8 | depositedIn u128`;
/// RELEASES (hub to spoke) token `address | epoch u32 | creditedTotal u128`,
/// row `account b32 | recipient address | tokenIndex u8 | released u128`.
library CounterMessages {
    using DynamicBufferLib for DynamicBufferLib.DynamicBuffer;

    struct Header {
        /// Of the counters' owner: the vault's or the clearinghouse's.
        uint32 epoch;
        uint64 time;
    }

    struct Totals {
        address token;
        uint128 totalIn;
        uint128 totalOut;
        uint128 shortfall;
    }

    struct CounterRow {
        bytes32 account;
        uint8 tokenIndex;
        uint128 depositedIn;
    }

    struct Credit {
        address token;
        /// Of the vault that holds it.
        uint32 epoch;
        uint128 creditedTotal;
    }

    struct ReleaseRow {
        bytes32 account;
        address recipient;
        uint8 tokenIndex;
        uint128 released;
    }

    error UnknownVersion(uint256 version);
    error UnexpectedKind(uint256 kind);
    /// @notice The length doesn't follow from the counts.
    error MalformedMessage(uint256 length);
    error TokenIndexOutOfBounds(uint256 row);

    uint8 internal constant VERSION = 1;
    uint8 internal constant COUNTERS = 1;
    uint8 internal constant RELEASES = 2;

    uint256 private constant HEADER_BYTES = 15;
    uint256 private constant TOTALS_BYTES = 68;
    uint256 private constant COUNTER_ROW_BYTES = 49;
    uint256 private constant CREDIT_BYTES = 40;
    uint256 private constant RELEASE_ROW_BYTES = 69;

    /* COUNTERS */

    function encodeCounters(Header memory header, Totals[] memory tokens, CounterRow[] memory rows)
        internal
        pure
        returns (bytes memory)
    {
        uint256 size =
            HEADER_BYTES + TOTALS_BYTES * tokens.length + 2 + COUNTER_ROW_BYTES * rows.length;
        DynamicBufferLib.DynamicBuffer memory buffer = _start(COUNTERS, header, tokens.length, size);
        for (uint256 i; i < tokens.length; ++i) {
            Totals memory totals = tokens[i];
            buffer.pAddress(totals.token).pUint128(totals.totalIn).pUint128(totals.totalOut);
            buffer.pUint128(totals.shortfall);
        }
        buffer.pUint16(uint16(rows.length));
        for (uint256 i; i < rows.length; ++i) {
            CounterRow memory row = rows[i];
            buffer.pBytes32(row.account).pUint8(row.tokenIndex).pUint128(row.depositedIn);
        }
        return buffer.data;
    }

    function decodeCounters(bytes calldata message)
        internal
        pure
        returns (Header memory header, Totals[] memory tokens, CounterRow[] memory rows)
    {
        (uint256 nTokens, uint256 nRows) = _counts(message, COUNTERS, TOTALS_BYTES, COUNTER_ROW_BYTES);
        header = _header(message);
        uint256 offset = HEADER_BYTES;
        tokens = new Totals[](nTokens);
        for (uint256 i; i < nTokens; ++i) {
            tokens[i] = Totals(
                _address(message, offset),
                _uint128(message, offset + 20),
                _uint128(message, offset + 36),
                _uint128(message, offset + 52)
            );
            offset += TOTALS_BYTES;
        }
        offset += 2;
        rows = new CounterRow[](nRows);
        for (uint256 i; i < nRows; ++i) {
            uint8 index = uint8(message[offset + 32]);
            if (index >= nTokens) revert TokenIndexOutOfBounds(i);
            rows[i] =
                CounterRow(LibBytes.loadCalldata(message, offset), index, _uint128(message, offset + 33));
            offset += COUNTER_ROW_BYTES;
        }
    }

    /* RELEASES */

    function encodeReleases(Header memory header, Credit[] memory tokens, ReleaseRow[] memory rows)
        internal
        pure
        returns (bytes memory)
    {
        uint256 size =
            HEADER_BYTES + CREDIT_BYTES * tokens.length + 2 + RELEASE_ROW_BYTES * rows.length;
        DynamicBufferLib.DynamicBuffer memory buffer = _start(RELEASES, header, tokens.length, size);
        for (uint256 i; i < tokens.length; ++i) {
            buffer.pAddress(tokens[i].token).pUint32(tokens[i].epoch).pUint128(tokens[i].creditedTotal);
        }
        buffer.pUint16(uint16(rows.length));
        for (uint256 i; i < rows.length; ++i) {
            ReleaseRow memory row = rows[i];
            buffer.pBytes32(row.account).pAddress(row.recipient).pUint8(row.tokenIndex);
            buffer.pUint128(row.released);
        }
        return buffer.data;
    }

    function decodeReleases(bytes calldata message)
        internal
        pure
        returns (Header memory header, Credit[] memory tokens, ReleaseRow[] memory rows)
    {
        (uint256 nTokens, uint256 nRows) = _counts(message, RELEASES, CREDIT_BYTES, RELEASE_ROW_BYTES);
        header = _header(message);
        uint256 offset = HEADER_BYTES;
        tokens = new Credit[](nTokens);
        for (uint256 i; i < nTokens; ++i) {
            tokens[i] = Credit(
                _address(message, offset),
                uint32(bytes4(message[offset + 20:offset + 24])),
                _uint128(message, offset + 24)
            );
            offset += CREDIT_BYTES;
        }
        offset += 2;
        rows = new ReleaseRow[](nRows);
        for (uint256 i; i < nRows; ++i) {
            uint8 index = uint8(message[offset + 52]);
            if (index >= nTokens) revert TokenIndexOutOfBounds(i);
            rows[i] = ReleaseRow(
                LibBytes.loadCalldata(message, offset),
                _address(message, offset + 32),
                index,
                _uint128(message, offset + 53)
            );
            offset += RELEASE_ROW_BYTES;
        }
    }

    /* FIELDS */

    function _start(uint8 kind, Header memory header, uint256 nTokens, uint256 size)
        private
        pure
        returns (DynamicBufferLib.DynamicBuffer memory buffer)
    {
        buffer.reserve(size);
        buffer.pUint8(VERSION).pUint8(kind).pUint32(header.epoch).pUint64(header.time);
        buffer.pUint8(uint8(nTokens));
    }

    /// @dev Proves that every field below lies inside the message.
    function _counts(bytes calldata message, uint256 kind, uint256 tokenBytes, uint256 rowBytes)
        private
        pure
        returns (uint256 nTokens, uint256 nRows)
    {
        uint256 length = message.length;
        if (length < HEADER_BYTES + 2) revert MalformedMessage(length);
        if (uint8(message[0]) != VERSION) revert UnknownVersion(uint8(message[0]));
        if (uint8(message[1]) != kind) revert UnexpectedKind(uint8(message[1]));
        nTokens = uint8(message[HEADER_BYTES - 1]);
        uint256 rowsAt = HEADER_BYTES + tokenBytes * nTokens + 2;
        if (length < rowsAt) revert MalformedMessage(length);
        nRows = uint16(bytes2(message[rowsAt - 2:rowsAt]));
        if (length != rowsAt + rowBytes * nRows) revert MalformedMessage(length);
    }

    function _header(bytes calldata message) private pure returns (Header memory) {
        return Header(uint32(bytes4(message[2:6])), uint64(bytes8(message[6:14])));
    }

    function _address(bytes calldata message, uint256 offset) private pure returns (address) {
        return address(bytes20(LibBytes.loadCalldata(message, offset)));
    }

    function _uint128(bytes calldata message, uint256 offset) private pure returns (uint128) {
        return uint128(bytes16(LibBytes.loadCalldata(message, offset)));
    }
}
