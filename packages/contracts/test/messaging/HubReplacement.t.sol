// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Origin} from "@layerzerolabs/lz-evm-protocol-v2/contracts/interfaces/ILayerZeroEndpointV2.sol";
import {Clearinghouse} from "../../src/hub/Clearinghouse.sol";
import {RiskConfig} from "../../src/hub/RiskConfig.sol";
import {ICollateralVault} from "../../src/interfaces/ICollateralVault.sol";
import {IHubGateway, ISpokeGateway} from "../../src/interfaces/IGateways.sol";
import {IRiskConfig} from "../../src/interfaces/IRiskConfig.sol";
import {Accounts} from "../../src/libraries/Accounts.sol";
import {CounterMessages} from "../../src/libraries/CounterMessages.sol";
import {HubEpoch} from "../../src/messaging/HubEpoch.sol";
import {HubGateway} from "../../src/messaging/HubGateway.sol";
import {SpokeGateway} from "../../src/messaging/SpokeGateway.sol";
import {CollateralVault} from "../../src/spoke/CollateralVault.sol";
import {VenueRegistry} from "../../src/spoke/VenueRegistry.sol";
import {FickleVenue} from "../spoke/FickleVenue.sol";
import {CLEARINGHOUSE_PARTS, newClearinghouse} from "../hub/newClearinghouse.sol";
import {ExitFixture} from "./ExitFixture.sol";
import {HubGatewayV2, SpokeGatewayV2, VersionTwo} from "./VersionTwo.sol";

