// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Attestor} from "../../../src/messaging/Attestor.sol";
import {AttestorOperators} from "../../../src/messaging/AttestorOperators.sol";
import {IUlnAdmin} from "../../utils/LayerZeroTest.sol";
import {AttestorTest} from "./AttestorTest.sol";
import {SlotWriter} from "./SlotWriter.sol";

/// @notice Gas a message of a transaction that delivers 25 of 200 bytes on a path in use: 2-of-3 operators, a receiver that writes one slot.
contract AttestorGasTest is AttestorTest {
    uint256 internal constant COUNT = 25;
    uint256 internal constant CEILING = 75_000;

    SlotWriter internal receiver;

    function setUp() public override {
        super.setUp();
        receiver = new SlotWriter();
        _deliverOne(_send(address(receiver), "first of the path"));
    }

    function _packets() internal returns (Attestor.Packet[] memory packets) {
        packets = new Attestor.Packet[](COUNT);
        for (uint256 n; n < COUNT; ++n) {
            bytes memory message;
            for (uint256 word; word < 7; ++word) {
                message = bytes.concat(message, keccak256(abi.encode(n, word)));
            }
            assembly ("memory-safe") {
                mstore(message, 200)
            }
            packets[n] = _send(address(receiver), message);
        }
    }

    function _measure(Attestor.Packet[] memory packets, string memory name) internal returns (uint256 each) {
        AttestorOperators.Attestation memory a = _attest(_tree(packets)[0]);
        bytes memory signatures = _signatures(a);
        bool[] memory flags = _allFlags(COUNT);
        Attestor.Outcome[] memory outcomes = attestor.deliver(a, signatures, packets, new bytes32[](0), flags);
        each = vm.lastCallGas().gasTotalUsed / COUNT;
        for (uint256 n; n < COUNT; ++n) {
            assertEq(uint8(outcomes[n]), uint8(Attestor.Outcome.Executed));
        }
        assertEq(receiver.last(), this.guidOf(packets[COUNT - 1].header));
        vm.snapshotValue("Attestor", name, each);
    }

    /// forge-config: default.isolate = true
    function test_gasOf25Messages() public {
        assertLe(_measure(_packets(), "deliver_25_per_message"), CEILING);
    }

    /// forge-config: default.isolate = true
    function test_gasOf25MessagesWithASecondVerifier() public {
        address second = makeAddr("second verifier");
        address[] memory required = new address[](2);
        (required[0], required[1]) = (address(attestor), second);
        if (second < address(attestor)) (required[0], required[1]) = (required[1], required[0]);
        _verifiers(_stack(THERE).receiveUln, HERE, required);
        Attestor.Packet[] memory packets = _packets();
        for (uint256 n; n < COUNT; ++n) {
            bytes32 payloadHash =
                keccak256(abi.encodePacked(this.guidOf(packets[n].header), packets[n].message));
            vm.prank(second);
            IUlnAdmin(_stack(THERE).receiveUln).verify(packets[n].header, payloadHash, CONFIRMATIONS);
        }
        _measure(packets, "deliver_25_per_message_second_verifier");
    }
}
