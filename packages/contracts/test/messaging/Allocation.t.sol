// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {LendingVenue} from "../../src/examples/LendingVenue.sol";
import {Accounts} from "../../src/libraries/Accounts.sol";
import {TestToken} from "../../src/mocks/TestToken.sol";
import {VenueGateway} from "../../src/spoke/VenueGateway.sol";
import {VenueRegistry} from "../../src/spoke/VenueRegistry.sol";
import {OracleDouble} from "../hub/OracleDouble.sol";
import {GatewayFixture} from "./GatewayFixture.sol";

/// @notice A lending venue on a spoke, with the real ledger and LayerZero's real contracts between: Alice, whose collateral lies on the hub's chain,
/// lends there, gains, loses and leaves. Bob has nothing to do with it.
contract AllocationTest is GatewayFixture {
    address private immutable alice = makeAddr("alice");
    address private immutable bob = makeAddr("bob");
    address private immutable borrower = makeAddr("borrower");
    bytes32 private a;
    bytes32 private b;

    OracleDouble private oracle;
    TestToken private weth;
    LendingVenue private venue;
    VenueGateway private venueGateway;

    receive() external payable {}

    function setUp() public {
        _deployAll();
        (a, b) = (Accounts.main(alice), Accounts.main(bob));
        oracle = new OracleDouble();
        oracle.set(1, 2000e18);
        weth = new TestToken("Wrapped Ether", "WETH", 18);
        VenueRegistry registry = new VenueRegistry(governance, gateway);
        venue = new LendingVenue(registry, token, weth, oracle, 1, 1e30);
        venueGateway = venue.gateway();
        vm.prank(governance);
        registry.setCap(venueGateway, address(token), 100_000e6);

        _deposit(localVault, hubToken, a, 10_000e6);
        localGateway.sendCounters(_counterKeys(a, hubToken));
        _deposit(vault, token, b, 20_000e6);
        assertTrue(_deliver(_sendCounters(_counterKeys(b, token))));
        token.mint(borrower, 1_000_000e6);
        weth.mint(borrower, 100e18);
        vm.startPrank(borrower);
        token.approve(address(venue), type(uint256).max);
        weth.approve(address(venue), type(uint256).max);
        vm.stopPrank();
    }

    function test_opens_gains_and_closes() public {
        _open(5000e6);
        assertEq(clearinghouse.cash(a), 5000e18, "what is allocated isn't on the hub");
        vm.prank(borrower);
        venue.borrow(2e18, 3000e6);
        skip(365 days);
        vm.prank(borrower);
        venue.end(borrower);
        assertEq(weth.balanceOf(borrower), 100e18);
        _close();
        assertApproxEqAbs(uint256(clearinghouse.cash(a)), 10_300e18, 1e14);
        _bobIsWhole();
    }

    function test_opens_loses_and_closes() public {
        _open(5000e6);
        vm.prank(borrower);
        venue.borrow(2e18, 3000e6);
        oracle.set(1, 1000e18);
        address liquidator = makeAddr("liquidator");
        token.mint(liquidator, 1900e6);
        vm.startPrank(liquidator);
        token.approve(address(venue), 1900e6);
        venue.end(borrower);
        vm.stopPrank();
        assertEq(weth.balanceOf(liquidator), 2e18);
        _close();
        assertApproxEqAbs(uint256(clearinghouse.cash(a)), 8_900e18, 1e14);
        _bobIsWhole();
    }

    /// @dev Another account's gain is its own: who comes later gets a share of what is there, and who sends the venue tokens inflates nothing.
    function test_shares_are_bought_at_their_worth() public {
        _open(5000e6);
        token.mint(address(venue), 5000e6);
        vm.prank(borrower);
        venue.borrow(2e18, 3000e6);
        skip(365 days);
        _withdraw(b, SPOKE_ASSET, address(venueGateway), 5300e6);
        assertTrue(_deliver(_sendReleases(_releaseKeys(b, address(venueGateway), SPOKE_ASSET))));
        venueGateway.offer(1, b, address(token));
        assertApproxEqRel(venue.shares(b), venue.shares(a), 1e12);
        vm.startPrank(bob);
        venue.close(b, venue.shares(b));
        assertApproxEqAbs(vault.depositedIn(b, address(token)), 25_300e6, 2);
    }

    function test_venue_refuses() public {
        vm.expectRevert(abi.encodeWithSelector(LendingVenue.OnlyGateway.selector, address(this)));
        venue.onAllocation(a, address(token), 1);
        vm.prank(address(venueGateway));
        vm.expectRevert(abi.encodeWithSelector(LendingVenue.OtherToken.selector, address(weth)));
        venue.onAllocation(a, address(weth), 1);
        _open(5000e6);
        vm.expectRevert(abi.encodeWithSelector(LendingVenue.OnlyAccountOwner.selector, a));
        venue.close(a, 1);
        vm.startPrank(borrower);
        vm.expectRevert(abi.encodeWithSelector(LendingVenue.NotCovered.selector, 3001e6, 3000e6));
        venue.borrow(2e18, 3001e6);
        venue.borrow(2e18, 3000e6);
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(LendingVenue.Covered.selector, 3000e6, 3400e6));
        venue.end(borrower);
        vm.startPrank(alice);
        uint256 all = venue.shares(a);
        vm.expectRevert(); // lent out
        venue.close(a, all);
        vm.stopPrank();
        oracle.set(1, 2000e18, 0, 0, false);
        vm.prank(borrower);
        vm.expectRevert(LendingVenue.PriceNotFresh.selector);
        venue.borrow(0, 1);
        oracle.set(1, 2000e18, 0, 1000e18, true);
        vm.expectRevert(LendingVenue.PriceNotFresh.selector);
        venue.end(borrower);
    }

    /* HELPERS */

    /// @dev From the account's cash, wherever it was deposited, to the venue.
    function _open(uint128 amount) private {
        _withdraw(a, SPOKE_ASSET, address(venueGateway), amount);
        assertTrue(_deliver(_sendReleases(_releaseKeys(a, address(venueGateway), SPOKE_ASSET))));
        vm.prank(makeAddr("anyone"));
        assertTrue(venueGateway.offer(1, a, address(token)));
        assertApproxEqAbs(venue.assets(), amount, 1);
    }

    function _close() private {
        vm.startPrank(alice);
        venue.close(a, venue.shares(a));
        vm.stopPrank();
        assertTrue(_deliver(_sendCounters(_counterKeys(a, token))));
    }

    function _bobIsWhole() private {
        assertEq(clearinghouse.cash(b), 20_000e18);
        _withdraw(b, SPOKE_ASSET, bob, 18_000e6);
        assertTrue(_deliver(_sendReleases(_releaseKeys(b, bob, SPOKE_ASSET))));
        assertEq(token.balanceOf(bob), 18_000e6);
        assertEq(clearinghouse.lostBacking(), 0);
        assertEq(
            uint256(clearinghouse.cash(a) + clearinghouse.cash(b)),
            clearinghouse.backing(HUB_ASSET) + clearinghouse.backing(SPOKE_ASSET)
        );
    }
}
