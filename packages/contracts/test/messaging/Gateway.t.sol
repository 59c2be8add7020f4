// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Origin} from "@layerzerolabs/lz-evm-protocol-v2/contracts/interfaces/ILayerZeroEndpointV2.sol";
import {IOAppCore} from "@layerzerolabs/oapp-evm/contracts/oapp/interfaces/IOAppCore.sol";
import {OAppReceiver} from "@layerzerolabs/oapp-evm/contracts/oapp/OAppReceiver.sol";
import {IHubGateway, ISpokeGateway} from "../../src/interfaces/IGateways.sol";
import {Accounts} from "../../src/libraries/Accounts.sol";
import {CounterMessages} from "../../src/libraries/CounterMessages.sol";
import {Gateway} from "../../src/messaging/Gateway.sol";
import {HubEpoch} from "../../src/messaging/HubEpoch.sol";
import {HubGateway} from "../../src/messaging/HubGateway.sol";
import {SpokeGateway} from "../../src/messaging/SpokeGateway.sol";
import {IRiskConfig} from "../../src/interfaces/IRiskConfig.sol";
import {PayoutQueue} from "../../src/spoke/PayoutQueue.sol";
import {UnrulyToken} from "../spoke/Tokens.sol";
import {GatewayFixture} from "./GatewayFixture.sol";

