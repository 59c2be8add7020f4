// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Test} from "forge-std/Test.sol";
import {ICollateralVault} from "../../src/interfaces/ICollateralVault.sol";
import {ISpokeGateway} from "../../src/interfaces/IGateways.sol";
import {IVenue, IVenueGateway} from "../../src/interfaces/IVenue.sol";
import {CollateralVault} from "../../src/spoke/CollateralVault.sol";
import {VenueGateway} from "../../src/spoke/VenueGateway.sol";
import {VenueRegistry} from "../../src/spoke/VenueRegistry.sol";
import {FickleVenue} from "./FickleVenue.sol";
import {UnrulyToken} from "./Tokens.sol";
import {Vaults} from "./Vaults.sol";

contract VenueGatewayTest is Test {
    bytes32 private constant ALICE = "alice";
    bytes32 private constant BOB = "bob";

    address private immutable governance = makeAddr("governance");
    address private immutable anyone = makeAddr("anyone");

    Vaults private vaults;
    CollateralVault private vault;
    UnrulyToken private token;
    VenueRegistry private registry;
    FickleVenue private venue;
    VenueGateway private gateway;
    uint64 private time;

    function setUp() public {
        vaults = new Vaults();
        token = new UnrulyToken();
        vault = _vault(1);
        registry = new VenueRegistry(governance, ISpokeGateway(address(vaults)));
        (venue, gateway) = _venue(1000e6);
        token.mint(address(this), 10_000e6);
        token.approve(address(vault), type(uint256).max);
        vault.deposit(ALICE, address(token), 5000e6);
        vault.deposit(BOB, address(token), 5000e6);
    }

    /* TO THE VENUE */

    function test_an_allocation_reaches_the_venue_once() public {
        _allocate(ALICE, 300e6);
        assertEq(gateway.pending(1, ALICE, address(token)), 300e6);
        vm.expectEmit(address(gateway));
        emit IVenueGateway.Allocated(1, ALICE, address(token), 300e6);
        assertTrue(_offer(ALICE));
        assertEq(token.balanceOf(address(venue)), 300e6);
        assertEq(gateway.outstanding(address(token)), 300e6);
        _expectNothing(ALICE);
        _allocate(ALICE, 500e6);
        assertTrue(_offer(ALICE));
        assertEq(token.balanceOf(address(venue)), 500e6, "the difference");
        _expectNothing(BOB);
    }

    function test_what_is_refused_for_a_day_goes_back() public {
        for (uint256 m = 1; m <= 4; ++m) {
            uint256 before = vault.depositedIn(ALICE, address(token));
            venue.setManner(FickleVenue.Manner(m));
            _allocate(ALICE, uint128(100e6 * m));
            vm.expectEmit(address(gateway));
            emit IVenueGateway.Refused(1, ALICE, address(token), 100e6);
            assertFalse(_offer(ALICE));
            uint256 at = block.timestamp;
            vm.warp(at + 24 hours - 1);
            assertFalse(_offer(ALICE));
            assertEq(gateway.pending(1, ALICE, address(token)), 100e6);
            vm.warp(at + 24 hours);
            vm.expectEmit(address(gateway));
            emit IVenueGateway.Returned(1, ALICE, address(token), 100e6);
            assertFalse(_offer(ALICE));
            assertEq(vault.depositedIn(ALICE, address(token)), before + 100e6);
            _expectNothing(ALICE);
        }
        assertEq(token.balanceOf(address(venue)), 0);
        assertEq(token.balanceOf(address(gateway)), 0);
    }

    function test_the_last_offer_counts_too() public {
        venue.setManner(FickleVenue.Manner.Refuse);
        _allocate(ALICE, 100e6);
        _offer(ALICE);
        vm.warp(block.timestamp + 2 days);
        venue.setManner(FickleVenue.Manner.Take);
        assertTrue(_offer(ALICE));
        // The day begins anew with the next refusal.
        venue.setManner(FickleVenue.Manner.Refuse);
        _allocate(ALICE, 200e6);
        assertFalse(_offer(ALICE));
        assertEq(gateway.pending(1, ALICE, address(token)), 100e6);
    }

    function test_a_token_that_blocks_the_venue_is_a_refusal() public {
        token.setManner(address(venue), UnrulyToken.Manner.Revert);
        _allocate(ALICE, 100e6);
        assertFalse(_offer(ALICE));
        vm.warp(block.timestamp + 1 days);
        _offer(ALICE);
        assertEq(vault.depositedIn(ALICE, address(token)), 5100e6);
    }

    function test_caps() public {
        _allocate(ALICE, 600e6);
        _allocate(BOB, 500e6);
        assertTrue(_offer(ALICE));
        assertFalse(_offer(BOB), "above the cap");
        venue.give(ALICE, token, 100e6);
        assertTrue(_offer(BOB));
        assertEq(gateway.outstanding(address(token)), 1000e6);
        (, VenueGateway other) = _venue(0);
        _release(BOB, address(other), 1);
        vm.prank(anyone);
        assertFalse(other.offer(1, BOB, address(token)), "no cap, nothing");
        vm.prank(governance);
        registry.setCap(other, address(token), 1);
        assertTrue(other.offer(1, BOB, address(token)));
    }

    /// @dev Too little gas reverts: nobody makes a venue refuse that would have taken it.
    function testFuzz_any_gas(uint256 gas_) public {
        venue.setManner(FickleVenue.Manner.Hungry);
        _allocate(ALICE, 100e6);
        gas_ = bound(gas_, 50_000, 1_500_000);
        (bool ok, bytes memory result) =
            address(gateway).call{gas: gas_}(abi.encodeCall(gateway.offer, (1, ALICE, address(token))));
        assertEq(ok && abi.decode(result, (bool)), ok, "taken, or reverted");
    }

    /* FROM THE VENUE */

    function test_profit_and_loss() public {
        _allocate(ALICE, 300e6);
        _offer(ALICE);
        token.mint(address(venue), 50e6);
        vm.expectEmit(address(gateway));
        emit IVenueGateway.GivenBack(ALICE, address(token), 350e6);
        venue.give(ALICE, token, 350e6);
        assertEq(vault.depositedIn(ALICE, address(token)), 5350e6);
        assertEq(gateway.outstanding(address(token)), 0);
        assertEq(token.balanceOf(address(gateway)), 0);
        vm.expectRevert(); // it has no more
        venue.give(ALICE, token, 1);
    }

    /// @dev It takes all, gives nothing back, and says whatever it likes: its accounts lose what they allocated, nobody else anything.
    function test_a_lying_venue_costs_its_own_accounts_what_they_allocated() public {
        _allocate(ALICE, 1000e6);
        _offer(ALICE);
        (, VenueGateway other) = _venue(1000e6);
        _release(BOB, address(other), 400e6);
        vm.expectRevert();
        venue.give(BOB, token, 1001e6);
        vm.prank(address(venue));
        vm.expectRevert(abi.encodeWithSelector(VenueGateway.OnlyVenue.selector, address(venue)));
        other.giveBack(ALICE, address(token), 400e6);
        (uint128 totalIn, uint128 totalOut, uint128 shortfall) = vault.totals(address(token));
        assertEq(totalIn - totalOut, 8600e6);
        assertEq(shortfall, 0);
        _release(BOB, anyone, 4600e6);
        _release(ALICE, anyone, 4000e6);
        assertEq(token.balanceOf(anyone), 8600e6, "all the rest leaves");
    }

    function test_a_replaced_vault() public {
        venue.setManner(FickleVenue.Manner.Refuse);
        _allocate(ALICE, 100e6);
        _allocate(BOB, 200e6);
        _offer(ALICE);
        vm.prank(governance);
        vault.seal();
        vm.warp(block.timestamp + 1 days);
        vm.expectRevert(CollateralVault.VaultSealed.selector);
        _offer(ALICE);
        assertEq(gateway.pending(1, ALICE, address(token)), 100e6, "it waits for a vault that takes it");
        CollateralVault next = _vault(2);
        _offer(ALICE);
        assertEq(next.depositedIn(ALICE, address(token)), 100e6);
        venue.setManner(FickleVenue.Manner.Take);
        assertTrue(_offer(BOB));
        venue.give(BOB, token, 200e6);
        assertEq(next.depositedIn(BOB, address(token)), 200e6);
        vm.expectRevert(abi.encodeWithSelector(VenueGateway.UnknownVaultEpoch.selector, 3));
        gateway.offer(3, ALICE, address(token));
    }

    function test_refusals() public {
        vm.expectRevert(abi.encodeWithSelector(VenueGateway.OnlyVenue.selector, address(this)));
        gateway.giveBack(ALICE, address(token), 1);
        vm.expectRevert(abi.encodeWithSelector(VenueGateway.OnlySelf.selector, address(this)));
        gateway.handOver(ALICE, address(token), 1);
        vm.expectRevert(VenueGateway.ZeroAmount.selector);
        venue.give(ALICE, token, 0);
        vm.expectRevert(abi.encodeWithSelector(VenueRegistry.AlreadyOpen.selector, venue));
        registry.open(venue);
        vm.expectRevert(VenueRegistry.ZeroVenue.selector);
        registry.open(IVenue(address(0)));
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, address(this)));
        registry.setCap(gateway, address(token), 1);
        VenueRegistry another = new VenueRegistry(address(this), ISpokeGateway(address(vaults)));
        vm.expectRevert(abi.encodeWithSelector(VenueRegistry.UnknownGateway.selector, gateway));
        another.setCap(gateway, address(token), 1);
    }

    /* HELPERS */

    function _vault(uint32 epoch) private returns (CollateralVault v) {
        v = new CollateralVault(governance, address(this), epoch, "network", ICollateralVault(address(0)));
        vm.prank(governance);
        v.setListed(address(token), true);
        vaults.open(v);
    }

    function _venue(uint256 cap) private returns (FickleVenue v, VenueGateway g) {
        v = new FickleVenue();
        v.join(registry);
        g = v.gateway();
        vm.prank(governance);
        registry.setCap(g, address(token), cap);
    }

    function _allocate(bytes32 account, uint128 total) private {
        _release(account, address(gateway), total);
    }

    function _release(bytes32 account, address to, uint128 total) private {
        vault.receiveRelease(account, address(token), to, total, 0, ++time);
    }

    function _offer(bytes32 account) private returns (bool) {
        vm.prank(anyone);
        return gateway.offer(1, account, address(token));
    }

    function _expectNothing(bytes32 account) private {
        vm.expectRevert(abi.encodeWithSelector(VenueGateway.NothingPending.selector, account, address(token)));
        gateway.offer(1, account, address(token));
    }
}
