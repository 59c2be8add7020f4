// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Test} from "forge-std/Test.sol";
import {CounterMessages} from "../../src/libraries/CounterMessages.sol";

contract CounterMessagesTest is Test {
    bytes private constant ONE_ROW = hex"0101" hex"00000007" hex"0000000000000009" hex"01"
        hex"00000000000000000000000000000000000000aa" hex"00000000000000000000000000000001"
        hex"00000000000000000000000000000002" hex"00000000000000000000000000000003" hex"0001"
        hex"00000000000000000000000000000000000000000000000000000000000000bb" hex"00"
        hex"00000000000000000000000000000004";

    /* VECTORS: the file is written by packages/shared/src/messages.test.ts */

    function test_counters_of_typescript() public view {
        string memory json = vm.readFile("test/fixtures/messages.json");
        for (uint256 i; i < 5; ++i) {
            string memory path = string.concat(".counters[", vm.toString(i), "]");
            bytes memory encoded = vm.parseJsonBytes(json, string.concat(path, ".encoded"));
            (
                CounterMessages.Header memory header,
                CounterMessages.Totals[] memory tokens,
                CounterMessages.CounterRow[] memory rows
            ) = this.decodeCounters(encoded);
            assertEq(header.epoch, vm.parseJsonUint(json, string.concat(path, ".epoch")));
            assertEq(header.time, vm.parseJsonUint(json, string.concat(path, ".time")));
            assertEq(tokens.length, vm.parseJsonUint(json, string.concat(path, ".tokens")));
            assertEq(rows.length, vm.parseJsonUint(json, string.concat(path, ".rows")));
            for (uint256 j; j < tokens.length; ++j) {
                assertEq(tokens[j].token, address(bytes20(_named("token", j))));
                assertEq(tokens[j].totalIn, j == 0 ? type(uint128).max : _amount("in", j));
                assertEq(tokens[j].totalOut, _amount("out", j));
                assertEq(tokens[j].shortfall, j == 0 ? 0 : _amount("short", j));
            }
            for (uint256 j; j < rows.length; ++j) {
                assertEq(rows[j].account, _named("account", j));
                assertEq(rows[j].tokenIndex, j % tokens.length);
                assertEq(rows[j].depositedIn, _amount("deposit", j));
            }
            assertEq(CounterMessages.encodeCounters(header, tokens, rows), encoded);
        }
    }

    function test_releases_of_typescript() public view {
        string memory json = vm.readFile("test/fixtures/messages.json");
        for (uint256 i; i < 5; ++i) {
            string memory path = string.concat(".releases[", vm.toString(i), "]");
            bytes memory encoded = vm.parseJsonBytes(json, string.concat(path, ".encoded"));
            (
                CounterMessages.Header memory header,
                CounterMessages.Credit[] memory tokens,
                CounterMessages.ReleaseRow[] memory rows
            ) = this.decodeReleases(encoded);
            assertEq(header.epoch, vm.parseJsonUint(json, string.concat(path, ".epoch")));
            assertEq(header.time, vm.parseJsonUint(json, string.concat(path, ".time")));
            assertEq(tokens.length, vm.parseJsonUint(json, string.concat(path, ".tokens")));
            assertEq(rows.length, vm.parseJsonUint(json, string.concat(path, ".rows")));
            for (uint256 j; j < tokens.length; ++j) {
                assertEq(tokens[j].token, address(bytes20(_named("token", j))));
                assertEq(tokens[j].epoch, 1 + j * 0x01000000);
                assertEq(tokens[j].creditedTotal, _amount("credit", j));
            }
            for (uint256 j; j < rows.length; ++j) {
                assertEq(rows[j].account, _named("account", j));
                assertEq(rows[j].recipient, address(bytes20(_named("recipient", j))));
                assertEq(rows[j].tokenIndex, j % tokens.length);
                assertEq(rows[j].released, _amount("release", j));
            }
            assertEq(CounterMessages.encodeReleases(header, tokens, rows), encoded);
        }
    }

    /* REFUSALS */

    function test_malformed() public {
        this.decodeCounters(ONE_ROW);
        for (uint256 length; length < ONE_ROW.length; ++length) {
            bytes memory cut = ONE_ROW;
            assembly ("memory-safe") {
                mstore(cut, length)
            }
            vm.expectRevert(abi.encodeWithSelector(CounterMessages.MalformedMessage.selector, length));
            this.decodeCounters(cut);
        }
        vm.expectRevert(abi.encodeWithSelector(CounterMessages.MalformedMessage.selector, ONE_ROW.length + 1));
        this.decodeCounters(bytes.concat(ONE_ROW, hex"00"));

        bytes memory other = ONE_ROW;
        other[0] = 0x02;
        vm.expectRevert(abi.encodeWithSelector(CounterMessages.UnknownVersion.selector, 2));
        this.decodeCounters(other);
        vm.expectRevert(abi.encodeWithSelector(CounterMessages.UnexpectedKind.selector, 1));
        this.decodeReleases(ONE_ROW);
        other = ONE_ROW;
        other[ONE_ROW.length - 17] = 0x01;
        vm.expectRevert(abi.encodeWithSelector(CounterMessages.TokenIndexOutOfBounds.selector, 0));
        this.decodeCounters(other);
    }

    /// @dev Whatever decodes encodes to the same bytes: no two messages mean the same, no byte goes unread.
    function testFuzz_decoding_is_injective(bytes calldata noise, uint8 tokens, uint16 rows) public view {
        tokens = uint8(bound(tokens, 0, 3));
        rows = uint16(bound(rows, 0, 4));
        bytes memory message = abi.encodePacked(
            uint16(0x0101), _fill(noise, 1, 12), tokens, _fill(noise, 2, 68 * uint256(tokens)), rows
        );
        for (uint256 i; i < rows; ++i) {
            uint8 index = uint8(uint256(keccak256(abi.encode(noise, i))) % 4);
            message = bytes.concat(message, _fill(noise, 10 + i, 32), bytes1(index), _fill(noise, 20 + i, 16));
        }
        try this.decodeCounters(message) returns (
            CounterMessages.Header memory header,
            CounterMessages.Totals[] memory totals,
            CounterMessages.CounterRow[] memory decoded
        ) {
            assertEq(CounterMessages.encodeCounters(header, totals, decoded), message);
        } catch (bytes memory reason) {
            assertEq(bytes4(reason), CounterMessages.TokenIndexOutOfBounds.selector);
        }
    }

    function _fill(bytes calldata noise, uint256 salt, uint256 length)
        private
        pure
        returns (bytes memory out)
    {
        for (uint256 i; out.length < length; ++i) {
            out = bytes.concat(out, keccak256(abi.encode(noise, salt, i)));
        }
        assembly ("memory-safe") {
            mstore(out, length)
        }
    }

    function decodeCounters(bytes calldata message)
        external
        pure
        returns (
            CounterMessages.Header memory,
            CounterMessages.Totals[] memory,
            CounterMessages.CounterRow[] memory
        )
    {
        return CounterMessages.decodeCounters(message);
    }

    function decodeReleases(bytes calldata message)
        external
        pure
        returns (
            CounterMessages.Header memory,
            CounterMessages.Credit[] memory,
            CounterMessages.ReleaseRow[] memory
        )
    {
        return CounterMessages.decodeReleases(message);
    }

    function _named(string memory name, uint256 i) private pure returns (bytes32) {
        return keccak256(bytes(string.concat(name, vm.toString(i))));
    }

    function _amount(string memory name, uint256 i) private pure returns (uint128) {
        return uint128(bytes16(_named(name, i)));
    }
}