contract GatewayTest is GatewayFixture {
    address private immutable alice = makeAddr("alice");
    bytes32 private account;

    receive() external payable {}

    function setUp() public {
        _deployAll();
        account = Accounts.main(alice);
    }

    /* ACROSS CHAINS */

    function test_a_deposit_becomes_cash_and_comes_back() public {
        _deposit(vault, token, account, 500e6);
        Packet memory packet = _sendCounters(_counterKeys(account, token));
        assertEq(clearinghouse.cash(account), 0);
        _commit(packet);
        vm.expectEmit(address(hub));
        emit IHubGateway.CountersReceived(packet.guid, SPOKE, 1, uint64(block.timestamp), 1);
        assertTrue(_execute(packet, packet.gas));
        assertEq(clearinghouse.cash(account), 500e18);
        assertEq(clearinghouse.creditedTotal(SPOKE_ASSET), 500e6);
        assertEq(hub.lastSpokeTime(SPOKE), block.timestamp);
        (uint128 totalIn, uint128 totalOut,,) = clearinghouse.totals(SPOKE, 1, address(token));
        assertEq(totalIn, 500e6);
        assertEq(totalOut, 0);

        vm.warp(block.timestamp + 10);
        _withdraw(account, SPOKE_ASSET, alice, 200e6);
        assertEq(token.balanceOf(alice), 0);
        packet = _sendReleases(_releaseKeys(account, alice, SPOKE_ASSET));
        _commit(packet);
        vm.expectEmit(address(gateway));
        emit ISpokeGateway.ReleasesReceived(packet.guid, uint64(block.timestamp), 1);
        assertTrue(_execute(packet, packet.gas));
        assertEq(token.balanceOf(alice), 200e6);
        assertEq(vault.paidOut(account, address(token), alice), 200e6);
        assertEq(gateway.lastHubTime(), block.timestamp);
    }

    function test_heartbeats() public {
        assertTrue(_deliver(_sendCounters(new ISpokeGateway.CounterKey[](0))));
        assertEq(hub.lastSpokeTime(SPOKE), block.timestamp);
        assertTrue(_deliver(_sendReleases(new IHubGateway.ReleaseKey[](0))));
        assertEq(gateway.lastHubTime(), block.timestamp);
    }

    function test_the_newest_time_is_remembered() public {
        Packet memory early = _sendCounters(new ISpokeGateway.CounterKey[](0));
        vm.warp(block.timestamp + 100);
        Packet memory late = _sendCounters(new ISpokeGateway.CounterKey[](0));
        _commit(early);
        assertTrue(_deliver(late));
        assertTrue(_execute(early, early.gas));
        assertEq(hub.lastSpokeTime(SPOKE), block.timestamp);
    }

    function test_surplus_is_refunded_and_too_little_refused() public {
        ISpokeGateway.CounterKey[] memory keys = _counterKeys(account, token);
        uint256 fee = gateway.quoteCounters(keys);
        assertGt(fee, 0);
        vm.deal(address(this), 1 ether);
        gateway.sendCounters{value: 1 ether}(keys);
        assertEq(address(this).balance, 1 ether - fee);
        vm.expectRevert();
        gateway.sendCounters{value: fee - 1}(keys);

        fee = hub.quoteReleases(SPOKE, new IHubGateway.ReleaseKey[](0));
        hub.sendReleases{value: address(this).balance}(SPOKE, new IHubGateway.ReleaseKey[](0));
        assertEq(address(this).balance, 1 ether - gateway.quoteCounters(keys) - fee);
    }

    function test_fee_follows_the_rows() public view {
        ISpokeGateway.CounterKey[] memory keys = new ISpokeGateway.CounterKey[](10);
        for (uint256 i; i < 10; ++i) {
            keys[i] = ISpokeGateway.CounterKey(bytes32(i), address(token));
        }
        assertGt(gateway.quoteCounters(keys), gateway.quoteCounters(_counterKeys(account, token)));
    }

    /* LIMITS */

    /// @dev The gas that a full message buys is enough, both ways, with every slot fresh: what the schedule promises.
    function test_a_full_message_fits_its_gas() public {
        uint256 rows = gateway.MAX_ROWS();
        _limit(address(token));
        ISpokeGateway.CounterKey[] memory counters = new ISpokeGateway.CounterKey[](rows);
        IHubGateway.ReleaseKey[] memory releases = new IHubGateway.ReleaseKey[](rows);
        for (uint256 i; i < rows; ++i) {
            bytes32 owner = Accounts.main(address(uint160(1_000 + i)));
            _deposit(vault, token, owner, 10e6);
            counters[i] = ISpokeGateway.CounterKey(owner, address(token));
            releases[i] = IHubGateway.ReleaseKey(owner, address(uint160(2_000 + i)), SPOKE_ASSET);
        }
        Packet memory packet = _sendCounters(counters);
        assertLt(packet.gas, 7_500_000, "a quarter of a block");
        assertTrue(_deliver(packet), "counters");
        for (uint256 i; i < rows; ++i) {
            _withdraw(counters[i].account, SPOKE_ASSET, releases[i].recipient, 3e6);
        }
        packet = _sendReleases(releases);
        assertLt(packet.gas, 7_500_000, "a quarter of a block");
        assertTrue(_deliver(packet), "releases");
        for (uint256 i; i < rows; ++i) {
            assertEq(token.balanceOf(releases[i].recipient), 3e6);
        }
    }

    /// @dev Nor does a token that burns all it gets, in every row, starve one of them.
    function test_a_full_message_of_greedy_payouts_fits_its_gas() public {
        uint256 rows = gateway.MAX_ROWS();
        UnrulyToken greedy = new UnrulyToken();
        vm.prank(governance);
        vault.setListed(address(greedy), true);
        _limit(address(greedy));
        IRiskConfig.Asset memory a = riskConfig.asset(SPOKE_ASSET);
        a.token = address(greedy);
        riskConfig.setAsset(3, a);
        IHubGateway.ReleaseKey[] memory releases = new IHubGateway.ReleaseKey[](rows);
        _deposit(vault, greedy, account, rows * 1e6);
        assertTrue(_deliver(_sendCounters(_counterKeys(account, greedy))));
        for (uint256 i; i < rows; ++i) {
            releases[i] = IHubGateway.ReleaseKey(account, address(uint160(2_000 + i)), 3);
            _withdraw(account, 3, releases[i].recipient, 1e6);
            if (i % 8 != 7) greedy.setManner(releases[i].recipient, UnrulyToken.Manner.BurnGas);
        }
        Packet memory packet = _sendReleases(releases);
        assertTrue(_deliver(packet), "stored");
        for (uint256 i; i < rows; ++i) {
            (uint128 released,) = vault.released(account, address(greedy), releases[i].recipient);
            assertEq(released, 1e6);
            assertEq(greedy.balanceOf(releases[i].recipient), i % 8 != 7 ? 0 : 1e6);
        }
    }

    /// @dev One row alone has least to spare: every slot is fresh, a part is paid and the rest takes its place.
    function test_a_payout_in_part_fits_its_gas() public {
        PayoutQueue.Limit memory tight = PayoutQueue.Limit(1e6, 2);
        vm.prank(governance);
        vault.setLimits(address(token), tight, tight);
        _deposit(vault, token, account, 10e6);
        assertTrue(_deliver(_sendCounters(_counterKeys(account, token))));
        _withdraw(account, SPOKE_ASSET, alice, 3e6);
        assertTrue(_deliver(_sendReleases(_releaseKeys(account, alice, SPOKE_ASSET))));
        assertEq(token.balanceOf(alice), 1e6);
    }

    /// @dev Limits that let all of it pass: what waits instead costs less than what is paid.
    function _limit(address t) private {
        PayoutQueue.Limit memory ample = PayoutQueue.Limit(1e12, 1e9);
        vm.prank(governance);
        vault.setLimits(t, ample, ample);
    }

    function test_too_many() public {
        uint256 rows = gateway.MAX_ROWS() + 1;
        vm.expectRevert(abi.encodeWithSelector(Gateway.TooManyRows.selector, rows));
        gateway.sendCounters(new ISpokeGateway.CounterKey[](rows));
        vm.expectRevert(abi.encodeWithSelector(Gateway.TooManyRows.selector, rows));
        hub.sendReleases(SPOKE, new IHubGateway.ReleaseKey[](rows));
        ISpokeGateway.CounterKey[] memory keys = new ISpokeGateway.CounterKey[](9);
        for (uint256 i; i < 9; ++i) {
            keys[i].token = address(uint160(i + 1));
        }
        vm.expectRevert(Gateway.TooManyTokens.selector);
        gateway.sendCounters(keys);
    }

    function test_an_asset_goes_to_its_own_chain() public {
        vm.expectRevert(abi.encodeWithSelector(HubGateway.AssetElsewhere.selector, HUB_ASSET));
        hub.sendReleases(SPOKE, _releaseKeys(account, alice, HUB_ASSET));
        vm.expectRevert(abi.encodeWithSelector(HubGateway.AssetElsewhere.selector, 99));
        hub.sendReleases(SPOKE, _releaseKeys(account, alice, 99));
    }

    /// @dev A counter of a token that no vault lists is carried, and credited to nobody; the rest of its message counts.
    function test_an_unlisted_token_harms_nobody() public {
        _deposit(vault, token, account, 5e6);
        ISpokeGateway.CounterKey[] memory keys = new ISpokeGateway.CounterKey[](2);
        keys[0] = ISpokeGateway.CounterKey(account, makeAddr("no token"));
        keys[1] = ISpokeGateway.CounterKey(account, address(token));
        assertTrue(_deliver(_sendCounters(keys)));
        assertEq(clearinghouse.cash(account), 5e18);
    }

    /* TIME */

    function test_a_time_too_far_ahead_waits() public {
        _deposit(vault, token, account, 5e6);
        uint256 sentAt = block.timestamp;
        Packet memory packet = _sendCounters(_counterKeys(account, token));
        Packet memory release = _sendReleases(new IHubGateway.ReleaseKey[](0));
        vm.warp(sentAt - SKEW - 1);
        assertFalse(_deliver(packet), "counters");
        assertFalse(_deliver(release), "releases");
        assertEq(hub.lastSpokeTime(SPOKE), 0);
        vm.warp(sentAt - SKEW);
        assertTrue(_execute(packet, packet.gas));
        assertTrue(_execute(release, release.gas));
        assertEq(clearinghouse.cash(account), 5e18);
    }

    /* WHO */

    function test_only_peers_through_the_endpoint() public {
        bytes memory message = CounterMessages.encodeCounters(
            CounterMessages.Header(1, uint64(block.timestamp)),
            new CounterMessages.Totals[](0),
            new CounterMessages.CounterRow[](0)
        );
        Origin memory origin = Origin(SPOKE, _word(address(gateway)), 1);
        vm.expectRevert(abi.encodeWithSelector(OAppReceiver.OnlyEndpoint.selector, address(this)));
        hub.lzReceive(origin, 0, message, address(0), "");

        vm.startPrank(address(hub.endpoint()));
        hub.lzReceive(origin, 0, message, address(0), "");
        origin.sender = _word(address(this));
        vm.expectRevert(abi.encodeWithSelector(IOAppCore.OnlyPeer.selector, SPOKE, origin.sender));
        hub.lzReceive(origin, 0, message, address(0), "");
        origin.srcEid = 30_909;
        vm.expectRevert(abi.encodeWithSelector(IOAppCore.NoPeer.selector, 30_909));
        hub.lzReceive(origin, 0, message, address(0), "");
        vm.stopPrank();

        vm.expectRevert();
        hub.setPeer(SPOKE, 0);
        vm.expectRevert();
        hub.setGasSchedule(Gateway.GasSchedule(1, 1, 1));
    }

    function test_a_spoke_knows_one_hub_epoch_and_one_kind() public {
        Origin memory origin = Origin(HUB, _word(address(hub)), 1);
        CounterMessages.Header memory header = CounterMessages.Header(2, uint64(block.timestamp));
        bytes memory message = CounterMessages.encodeReleases(
            header, new CounterMessages.Credit[](0), new CounterMessages.ReleaseRow[](0)
        );
        vm.startPrank(address(gateway.endpoint()));
        vm.expectRevert(abi.encodeWithSelector(HubEpoch.UnknownHubEpoch.selector, 2));
        gateway.lzReceive(origin, 0, message, address(0), "");
        message = CounterMessages.encodeCounters(
            header, new CounterMessages.Totals[](0), new CounterMessages.CounterRow[](0)
        );
        vm.expectRevert(abi.encodeWithSelector(CounterMessages.UnexpectedKind.selector, 1));
        gateway.lzReceive(origin, 0, message, address(0), "");
        vm.stopPrank();
    }

    /* ON THE HUB'S OWN CHAIN */

    function test_local_delivery_in_one_transaction_free_of_charge() public {
        _deposit(localVault, hubToken, account, 50e6);
        ISpokeGateway.CounterKey[] memory keys = _counterKeys(account, hubToken);
        assertEq(localGateway.quoteCounters(keys), 0);
        vm.deal(address(this), 1 ether);
        vm.recordLogs();
        bytes32 first = localGateway.sendCounters{value: 1 ether}(keys);
        assertEq(_sentPackets().length, 0, "no LayerZero");
        assertEq(address(this).balance, 1 ether);
        assertEq(clearinghouse.cash(account), 50e18);
        assertEq(hub.lastSpokeTime(HUB), block.timestamp);
        assertTrue(localGateway.sendCounters(keys) != first, "its guid is its own");

        _withdraw(account, HUB_ASSET, alice, 20e6);
        IHubGateway.ReleaseKey[] memory releases = _releaseKeys(account, alice, HUB_ASSET);
        assertEq(hub.quoteReleases(HUB, releases), 0);
        hub.sendReleases(HUB, releases);
        assertEq(hubToken.balanceOf(alice), 20e6);
        assertEq(localGateway.lastHubTime(), block.timestamp);
    }

    function test_only_the_local_peer() public {
        vm.expectRevert(abi.encodeWithSelector(Gateway.OnlyLocalPeer.selector, address(this)));
        hub.receiveLocal(0, "");
        vm.expectRevert(abi.encodeWithSelector(Gateway.OnlyLocalPeer.selector, address(this)));
        localGateway.receiveLocal(0, "");
        // The remote gateway has no local peer at all, nor is the zero address one.
        vm.prank(address(0));
        vm.expectRevert(abi.encodeWithSelector(IOAppCore.NoPeer.selector, SPOKE));
        gateway.receiveLocal(0, "");
        vm.prank(address(hub));
        vm.expectRevert(abi.encodeWithSelector(IOAppCore.NoPeer.selector, SPOKE));
        gateway.receiveLocal(0, "");
    }
}