/// @notice The hub is replaced by a new clearinghouse with everything of the old one under way (DESIGN §1.1): nothing is lost, nothing paid twice,
/// and each hears only its own. A new version of messages comes the same way.
contract HubReplacementTest is ExitFixture {
    address private immutable alice = makeAddr("alice");
    address private immutable carol = makeAddr("carol");
    bytes32 private a;
    bytes32 private c;
    HubGateway private oldHub;
    Clearinghouse private oldLedger;
    SpokeGateway private oldGateway;
    CollateralVault private oldVault;

    receive() external payable {}

    function setUp() public {
        _deployAll();
        (a, c) = (Accounts.main(alice), Accounts.main(carol));
        (oldHub, oldLedger, oldGateway, oldVault) = (hub, clearinghouse, gateway, vault);
    }

    /// @dev From here on the fixture's contracts are the successors.
    function _deployNext() private {
        (clearinghouse, riskConfig, hub) = _newHub(2);
        (gateway, vault) = _newSpoke(SPOKE, token, hub, oldGateway);
        vm.prank(governance);
        hub.setPeer(SPOKE, _word(address(gateway)));
    }

    function _openNext() private {
        vm.startPrank(governance);
        oldVault.seal();
        oldGateway.openHubEpoch(gateway);
        vm.stopPrank();
    }

    function _sendOld(address recipient) private returns (Packet memory) {
        IHubGateway.ReleaseKey[] memory keys = _releaseKeys(a, recipient, SPOKE_ASSET);
        uint256 fee = oldHub.quoteReleases(SPOKE, keys);
        vm.deal(address(this), fee);
        vm.recordLogs();
        oldHub.sendReleases{value: fee}(SPOKE, keys);
        return _sentPackets()[0];
    }

    function _sendOldCounters() private returns (Packet memory) {
        ISpokeGateway.CounterKey[] memory keys = _counterKeys(a, token);
        uint256 fee = oldGateway.quoteCounters(keys);
        vm.deal(address(this), fee);
        vm.recordLogs();
        oldGateway.sendCounters{value: fee}(keys);
        return _sentPackets()[0];
    }

    function _withdrawOld(address recipient, uint128 amount) private {
        vm.prank(alice);
        oldLedger.withdraw(a, SPOKE_ASSET, recipient, amount);
    }

    function test_replacement_with_everything_under_way() public {
        VenueRegistry registry = new VenueRegistry(governance, gateway);
        FickleVenue venue = new FickleVenue();
        venue.join(registry);
        address venueGateway = address(venue.gateway());
        vm.startPrank(governance);
        registry.setCap(venue.gateway(), address(token), 50e6);
        vm.stopPrank();
        // 100 credited, 10 lent to a venue, 20 released and under way; 25 more deposited and not reported.
        _deposit(vault, token, a, 100e6);
        assertTrue(_deliver(_sendOldCounters()));
        _withdrawOld(venueGateway, 10e6);
        assertTrue(_deliver(_sendOld(venueGateway)));
        venue.gateway().offer(1, a, address(token));
        _withdrawOld(alice, 20e6);
        Packet memory underWay = _sendOld(alice);
        _deposit(vault, token, a, 25e6);

        _deployNext();
        _openNext();

        // The old hub goes on about what is its own: the late deposit, the release, and the rest.
        assertTrue(_deliver(underWay));
        assertTrue(_deliver(_sendOldCounters()));
        assertEq(oldLedger.cash(a), 95e18);
        _withdrawOld(alice, 95e6);
        assertTrue(_deliver(_sendOld(alice)));
        assertEq(token.balanceOf(alice), 115e6);
        assertEq(token.balanceOf(address(oldVault)), 0);

        // What a venue gives back goes on under the new hub, for the same account; the new hub has heard of nothing else.
        venue.give(a, token, 10e6);
        assertTrue(_deliver(_sendCounters(_counterKeys(a, token))));
        assertEq(clearinghouse.cash(a), 10e18);
        _deposit(vault, token, c, 40e6);
        assertTrue(_deliver(_sendCounters(_counterKeys(c, token))));
        _withdraw(a, SPOKE_ASSET, alice, 10e6);
        _withdraw(c, SPOKE_ASSET, carol, 40e6);
        assertTrue(_deliver(_sendReleases(_releaseKeys(a, alice, SPOKE_ASSET))), "starts at nothing");
        assertTrue(_deliver(_sendReleases(_releaseKeys(c, carol, SPOKE_ASSET))));
        assertEq(token.balanceOf(alice), 125e6);
        assertEq(token.balanceOf(carol), 40e6);
        assertEq(token.balanceOf(address(vault)), 0);
    }

    function test_order_of_replacement() public {
        _deployNext();
        _deposit(vault, token, c, 40e6);
        assertTrue(_deliver(_sendCounters(_counterKeys(c, token))));
        _withdraw(c, SPOKE_ASSET, carol, 40e6);
        Packet memory early = _sendReleases(_releaseKeys(c, carol, SPOKE_ASSET));
        assertFalse(_deliver(early), "not open yet");

        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, address(this)));
        oldGateway.openHubEpoch(gateway);
        vm.startPrank(governance);
        vm.expectRevert(abi.encodeWithSelector(HubEpoch.VaultNotSealed.selector, oldVault));
        oldGateway.openHubEpoch(gateway);
        oldVault.seal();
        vm.expectRevert(abi.encodeWithSelector(HubEpoch.HubEpochOutOfOrder.selector, 1));
        oldGateway.openHubEpoch(localGateway);
        vm.stopPrank();
        (SpokeGateway stranger,) = _newSpoke(SPOKE, token, hub, localGateway);
        vm.startPrank(governance);
        vm.expectRevert(abi.encodeWithSelector(HubEpoch.HubEpochOutOfOrder.selector, 2));
        oldGateway.openHubEpoch(stranger);
        vm.expectEmit(address(oldGateway));
        emit HubEpoch.HubEpochOpened(gateway);
        oldGateway.openHubEpoch(gateway);
        assertEq(address(oldGateway.newestVault()), address(vault));
        vm.expectRevert(abi.encodeWithSelector(HubEpoch.HubEpochOutOfOrder.selector, 2));
        oldGateway.openHubEpoch(gateway);
        vm.expectRevert(HubEpoch.HubHasEnded.selector);
        oldGateway.openEpoch(vault);
        vm.stopPrank();
        assertTrue(_execute(early, early.gas), "it waited");
        assertEq(token.balanceOf(carol), 40e6);
    }

    /// @dev Even if somebody points the new gateway at the old hub.
    function test_an_old_hub_is_not_heard_by_the_next_gateway() public {
        _deployNext();
        _openNext();
        bytes memory message = CounterMessages.encodeReleases(
            CounterMessages.Header(1, uint64(block.timestamp)),
            new CounterMessages.Credit[](0),
            new CounterMessages.ReleaseRow[](0)
        );
        vm.prank(governance);
        gateway.setPeer(HUB, _word(address(oldHub)));
        vm.prank(address(gateway.endpoint()));
        vm.expectRevert(abi.encodeWithSelector(HubEpoch.UnknownHubEpoch.selector, 1));
        gateway.lzReceive(Origin(HUB, _word(address(oldHub)), 1), 0, message, address(0), "");
    }

    /// @dev The old hub dies while it pays out: its last word concerns its own vaults only.
    function test_a_replaced_hub_dies() public {
        _deposit(vault, token, a, 100e6);
        assertTrue(_deliver(_sendOldCounters()));
        _deployNext();
        _openNext();
        _deposit(vault, token, c, 40e6);
        uint64 died = uint64(block.timestamp);
        skip(SILENCE + 1);
        assertTrue(_deliver(_sendReleases(new IHubGateway.ReleaseKey[](0))), "the new one lives");
        _end(oldGateway, oldVault);
        _addExit(SPOKE, a, address(token), alice, 100e6);
        _openExits(oldGateway, 1, died);
        _exit(oldGateway, 0);
        assertEq(token.balanceOf(alice), 100e6);
        assertEq(token.balanceOf(address(vault)), 40e6);
        bytes32[] memory proof = _proof(0);
        ISpokeGateway.Exit memory e = exits[0];
        vm.expectRevert(HubEpoch.NoSuchExit.selector);
        gateway.exit(e, proof);
    }

    /// @dev A new hub opens after the old one's death: what a venue was lent comes back to it, what its last word paid doesn't.
    function test_a_dead_hub_is_followed() public {
        VenueRegistry registry = new VenueRegistry(governance, gateway);
        FickleVenue venue = new FickleVenue();
        venue.join(registry);
        address lent = address(venue.gateway());
        vm.startPrank(governance);
        registry.setCap(venue.gateway(), address(token), 50e6);
        vm.stopPrank();
        _deposit(vault, token, a, 100e6);
        assertTrue(_deliver(_sendOldCounters()));
        _withdrawOld(lent, 10e6);
        assertTrue(_deliver(_sendOld(lent)));
        venue.gateway().offer(1, a, address(token));
        uint64 died = uint64(block.timestamp);
        skip(SILENCE + 1);
        _end(oldGateway, oldVault);
        _addExit(SPOKE, a, address(token), lent, 10e6);
        _addExit(SPOKE, a, address(token), alice, 90e6);
        _openExits(oldGateway, 1, died);
        _exit(oldGateway, 0);
        _exit(oldGateway, 1);
        assertEq(token.balanceOf(alice), 90e6);

        _deployNext();
        vm.prank(governance);
        oldGateway.openHubEpoch(gateway);
        venue.give(a, token, 10e6);
        assertTrue(_deliver(_sendCounters(_counterKeys(a, token))));
        _withdraw(a, SPOKE_ASSET, alice, 10e6);
        assertTrue(_deliver(_sendReleases(_releaseKeys(a, alice, SPOKE_ASSET))));
        assertEq(token.balanceOf(alice), 100e6);
        assertEq(token.balanceOf(address(oldVault)) + token.balanceOf(address(vault)), 0);
    }

    function test_a_new_version_of_messages() public {
        _deposit(vault, token, a, 100e6);
        assertTrue(_deliver(_sendOldCounters()));
        _withdrawOld(alice, 30e6);
        Packet memory underWay = _sendOld(alice);
        (HubGatewayV2 hub2, SpokeGatewayV2 gateway2, CollateralVault vault2, Clearinghouse ledger2) =
            _deployVersionTwo();

        // Each reads its own version, and refuses the other's by number.
        _deposit(vault2, token, c, 40e6);
        ISpokeGateway.CounterKey[] memory keys = _counterKeys(c, token);
        vm.deal(address(this), 2 ether);
        vm.recordLogs();
        gateway2.sendCounters{value: gateway2.quoteCounters(keys)}(keys);
        Packet memory counters = _sentPackets()[0];
        assertTrue(_deliver(counters));
        assertEq(ledger2.cash(c), 40e18);
        vm.prank(carol);
        ledger2.withdraw(c, SPOKE_ASSET, carol, 40e6);
        vm.recordLogs();
        hub2.send{value: 1 ether}(SPOKE, c, address(token), carol, SPOKE_ASSET);
        Packet memory release = _sentPackets()[0];
        Origin memory origin = Origin(HUB, _word(address(oldHub)), 9);
        vm.startPrank(address(_stack(SPOKE).endpoint));
        vm.expectRevert(abi.encodeWithSelector(CounterMessages.UnknownVersion.selector, 2));
        oldGateway.lzReceive(origin, 0, release.message, address(0), "");
        origin.sender = _word(address(hub2));
        vm.expectRevert(abi.encodeWithSelector(VersionTwo.UnknownVersion.selector, 1));
        gateway2.lzReceive(origin, 0, underWay.message, address(0), "");
        vm.stopPrank();
        vm.prank(address(_stack(HUB).endpoint));
        vm.expectRevert(abi.encodeWithSelector(CounterMessages.UnknownVersion.selector, 2));
        oldHub.lzReceive(Origin(SPOKE, _word(address(oldGateway)), 9), 0, counters.message, address(0), "");

        // Both go on side by side.
        assertTrue(_deliver(release));
        assertTrue(_deliver(underWay));
        assertEq(token.balanceOf(carol), 40e6);
        assertEq(token.balanceOf(alice), 30e6);
        _withdrawOld(alice, 70e6);
        assertTrue(_deliver(_sendOld(alice)));
        assertEq(token.balanceOf(alice), 100e6);
    }

    function _deployVersionTwo()
        private
        returns (HubGatewayV2 hub2, SpokeGatewayV2 gateway2, CollateralVault vault2, Clearinghouse ledger2)
    {
        ledger2 = Clearinghouse(
            vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 1 + CLEARINGHOUSE_PARTS)
        );
        hub2 = new HubGatewayV2(address(_stack(HUB).endpoint), governance, ledger2, 2);
        assertEq(address(newClearinghouse(governance, _modules(address(hub2), riskConfig))), address(ledger2));
        vault2 = CollateralVault(vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 1));
        gateway2 = new SpokeGatewayV2(
            address(_stack(SPOKE).endpoint), governance, vault2, HUB, 2, signers, oldGateway
        );
        vault2 =
            new CollateralVault(governance, address(gateway2), 1, "network", ICollateralVault(address(0)));
        vm.startPrank(governance);
        vault2.setListed(address(token), true);
        gateway2.setPeer(HUB, _word(address(hub2)));
        hub2.setPeer(SPOKE, _word(address(gateway2)));
        oldVault.seal();
        oldGateway.openHubEpoch(gateway2);
        vm.stopPrank();
    }
}
