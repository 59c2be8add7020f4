// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Governance} from "../../src/governance/Governance.sol";
import {Gateway} from "../../src/messaging/Gateway.sol";
import {CollateralVault} from "../../src/spoke/CollateralVault.sol";
import {LiquidationExecutor} from "../../src/spoke/LiquidationExecutor.sol";
import {PayoutQueue} from "../../src/spoke/PayoutQueue.sol";
import {VenueGateway} from "../../src/spoke/VenueGateway.sol";
import {VenueRegistry} from "../../src/spoke/VenueRegistry.sol";
import {OracleDouble} from "../hub/OracleDouble.sol";
import {FickleVenue} from "../spoke/FickleVenue.sol";
import {GatewayFixture} from "./GatewayFixture.sol";

/// @notice Who governs a spoke: every function of an owner refuses everybody else, and a halt is what its guardian may do at once.
contract SpokeOwnersTest is GatewayFixture {
    function setUp() public {
        _deployAll();
    }

    function test_every_owners_function_refuses_others() public {
        LiquidationExecutor.Terms memory terms = LiquidationExecutor.Terms(100, 500, 1 hours);
        LiquidationExecutor executor = new LiquidationExecutor(
            governance, new OracleDouble(), gateway, address(token), "backstop", terms
        );
        VenueRegistry registry = new VenueRegistry(governance, gateway);
        FickleVenue venue = new FickleVenue();
        venue.join(registry);
        PayoutQueue.Limit memory limit_ = PayoutQueue.Limit(1, 1);
        _refused(address(vault), abi.encodeCall(vault.setListed, (address(token), false)));
        _refused(address(vault), abi.encodeCall(vault.setLimits, (address(token), limit_, limit_)));
        _refused(address(vault), abi.encodeCall(vault.halt, ()));
        _refused(address(vault), abi.encodeCall(vault.resume, ()));
        _refused(address(vault), abi.encodeCall(vault.seal, ()));
        _refused(address(vault), abi.encodeCall(vault.transferOwnership, (address(this))));
        _refused(address(gateway), abi.encodeCall(gateway.openEpoch, (vault)));
        _refused(address(gateway), abi.encodeCall(gateway.openHubEpoch, (gateway)));
        _refused(address(gateway), abi.encodeCall(gateway.endHub, ()));
        _refused(address(gateway), abi.encodeCall(gateway.resumeHub, ()));
        _refused(address(gateway), abi.encodeCall(gateway.openExits, (1, 1, "", "")));
        _refused(address(gateway), abi.encodeCall(gateway.setPeer, (HUB, bytes32(0))));
        _refused(address(gateway), abi.encodeCall(gateway.setDelegate, (address(this))));
        _refused(address(gateway), abi.encodeCall(gateway.setGasSchedule, (Gateway.GasSchedule(0, 0, 0))));
        _refused(address(executor), abi.encodeCall(executor.setTerms, (terms)));
        _refused(address(executor), abi.encodeCall(executor.setListing, (address(token), 1)));
        VenueGateway venueGateway = venue.gateway();
        _refused(address(registry), abi.encodeCall(registry.setCap, (venueGateway, address(token), 1)));
    }

    function test_wrong_states() public {
        vm.startPrank(governance);
        vault.seal();
        vm.expectRevert(CollateralVault.VaultSealed.selector);
        vault.seal();
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(CollateralVault.OnlyGateway.selector, address(this)));
        vault.receiveRelease("a", address(token), address(1), 1, 1, 1);
    }

    /// @dev The guardian halts at once and no more; the council, who may resume, waits its delay.
    function test_the_guardian_of_a_governed_vault_halts_it() public {
        (address council, address guardian) = (makeAddr("council"), makeAddr("guardian"));
        Governance.Power[] memory powers = new Governance.Power[](1);
        powers[0] = Governance.Power(address(vault), PayoutQueue.halt.selector);
        Governance council_ = new Governance(
            council, 2 days, guardian, powers, Governance.Lister(address(0), 0, new Governance.Power[](0))
        );
        vm.prank(governance);
        vault.transferOwnership(address(council_));
        vm.startPrank(guardian);
        council_.execute(address(vault), abi.encodeCall(vault.halt, ()));
        assertEq(vault.haltedUntil(), block.timestamp + 72 hours);
        vm.expectRevert();
        council_.execute(address(vault), abi.encodeCall(vault.resume, ()));
        vm.expectRevert(
            abi.encodeWithSelector(PayoutQueue.HaltedRecently.selector, block.timestamp + 30 days)
        );
        council_.execute(address(vault), abi.encodeCall(vault.halt, ()));
        vm.stopPrank();
        vm.prank(council);
        council_.schedule(address(vault), abi.encodeCall(vault.resume, ()), 0);
        skip(2 days);
        vm.prank(council);
        council_.execute(address(vault), abi.encodeCall(vault.resume, ()));
        assertEq(vault.haltedUntil(), block.timestamp);
    }

    function _refused(address target, bytes memory call) private {
        vm.prank(makeAddr("stranger"));
        (bool ok, bytes memory reason) = target.call(call);
        assertFalse(ok);
        assertEq(
            reason, abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, makeAddr("stranger"))
        );
    }
}
