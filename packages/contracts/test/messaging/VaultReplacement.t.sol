// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IRiskConfig} from "../../src/interfaces/IRiskConfig.sol";
import {IHubGateway, ISpokeGateway} from "../../src/interfaces/IGateways.sol";
import {Accounts} from "../../src/libraries/Accounts.sol";
import {Books} from "../../src/hub/Books.sol";
import {HubEpoch} from "../../src/messaging/HubEpoch.sol";
import {SpokeGateway} from "../../src/messaging/SpokeGateway.sol";
import {ICollateralVault} from "../../src/interfaces/ICollateralVault.sol";
import {CollateralVault} from "../../src/spoke/CollateralVault.sol";
import {GatewayFixture} from "./GatewayFixture.sol";

/// @notice A chain's vault is replaced while payouts and deposits of the old one are under way (DESIGN §1.1): nothing is lost, nothing paid twice.
contract VaultReplacementTest is GatewayFixture {
    uint256 private constant NEXT_ASSET = 3;

    address private immutable alice = makeAddr("alice");
    address private immutable carol = makeAddr("carol");
    bytes32 private a;
    bytes32 private c;
    CollateralVault private next;

    receive() external payable {}

    function setUp() public {
        _deployAll();
        (a, c) = (Accounts.main(alice), Accounts.main(carol));
        next = new CollateralVault(governance, address(gateway), 2, "network", ICollateralVault(address(0)));
        vm.startPrank(governance);
        next.setListed(address(token), true);
        vm.stopPrank();
        IRiskConfig.Asset memory asset = riskConfig.asset(SPOKE_ASSET);
        asset.epoch = 2;
        riskConfig.setAsset(NEXT_ASSET, asset);
    }

    function test_replacement_with_everything_under_way() public {
        // 100 credited, 30 paid, 40 released and not sent; 25 more deposited and not reported.
        _deposit(vault, token, a, 100e6);
        assertTrue(_deliver(_sendCounters(_counterKeys(a, token))));
        _withdraw(a, SPOKE_ASSET, alice, 30e6);
        assertTrue(_deliver(_sendReleases(_releaseKeys(a, alice, SPOKE_ASSET))));
        _withdraw(a, SPOKE_ASSET, alice, 40e6);
        _deposit(vault, token, a, 25e6);

        _replace();

        // The old vault's deposit still arrives, and so does its payout, though both now go by its own epoch.
        assertTrue(_deliver(_sendCountersOf(1, a)));
        assertEq(clearinghouse.cash(a), 55e18);
        assertTrue(_deliver(_sendReleases(_releaseKeys(a, alice, SPOKE_ASSET))));
        assertEq(token.balanceOf(alice), 70e6);

        // The new vault starts at nothing on both sides: what the old one credited and paid plays no part in it.
        vm.warp(block.timestamp + 1);
        _deposit(next, token, c, 10e6);
        assertTrue(_deliver(_sendCounters(_counterKeys(c, token))));
        _withdraw(c, NEXT_ASSET, carol, 10e6);
        assertTrue(_deliver(_sendReleases(_releaseKeys(c, carol, NEXT_ASSET))));
        assertEq(token.balanceOf(carol), 10e6, "not stuck");
        assertTrue(_deliver(_sendReleases(_releaseKeys(a, alice, NEXT_ASSET))));
        assertTrue(_deliver(_sendReleases(_releaseKeys(a, alice, SPOKE_ASSET))));
        assertEq(token.balanceOf(alice), 70e6, "not twice");

        // The rest leaves by the vault that holds it, and by no other.
        assertEq(clearinghouse.backing(NEXT_ASSET), 0);
        _withdraw(a, SPOKE_ASSET, alice, 55e6);
        IHubGateway.ReleaseKey[] memory both = new IHubGateway.ReleaseKey[](2);
        both[0] = IHubGateway.ReleaseKey(a, alice, SPOKE_ASSET);
        both[1] = IHubGateway.ReleaseKey(c, carol, NEXT_ASSET);
        assertTrue(_deliver(_sendReleases(both)), "one message for both vaults");
        assertEq(token.balanceOf(alice), 125e6);
        assertEq(token.balanceOf(address(vault)), 0);
        assertEq(token.balanceOf(address(next)), 0);
    }

    function test_order_of_replacement() public {
        vm.startPrank(governance);
        vm.expectRevert(abi.encodeWithSelector(HubEpoch.VaultNotSealed.selector, vault));
        gateway.openEpoch(next);
        vault.seal();
        vm.expectRevert(abi.encodeWithSelector(SpokeGateway.EpochOutOfOrder.selector, 1));
        gateway.openEpoch(vault);
        vm.expectRevert(Books.EpochNotAnnounced.selector);
        clearinghouse.openEpoch(SPOKE, 2);
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(SpokeGateway.UnknownVaultEpoch.selector, 2));
        gateway.sendCountersOf(2, _counterKeys(a, token));
        token.mint(address(this), 1);
        token.approve(address(vault), 1);
        vm.expectRevert(CollateralVault.VaultSealed.selector);
        vault.deposit(a, address(token), 1);
        vm.expectRevert();
        vault.seal();
        vm.expectRevert();
        gateway.openEpoch(next);
    }

    /// A release for a vault that isn't open yet waits in its message.
    function test_release_before_its_vault_waits() public {
        Packet memory packet = _sendReleases(_releaseKeys(a, alice, NEXT_ASSET));
        assertFalse(_deliver(packet));
        _replace();
        assertTrue(_execute(packet, packet.gas));
    }

    function _replace() private {
        vm.startPrank(governance);
        vault.seal();
        gateway.openEpoch(next);
        vm.stopPrank();
        assertEq(address(gateway.vault()), address(next));
        assertTrue(_deliver(_sendCounters(_counterKeys(bytes32(0), token))), "announces itself");
        vm.prank(governance);
        clearinghouse.openEpoch(SPOKE, 2);
    }

    function _sendCountersOf(uint32 epoch, bytes32 account) private returns (Packet memory) {
        ISpokeGateway.CounterKey[] memory keys = _counterKeys(account, token);
        uint256 fee = gateway.quoteCountersOf(epoch, keys);
        vm.deal(address(this), fee);
        vm.recordLogs();
        gateway.sendCountersOf{value: fee}(epoch, keys);
        return _sentPackets()[0];
    }
}
