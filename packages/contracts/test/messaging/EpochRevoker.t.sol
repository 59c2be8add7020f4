// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Origin} from "@layerzerolabs/lz-evm-protocol-v2/contracts/interfaces/ILayerZeroEndpointV2.sol";
import {IOAppCore} from "@layerzerolabs/oapp-evm/contracts/oapp/interfaces/IOAppCore.sol";
import {OAppReceiver} from "@layerzerolabs/oapp-evm/contracts/oapp/OAppReceiver.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {EpochRevoker} from "../../src/messaging/EpochRevoker.sol";
import {PriceOracle} from "../../src/oracle/PriceOracle.sol";
import {SignerEpochs} from "../../src/oracle/SignerEpochs.sol";
import {LayerZeroTest} from "../utils/LayerZeroTest.sol";

/// @notice The oracles of two chains and what revokes on them, over LayerZero's real contracts.
contract EpochRevokerTest is LayerZeroTest {
    uint32 private constant SLOT = 2;
    address private immutable governance = makeAddr("governance");

    EpochRevoker private hub;
    EpochRevoker private spoke;
    PriceOracle private hubOracle;
    PriceOracle private oracle;

    receive() external payable {}

    function setUp() public {
        _deployTwoChains();
        (hub, hubOracle) = _deployOn(HUB);
        (spoke, oracle) = _deployOn(SPOKE);
        vm.startPrank(governance);
        hub.setPeer(SPOKE, _word(address(spoke)));
        spoke.setPeer(HUB, _word(address(hub)));
        vm.stopPrank();
    }

    function _deployOn(uint32 eid) private returns (EpochRevoker revoker, PriceOracle priceOracle) {
        priceOracle = new PriceOracle(
            keccak256("network"), governance, SLOT, SignerEpochs.Parameters(60, 500, 100, 2_000, 30, 100)
        );
        revoker = new EpochRevoker(address(_stack(eid).endpoint), governance, priceOracle, HUB);
        vm.startPrank(governance);
        priceOracle.setRevoker(address(revoker));
        priceOracle.openEpoch(_epoch(1, 1));
        vm.stopPrank();
    }

    /* WHAT IT DOES */

    function test_an_order_revokes_on_the_hub_and_anyone_carries_it_to_a_spoke() public {
        vm.prank(governance);
        hub.order(1);
        assertTrue(_revoked(hubOracle));
        assertFalse(_revoked(oracle));
        Packet memory packet = _send(1);
        _commit(packet);
        vm.expectEmit(address(oracle));
        emit SignerEpochs.EpochRevoked(1);
        assertTrue(_execute(packet, packet.gas), "the gas that the message buys");
        assertTrue(_revoked(oracle));
        assertTrue(spoke.ordered(1));
        // Again, by another stranger: nothing more happens.
        assertTrue(_deliver(_send(1)));
    }

    /// @dev Late, and only then is the epoch handed to: it never opens.
    function test_a_revocation_may_come_before_its_epoch_and_leaves_the_present_one() public {
        vm.prank(governance);
        hub.order(2);
        assertTrue(_deliver(_send(2)));
        assertFalse(_revoked(oracle));
        vm.startPrank(governance);
        vm.expectRevert(abi.encodeWithSelector(SignerEpochs.RevokedEpoch.selector, 2));
        oracle.openEpoch(_epoch(2, uint64(block.timestamp / SLOT) + 9));
        oracle.openEpoch(_epoch(3, uint64(block.timestamp / SLOT) + 9));
    }

    function test_surplus_is_refunded() public {
        vm.prank(governance);
        hub.order(1);
        uint256 fee = hub.quote(SPOKE, 1);
        vm.deal(address(this), 1 ether);
        hub.send{value: 1 ether}(SPOKE, 1);
        assertEq(address(this).balance, 1 ether - fee);
    }

    /* WHAT IT DOESN'T */

    function test_only_governance_orders_and_only_on_the_hub() public {
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, address(this)));
        hub.order(1);
        vm.prank(governance);
        vm.expectRevert(abi.encodeWithSelector(EpochRevoker.NotHub.selector, SPOKE));
        spoke.order(1);
    }

    function test_nothing_is_sent_without_an_order_nor_from_a_spoke() public {
        vm.deal(address(this), 1 ether);
        vm.expectRevert(abi.encodeWithSelector(EpochRevoker.NotOrdered.selector, 1));
        hub.send{value: 1 ether}(SPOKE, 1);
        vm.prank(governance);
        hub.order(1);
        assertTrue(_deliver(_send(1)));
        vm.expectRevert(abi.encodeWithSelector(EpochRevoker.NotHub.selector, SPOKE));
        spoke.send{value: 1 ether}(HUB, 1);
    }

    function test_a_forged_source_revokes_nothing() public {
        bytes memory message = abi.encodePacked(bytes2(0x0103), uint32(1));
        address endpoint = address(_stack(SPOKE).endpoint);
        vm.expectRevert(abi.encodeWithSelector(OAppReceiver.OnlyEndpoint.selector, address(this)));
        spoke.lzReceive(Origin(HUB, _word(address(hub)), 1), 0, message, address(0), "");
        vm.startPrank(endpoint);
        vm.expectRevert(abi.encodeWithSelector(IOAppCore.OnlyPeer.selector, HUB, _word(address(this))));
        spoke.lzReceive(Origin(HUB, _word(address(this)), 1), 0, message, address(0), "");
        vm.expectRevert(abi.encodeWithSelector(IOAppCore.NoPeer.selector, 30_903));
        spoke.lzReceive(Origin(30_903, _word(address(hub)), 1), 0, message, address(0), "");
        vm.stopPrank();
        assertFalse(_revoked(oracle));
    }

    /// @dev A chain that is forged as a whole can take no prices from the hub: its contract is a peer there, but isn't heard.
    function test_the_hub_hears_no_spoke() public {
        bytes memory message = abi.encodePacked(bytes2(0x0103), uint32(1));
        vm.prank(address(_stack(HUB).endpoint));
        vm.expectRevert(abi.encodeWithSelector(EpochRevoker.NotHub.selector, SPOKE));
        hub.lzReceive(Origin(SPOKE, _word(address(spoke)), 1), 0, message, address(0), "");
        assertFalse(_revoked(hubOracle));
    }

    /// @dev Even from the hub's own contract: another version, kind or length, such as a gateway's message or an epoch to open.
    function testFuzz_no_other_message_does_anything(bytes memory message) public {
        vm.assume(message.length != 6 || bytes2(message) != 0x0103);
        _refused(message);
    }

    function test_messages_of_other_kinds_and_lengths() public {
        _refused("");
        _refused(abi.encodePacked(bytes2(0x0102), uint32(1)));
        _refused(abi.encodePacked(bytes2(0x0203), uint32(1)));
        _refused(abi.encodePacked(bytes2(0x0103), uint24(1)));
        _refused(abi.encodePacked(bytes2(0x0103), uint40(1)));
        _refused(abi.encode(_epoch(2, uint64(block.timestamp / SLOT) + 9)));
    }

    function _refused(bytes memory message) private {
        vm.prank(address(_stack(SPOKE).endpoint));
        vm.expectRevert(EpochRevoker.MalformedMessage.selector);
        spoke.lzReceive(Origin(HUB, _word(address(hub)), 1), 0, message, address(0), "");
        (uint32 opened,, bool revoked) = oracle.openedEpoch();
        assertEq(opened, 1);
        assertFalse(revoked);
    }

    /// @dev The role revokes, and neither opens, replaces nor governs.
    function test_the_revoker_role_opens_nothing() public {
        SignerEpochs.Epoch memory next = _epoch(2, uint64(block.timestamp / SLOT) + 9);
        vm.startPrank(address(spoke));
        bytes memory stranger =
            abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, address(spoke));
        vm.expectRevert(stranger);
        oracle.openEpoch(next);
        vm.expectRevert(stranger);
        oracle.setRevoker(address(this));
        vm.expectRevert(stranger);
        oracle.setUseAge(0, 1);
        vm.expectRevert();
        oracle.handOver(next, "");
    }

    /* HELPERS */

    function _send(uint32 epoch) private returns (Packet memory) {
        uint256 fee = hub.quote(SPOKE, epoch);
        address stranger = makeAddr("stranger");
        vm.deal(stranger, fee);
        vm.recordLogs();
        vm.prank(stranger);
        hub.send{value: fee}(SPOKE, epoch);
        return _sentPackets()[0];
    }

    function _revoked(PriceOracle on) private view returns (bool revoked) {
        (,, revoked) = on.openedEpoch();
    }

    function _epoch(uint32 epoch, uint64 firstSeq) private pure returns (SignerEpochs.Epoch memory next) {
        address[] memory signers = new address[](4);
        for (uint160 i; i < 4; ++i) {
            signers[i] = address(i + 1);
        }
        SignerEpochs.Feed[] memory feeds = new SignerEpochs.Feed[](1);
        feeds[0] = SignerEpochs.Feed("ETH/USD", -8, false, 120);
        return SignerEpochs.Epoch(epoch, firstSeq, type(uint48).max, 0, signers, feeds);
    }

    function _word(address a) private pure returns (bytes32) {
        return bytes32(uint256(uint160(a)));
    }
}
