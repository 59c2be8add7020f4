// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {
    ILayerZeroEndpointV2,
    Origin
} from "@layerzerolabs/lz-evm-protocol-v2/contracts/interfaces/ILayerZeroEndpointV2.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {Attestor} from "../../../src/messaging/Attestor.sol";
import {AttestorJobs} from "../../../src/messaging/AttestorJobs.sol";
import {AttestorOperators} from "../../../src/messaging/AttestorOperators.sol";
import {AttestorTest} from "./AttestorTest.sol";
import {TestReceiver} from "../../../src/mocks/TestReceiver.sol";

interface IDelegate {
    function nilify(address oapp, uint32 srcEid, bytes32 sender, uint64 nonce, bytes32 payloadHash) external;
    function skip(address oapp, uint32 srcEid, bytes32 sender, uint64 nonce) external;
}

interface IFees {
    function fees(address worker) external view returns (uint256);
}

contract AttestorUnitTest is AttestorTest {
    TestReceiver internal receiver;
    TestReceiver internal other;

    function setUp() public override {
        super.setUp();
        (receiver, other) = (new TestReceiver(), new TestReceiver());
    }

    function _stored(Attestor.Packet memory packet, address to) internal view returns (bytes32) {
        return _stack(THERE).endpoint
            .inboundPayloadHash(to, HERE, bytes32(uint256(uint160(sender))), _nonce(packet));
    }

    function _nonce(Attestor.Packet memory packet) internal view returns (uint64) {
        return this.nonceOf(packet.header);
    }

    function nonceOf(bytes calldata header) external pure returns (uint64) {
        return uint64(bytes8(header[1:9]));
    }

    function _assert(Attestor.Outcome got, Attestor.Outcome wanted) internal pure {
        assertEq(uint8(got), uint8(wanted), "outcome");
    }

    /* DELIVERY */

    function test_deliversManyPacketsOfSeveralPathsInOneCall() public {
        Attestor.Packet[] memory packets = new Attestor.Packet[](7);
        for (uint256 n; n < 7; ++n) {
            packets[n] = _send(n % 2 == 0 ? address(receiver) : address(other), abi.encode(n));
        }
        Attestor.Outcome[] memory outcomes = _deliverAll(packets);
        for (uint256 n; n < 7; ++n) {
            _assert(outcomes[n], Attestor.Outcome.Executed);
        }
        assertEq(receiver.last(), keccak256(abi.encode(6)));
        assertEq(other.last(), keccak256(abi.encode(5)));
    }

    function testFuzz_anyOneLeafCanBeDeliveredByItsProof(uint8 count, uint8 index) public {
        count = uint8(bound(count, 1, 9));
        index = uint8(bound(index, 0, count - 1));
        Attestor.Packet[] memory packets = new Attestor.Packet[](count);
        for (uint256 n; n < count; ++n) {
            // A path of its own each, so that no order binds them.
            packets[n] = _send(address(new TestReceiver()), abi.encode(n));
        }
        bytes32[] memory tree = _tree(packets);
        AttestorOperators.Attestation memory a = _attest(tree[0]);
        (bytes32[] memory proof, bool[] memory flags) = _proof(tree, index);
        Attestor.Outcome[] memory outcomes =
            attestor.deliver(a, _signatures(a), _one(packets[index]), proof, flags);
        _assert(outcomes[0], Attestor.Outcome.Executed);
    }

    function test_withoutGasItCommitsAndLeavesTheExecutionToOthers() public {
        Attestor.Packet memory packet = _send(address(receiver), "value");
        packet.gas = 0;
        _assert(_deliverOne(packet), Attestor.Outcome.Committed);
        assertNotEq(_stored(packet, address(receiver)), 0);
        assertEq(receiver.last(), 0);
    }

    function test_whatIsDoneIsSkippedAndChangesNothing() public {
        Attestor.Packet memory packet = _send(address(receiver), "once");
        _assert(_deliverOne(packet), Attestor.Outcome.Executed);
        receiver.setMode(TestReceiver.Mode.Revert);
        _assert(_deliverOne(packet), Attestor.Outcome.AlreadyDone);
    }

    function test_whatIsCommittedIsOnlyExecuted() public {
        Attestor.Packet memory packet = _send(address(receiver), "twice");
        receiver.setMode(TestReceiver.Mode.Revert);
        _assert(_deliverOne(packet), Attestor.Outcome.ExecuteFailed);
        receiver.setMode(TestReceiver.Mode.Write);
        // Verifying is over: the library is not asked again.
        vm.mockCallRevert(_stack(THERE).receiveUln, bytes(""), bytes(""));
        _assert(_deliverOne(packet), Attestor.Outcome.Executed);
    }

    function test_aSkippedPacketIsAlreadyDone() public {
        Attestor.Packet memory packet = _send(address(receiver), "bad");
        bytes32 from = bytes32(uint256(uint160(sender)));
        vm.prank(address(receiver));
        IDelegate(address(_stack(THERE).endpoint)).skip(address(receiver), HERE, from, 1);
        _assert(_deliverOne(packet), Attestor.Outcome.AlreadyDone);
    }

    function test_aNilifiedPacketIsNotBroughtBack() public {
        Attestor.Packet memory packet = _send(address(receiver), "suspect");
        bytes32 from = bytes32(uint256(uint160(sender)));
        packet.gas = 0;
        _assert(_deliverOne(packet), Attestor.Outcome.Committed);
        bytes32 stored = _stored(packet, address(receiver));
        vm.prank(address(receiver));
        IDelegate(address(_stack(THERE).endpoint)).nilify(address(receiver), HERE, from, 1, stored);
        _assert(_deliverOne(packet), Attestor.Outcome.Nilified);
    }

    function test_aFailedCommitLeavesNoVerificationBehind() public {
        // Another required verifier has not spoken yet.
        address[] memory required = new address[](2);
        (required[0], required[1]) = (address(attestor), address(0xdead));
        if (required[1] < required[0]) (required[0], required[1]) = (required[1], required[0]);
        _verifiers(_stack(THERE).receiveUln, HERE, required);
        Attestor.Packet memory packet = _send(address(receiver), "early");
        _assert(_deliverOne(packet), Attestor.Outcome.VerifyFailed);
        address[] memory only = new address[](1);
        only[0] = address(attestor);
        _verifiers(_stack(THERE).receiveUln, HERE, only);
        // Had it stayed, this would commit now.
        bytes32 payloadHash = keccak256(abi.encodePacked(this.guidOf(packet.header), packet.message));
        (bool committed,) = _stack(THERE).receiveUln
            .call(abi.encodeWithSignature("commitVerification(bytes,bytes32)", packet.header, payloadHash));
        assertFalse(committed);
        _assert(_deliverOne(packet), Attestor.Outcome.Executed);
    }

    function test_tooFewConfirmationsAreNotCommitted() public {
        Attestor.Packet memory packet = _send(address(receiver), "shallow");
        packet.confirmations = CONFIRMATIONS - 1;
        _assert(_deliverOne(packet), Attestor.Outcome.VerifyFailed);
    }

    /* RECEIVERS THAT MEAN HARM: the packets around theirs are delivered all the same */

    /// What the delivery of the newest `_amid` took.
    uint256 internal spent;

    function _amid(TestReceiver.Mode mode) internal returns (Attestor.Outcome[] memory) {
        return _amid(mode, GAS);
    }

    function _amid(TestReceiver.Mode mode, uint128 gas_)
        internal
        returns (Attestor.Outcome[] memory outcomes)
    {
        TestReceiver last = new TestReceiver();
        other.setMode(mode);
        Attestor.Packet[] memory packets = new Attestor.Packet[](3);
        packets[0] = _send(address(receiver), "first");
        packets[1] = _send(address(other), "harm", gas_);
        packets[2] = _send(address(last), "last");
        outcomes = _deliverAll(packets);
        spent = vm.lastCallGas().gasTotalUsed;
        _assert(outcomes[0], Attestor.Outcome.Executed);
        _assert(outcomes[2], Attestor.Outcome.Executed);
        assertEq(receiver.last(), keccak256("first"));
        assertEq(last.last(), keccak256("last"));
    }

    function test_aRevertingReceiverHarmsOnlyItself() public {
        _assert(_amid(TestReceiver.Mode.Revert)[1], Attestor.Outcome.ExecuteFailed);
    }

    function test_aStarvingReceiverGetsItsOwnGasAndNoMore() public {
        _assert(_amid(TestReceiver.Mode.Starve)[1], Attestor.Outcome.ExecuteFailed);
    }

    function test_aReturnBombIsPaidFromItsOwnGas() public {
        // Enough for the receiver to make its megabyte and for the endpoint to pass it on, two million each.
        uint128 enough = 6_000_000;
        _assert(_amid(TestReceiver.Mode.ReturnBomb, enough)[1], Attestor.Outcome.ExecuteFailed);
        address endpoint = address(_stack(THERE).endpoint);
        Origin memory origin = Origin(HERE, bytes32(uint256(uint160(sender))), 1);
        bytes32 guid = keccak256(
            abi.encodePacked(uint64(1), HERE, origin.sender, THERE, bytes32(uint256(uint160(address(other)))))
        );
        bytes memory data =
            abi.encodeCall(ILayerZeroEndpointV2.lzReceive, (origin, address(other), guid, "harm", ""));
        bool ok;
        uint256 returned;
        uint256 bomb = gasleft();
        assembly ("memory-safe") {
            ok := call(enough, endpoint, 0, add(data, 32), mload(data), 0, 0)
            returned := returndatasize()
        }
        bomb -= gasleft();
        assertFalse(ok);
        assertEq(returned, 1_000_000);
        // Copied, it would cost two million more.
        assertLt(spent, bomb + 500_000);
    }

    function test_aSwallowingReceiverIsDelivered() public {
        _assert(_amid(TestReceiver.Mode.Swallow)[1], Attestor.Outcome.Executed);
    }

    function test_aReceiverCannotReenter() public {
        Attestor.Packet[] memory packets = new Attestor.Packet[](2);
        packets[0] = _send(address(receiver), "first");
        packets[1] = _send(address(other), "second");
        AttestorOperators.Attestation memory a = _attest(_tree(packets)[0]);
        bytes memory again =
            abi.encodeCall(attestor.deliver, (a, _signatures(a), packets, new bytes32[](0), _allFlags(2)));
        receiver.setReentry(address(attestor), again);
        Attestor.Outcome[] memory outcomes = _deliverAll(packets);
        _assert(outcomes[0], Attestor.Outcome.Executed);
        _assert(outcomes[1], Attestor.Outcome.Executed);
        assertFalse(receiver.reentered());
    }

    /// Gas that runs short stops the batch before a packet, never within one: nobody's packet fails for want of the sender's gas.
    function testFuzz_tooLittleGasStopsBeforeAPacketNeverWithinIt(uint256 gas_) public {
        gas_ = bound(gas_, 300_000, 1_500_000);
        Attestor.Packet[] memory packets = new Attestor.Packet[](4);
        for (uint256 n; n < 4; ++n) {
            packets[n] = _send(address(new TestReceiver()), abi.encode(n));
        }
        AttestorOperators.Attestation memory a = _attest(_tree(packets)[0]);
        bytes memory signatures = _signatures(a);
        Attestor.Outcome[] memory outcomes =
            attestor.deliver{gas: gas_}(a, signatures, packets, new bytes32[](0), _allFlags(4));
        bool stopped;
        for (uint256 n; n < 4; ++n) {
            if (stopped) {
                _assert(outcomes[n], Attestor.Outcome.NotReached);
            } else if (outcomes[n] == Attestor.Outcome.NotReached) {
                stopped = true;
            } else {
                _assert(outcomes[n], Attestor.Outcome.Executed);
            }
        }
    }

    function test_aGasBeyondAllBoundsIsNotReached() public {
        Attestor.Packet memory packet = _send(address(receiver), "greedy");
        packet.gas = type(uint256).max;
        _assert(_deliverOne(packet), Attestor.Outcome.NotReached);
    }

    /* ATTESTATIONS */

    function _refused(
        AttestorOperators.Attestation memory a,
        bytes memory signatures,
        Attestor.Packet memory packet,
        bytes memory reason
    ) internal {
        vm.expectRevert(reason);
        attestor.deliver(a, signatures, _one(packet), new bytes32[](0), new bool[](0));
    }

    function test_anotherMessageIsNotAttested() public {
        Attestor.Packet memory packet = _send(address(receiver), "true");
        AttestorOperators.Attestation memory a = _attest(_leaf(packet));
        bytes memory signatures = _signatures(a);
        packet.message = "false";
        _refused(a, signatures, packet, abi.encodeWithSelector(Attestor.NotAttested.selector));
        (packet.message, packet.confirmations) = ("true", 99);
        _refused(a, signatures, packet, abi.encodeWithSelector(Attestor.NotAttested.selector));
        packet.confirmations = CONFIRMATIONS;
        packet.header[8] = 0x02;
        _refused(a, signatures, packet, abi.encodeWithSelector(Attestor.NotAttested.selector));
        packet.header = hex"01";
        _refused(a, signatures, packet, abi.encodeWithSelector(Attestor.MalformedHeader.selector, 0));
    }

    function test_noPacketsProveNothing() public {
        AttestorOperators.Attestation memory a = _attest(bytes32(uint256(1)));
        bytes32[] memory proof = new bytes32[](1);
        proof[0] = a.root;
        bytes memory signatures = _signatures(a);
        vm.expectRevert(Attestor.NotAttested.selector);
        attestor.deliver(a, signatures, new Attestor.Packet[](0), proof, new bool[](0));
    }

    function test_signaturesMustBeOfTheSetEnoughAscendingAndEachOnce() public {
        Attestor.Packet memory packet = _send(address(receiver), "m");
        AttestorOperators.Attestation memory a = _attest(_leaf(packet));
        bytes memory first = _sign(keys[0], a);
        bytes memory second = _sign(keys[1], a);
        bytes memory wrongCount = abi.encodeWithSelector(AttestorOperators.WrongSignatureCount.selector, 65);
        _refused(a, first, packet, wrongCount);
        wrongCount = abi.encodeWithSelector(AttestorOperators.WrongSignatureCount.selector, 195);
        _refused(a, bytes.concat(first, second, _sign(keys[2], a)), packet, wrongCount);
        bytes memory wrongSigner =
            abi.encodeWithSelector(AttestorOperators.WrongSigner.selector, vm.addr(keys[0]));
        _refused(a, bytes.concat(second, first), packet, wrongSigner);
        _refused(a, bytes.concat(first, first), packet, wrongSigner);
        wrongSigner = abi.encodeWithSelector(AttestorOperators.WrongSigner.selector, vm.addr(0xbad));
        _refused(a, bytes.concat(_sign(0xbad, a), second), packet, wrongSigner);
    }

    function test_aHighSIsRefused() public {
        Attestor.Packet memory packet = _send(address(receiver), "m");
        AttestorOperators.Attestation memory a = _attest(_leaf(packet));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(keys[0], attestor.attestationDigest(a));
        bytes32 high =
            bytes32(0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141 - uint256(s));
        _refused(
            a,
            bytes.concat(abi.encodePacked(r, high, uint8(v == 27 ? 28 : 27)), _sign(keys[1], a)),
            packet,
            abi.encodeWithSelector(ECDSA.ECDSAInvalidSignatureS.selector, high)
        );
    }

    function test_anAttestationExpires() public {
        Attestor.Packet memory packet = _send(address(receiver), "m");
        AttestorOperators.Attestation memory a = _attest(_leaf(packet));
        bytes memory signatures = _signatures(a);
        vm.warp(a.expiry + 1);
        _refused(a, signatures, packet, abi.encodeWithSelector(AttestorOperators.Expired.selector, a.expiry));
        a.expiry = uint64(block.timestamp + 1 days + 1);
        signatures = _signatures(a);
        _refused(
            a, signatures, packet, abi.encodeWithSelector(AttestorOperators.ExpiryTooFar.selector, a.expiry)
        );
    }

    function test_anAttestationHoldsForOneNetworkChainContractAndLibrary() public {
        Attestor.Packet memory packet = _send(address(receiver), "m");
        AttestorOperators.Attestation memory a = _attest(_leaf(packet));
        bytes memory signatures = _signatures(a);
        Attestor.Packet[] memory packets = _one(packet);
        ILayerZeroEndpointV2 endpoint = _stack(THERE).endpoint;

        Attestor twin = new Attestor(address(this), endpoint, NETWORK, _operators(), 2);
        vm.expectPartialRevert(AttestorOperators.WrongSigner.selector);
        twin.deliver(a, signatures, packets, new bytes32[](0), new bool[](0));

        // Storage outlives the code here, so the set of the new code is the second, and then the third.
        a.operatorSet = 2;
        signatures = _signatures(a);
        deployCodeTo(
            "Attestor.sol:Attestor",
            abi.encode(address(this), endpoint, keccak256("another network"), _operators(), 2),
            address(attestor)
        );
        vm.expectPartialRevert(AttestorOperators.WrongSigner.selector);
        attestor.deliver(a, signatures, packets, new bytes32[](0), new bool[](0));
        deployCodeTo(
            "Attestor.sol:Attestor",
            abi.encode(address(this), endpoint, NETWORK, _operators(), 2),
            address(attestor)
        );
        a = _attest(_leaf(packet));
        signatures = _signatures(a);

        uint256 chain = block.chainid;
        vm.chainId(chain + 1);
        vm.expectPartialRevert(AttestorOperators.WrongSigner.selector);
        attestor.deliver(a, signatures, packets, new bytes32[](0), new bool[](0));
        vm.chainId(chain);

        address library_ = a.receiveLibrary;
        a.receiveLibrary = address(0xbad);
        vm.expectPartialRevert(AttestorOperators.WrongSigner.selector);
        attestor.deliver(a, signatures, packets, new bytes32[](0), new bool[](0));
        a.receiveLibrary = library_;
        _assert(
            attestor.deliver(a, signatures, packets, new bytes32[](0), new bool[](0))[0],
            Attestor.Outcome.Executed
        );
    }

    function test_verifyAndCommitIsForItself() public {
        vm.expectRevert(Attestor.OnlySelf.selector);
        attestor.verifyAndCommit(address(0), "", 0, 0);
    }

    /* OPERATORS */

    function test_aRotationEndsWhatTheOldSetSigned() public {
        Attestor.Packet memory packet = _send(address(receiver), "m");
        AttestorOperators.Attestation memory a = _attest(_leaf(packet));
        bytes memory signatures = _signatures(a);
        address[] memory operators = new address[](2);
        (operators[0], operators[1]) = (vm.addr(keys[1]), vm.addr(keys[2]));
        attestor.setOperators(operators, 2);
        assertFalse(attestor.isOperator(vm.addr(keys[0])));
        assertTrue(attestor.isOperator(vm.addr(keys[2])));
        bytes memory wrongSet = abi.encodeWithSelector(AttestorOperators.WrongOperatorSet.selector, 1);
        _refused(a, signatures, packet, wrongSet);
        // Who left can't sign for the new set.
        a.operatorSet = 2;
        bytes memory wrongSigner =
            abi.encodeWithSelector(AttestorOperators.WrongSigner.selector, vm.addr(keys[0]));
        _refused(a, _signatures(a), packet, wrongSigner);
        signatures = bytes.concat(_sign(keys[1], a), _sign(keys[2], a));
        attestor.deliver(a, signatures, _one(packet), new bytes32[](0), new bool[](0));
        assertEq(receiver.last(), keccak256("m"));
    }

    function test_setsAreChecked() public {
        address[] memory operators = _operators();
        vm.expectRevert(AttestorOperators.BadOperators.selector);
        attestor.setOperators(operators, 0);
        vm.expectRevert(AttestorOperators.BadOperators.selector);
        attestor.setOperators(operators, 4);
        operators[1] = operators[0];
        vm.expectRevert(AttestorOperators.BadOperators.selector);
        attestor.setOperators(operators, 2);
        vm.expectRevert(AttestorOperators.BadOperators.selector);
        attestor.setOperators(new address[](33), 2);
        vm.prank(sender);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, sender));
        attestor.setOperators(operators, 2);
    }

    /* JOBS */

    function test_theSendLibraryKeepsItsFeeUntilTheOwnerTakesIt() public {
        _send(address(receiver), "m");
        address library_ = _stack(HERE).sendUln;
        assertEq(IFees(library_).fees(address(jobs)), FEE);
        jobs.withdrawFee(library_, address(0xfee), FEE);
        assertEq(address(0xfee).balance, FEE);
        vm.prank(sender);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, sender));
        jobs.withdrawFee(library_, sender, 0);
    }

    function test_jobsAreTakenOnlyFromLibrariesForOpenDestinationsWithoutOptions() public {
        AttestorJobs.AssignJobParam memory job;
        job.dstEid = THERE;
        vm.expectRevert(abi.encodeWithSelector(AttestorJobs.OnlySendLibrary.selector, address(this)));
        jobs.assignJob(job, "");
        assertEq(jobs.getFee(THERE, 1, sender, ""), FEE);
        vm.expectRevert(AttestorJobs.UnsupportedOptions.selector);
        jobs.getFee(THERE, 1, sender, hex"02");
        vm.expectRevert(abi.encodeWithSelector(AttestorJobs.UnsupportedDestination.selector, HERE));
        jobs.getFee(HERE, 1, sender, "");
        jobs.setDestination(THERE, false, FEE);
        vm.expectRevert(abi.encodeWithSelector(AttestorJobs.UnsupportedDestination.selector, THERE));
        jobs.getFee(THERE, 1, sender, "");
        vm.startPrank(sender);
        bytes memory denied = abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, sender);
        vm.expectRevert(denied);
        jobs.setDestination(THERE, true, 0);
        vm.expectRevert(denied);
        jobs.setSendLibrary(sender, true);
    }
}
