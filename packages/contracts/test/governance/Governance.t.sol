// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IAccessManager} from "@openzeppelin/contracts/access/manager/IAccessManager.sol";
import {IAccessManaged} from "@openzeppelin/contracts/access/manager/IAccessManaged.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Governance} from "../../src/governance/Governance.sol";
import {Books} from "../../src/hub/Books.sol";
import {Clearinghouse} from "../../src/hub/Clearinghouse.sol";
import {LedgerBase} from "../../src/hub/ledger/LedgerBase.sol";
import {RiskConfig} from "../../src/hub/RiskConfig.sol";
import {IRiskConfig} from "../../src/interfaces/IRiskConfig.sol";
import {Accounts} from "../../src/libraries/Accounts.sol";
import {Dated} from "../../src/margin/Dated.sol";
import {Future} from "../../src/margin/Future.sol";
import {HubFixture} from "../hub/HubFixture.sol";

/// @notice The hub's ledger and parameters under Governance: who may change what, and how long it is seen before.
contract GovernanceTest is HubFixture {
    uint32 private constant DELAY = 2 days;
    uint32 private constant LISTING_DELAY = 6 hours;

    address private immutable council = makeAddr("council");
    address private immutable guardian = makeAddr("guardian");
    address private immutable lister = makeAddr("lister");
    address private immutable carol = makeAddr("carol");

    Governance private governance;
    Future private future;
    uint256 private futureId;

    function setUp() public override {
        super.setUp();
        Governance.Power[] memory powers = new Governance.Power[](1);
        powers[0] = Governance.Power(address(hub), Clearinghouse.pauseNewRisk.selector);
        Governance.Power[] memory listings = new Governance.Power[](1);
        future = new Future(address(this), oracle, config);
        listings[0] = Governance.Power(address(future), Future.list.selector);
        futureId = config.instrumentCount() + 1;
        config.setInstrument(
            futureId, IRiskConfig.Instrument(address(future), uint16(FEED_ETH), 1e24, 1e24, 200)
        );
        governance = new Governance(
            council, DELAY, guardian, powers, Governance.Lister(lister, LISTING_DELAY, listings)
        );
        future.transferOwnership(address(governance));
        config.transferOwnership(address(governance));
        hub.transferOwnership(address(governance));
        fundCash(aliceAccount, 10_000);
        fundCash(bobAccount, 10_000);
        hub.mature(aliceAccount, USDC_A);
        hub.mature(bobAccount, USDC_A);
    }

    /// @dev Every function of the owner, with arguments that it takes.
    function _ownersCalls() private view returns (address[] memory targets, bytes[] memory calls) {
        (targets, calls) = (new address[](9), new bytes[](9));
        for (uint256 n; n < 6; ++n) {
            targets[n] = address(config);
        }
        for (uint256 n = 6; n < 9; ++n) {
            targets[n] = address(hub);
        }
        calls[0] = abi.encodeCall(RiskConfig.setAsset, (WETH, config.asset(WETH)));
        calls[1] = abi.encodeCall(RiskConfig.setUnderlying, (FEED_ETH, config.underlying(FEED_ETH)));
        calls[2] = abi.encodeCall(RiskConfig.setInstrument, (ETH_PERP, config.instrument(ETH_PERP)));
        calls[3] = abi.encodeCall(RiskConfig.setGlobal, (config.global()));
        calls[4] = abi.encodeCall(RiskConfig.setGrid, (config.grid()));
        calls[5] = abi.encodeCall(Ownable.transferOwnership, (carol));
        calls[6] = abi.encodeCall(Clearinghouse.setVenue, (carol, true));
        calls[7] = abi.encodeCall(Clearinghouse.pauseNewRisk, (uint64(block.timestamp)));
        calls[8] = abi.encodeCall(Ownable.transferOwnership, (carol));
    }

    function _schedule(address target, bytes memory call) private {
        vm.prank(council);
        governance.schedule(target, call, 0);
    }

    function _execute(address who, address target, bytes memory call) private {
        vm.prank(who);
        governance.execute(target, call);
    }

    function test_theCouncilActsAfterItsDelayAndWithinAWeek() public {
        (address[] memory targets, bytes[] memory calls) = _ownersCalls();
        for (uint256 n; n < calls.length; ++n) {
            uint256 fresh = vm.snapshotState();
            // Of the guardian's function too: it is no member of that role.
            if (n != 7) _executeInTime(targets[n], calls[n]);
            vm.revertToState(fresh);
        }
    }

    function _executeInTime(address target, bytes memory call) private {
        bytes32 id = governance.hashOperation(council, target, call);
        vm.expectRevert(abi.encodeWithSelector(IAccessManager.AccessManagerNotScheduled.selector, id));
        _execute(council, target, call);
        vm.prank(council);
        vm.expectRevert();
        governance.schedule(target, call, uint48(block.timestamp + DELAY - 1));
        _schedule(target, call);
        skip(DELAY - 1);
        vm.expectRevert(abi.encodeWithSelector(IAccessManager.AccessManagerNotReady.selector, id));
        _execute(council, target, call);
        skip(1);
        uint256 ready = vm.snapshotState();
        _execute(council, target, call);
        vm.revertToState(ready);
        skip(governance.expiration());
        vm.expectRevert(abi.encodeWithSelector(IAccessManager.AccessManagerExpired.selector, id));
        _execute(council, target, call);
    }

    function test_nobodyElseActsAsOwner() public {
        (address[] memory targets, bytes[] memory calls) = _ownersCalls();
        address[2] memory others = [guardian, carol];
        for (uint256 n; n < calls.length; ++n) {
            for (uint256 k; k < others.length; ++k) {
                bool isItsPower = others[k] == guardian && n == 7;
                if (isItsPower) continue;
                vm.expectRevert(
                    abi.encodeWithSelector(
                        IAccessManager.AccessManagerUnauthorizedCall.selector,
                        others[k],
                        targets[n],
                        bytes4(calls[n])
                    )
                );
                _execute(others[k], targets[n], calls[n]);
                vm.prank(others[k]);
                (bool ok,) = targets[n].call(calls[n]);
                assertFalse(ok, "without governance");
            }
        }
    }

    /// The guardian can't make more of itself; the council can't shorten its own delay at once.
    function test_rolesChangeAfterTheDelayOnly() public {
        bytes memory call = abi.encodeCall(IAccessManager.grantRole, (governance.ADMIN_ROLE(), council, 0));
        vm.prank(guardian);
        vm.expectPartialRevert(IAccessManager.AccessManagerUnauthorizedAccount.selector);
        governance.grantRole(1, carol, 0);
        vm.prank(council);
        vm.expectPartialRevert(IAccessManager.AccessManagerNotScheduled.selector);
        governance.grantRole(0, council, 0);
        _schedule(address(governance), call);
        skip(DELAY);
        vm.prank(council);
        governance.grantRole(0, council, 0);
        // And what it has shortened holds only after the time that it has shortened.
        (, uint32 delay, uint32 pending,) = governance.getAccess(0, council);
        assertEq(delay, DELAY);
        assertEq(pending, 0);
    }

    function test_aDelayThatNobodySeesIsRefused() public {
        vm.expectRevert(abi.encodeWithSelector(Governance.DelayTooShort.selector, 1 days - 1, 1 days));
        Governance.Power[] memory none = new Governance.Power[](0);
        new Governance(council, 1 days - 1, guardian, none, Governance.Lister(address(0), 0, none));
    }

    /* THE LISTER */

    function _listing(uint256 id) private view returns (bytes memory) {
        return abi.encodeCall(
            Future.list, (id, uint40(block.timestamp + 30 days), uint16(FEED_ETH), uint16(FEED_SOL))
        );
    }

    function test_theListerGivesTermsAfterADelayOfItsOwn() public {
        bytes memory call = _listing(futureId);
        vm.expectPartialRevert(IAccessManager.AccessManagerNotScheduled.selector);
        _execute(lister, address(future), call);
        vm.prank(lister);
        governance.schedule(address(future), call, 0);
        skip(LISTING_DELAY);
        _execute(lister, address(future), call);
        (uint256 price,) = future.mark(futureId);
        assertEq(price, 2000e18);
    }

    /// What the council takes back in time never happens; it says so at once.
    function test_theCouncilTakesAListingBack() public {
        bytes memory call = _listing(futureId);
        vm.prank(lister);
        governance.schedule(address(future), call, 0);
        vm.prank(council);
        governance.cancel(lister, address(future), call);
        skip(LISTING_DELAY);
        vm.expectPartialRevert(IAccessManager.AccessManagerNotScheduled.selector);
        _execute(lister, address(future), call);
    }

    /// Only of what the council has admitted, and once.
    function test_theListerChangesNothingElse() public {
        bytes memory unknown = _listing(futureId + 1);
        bytes memory known = _listing(futureId);
        vm.startPrank(lister);
        governance.schedule(address(future), unknown, 0);
        governance.schedule(address(future), known, 0);
        skip(LISTING_DELAY);
        vm.expectRevert(abi.encodeWithSelector(Dated.ForeignInstrument.selector, futureId + 1));
        governance.execute(address(future), unknown);
        governance.execute(address(future), known);
        vm.stopPrank();
        (address[] memory targets, bytes[] memory calls) = _ownersCalls();
        for (uint256 n; n < calls.length; ++n) {
            vm.expectPartialRevert(IAccessManager.AccessManagerUnauthorizedCall.selector);
            _execute(lister, targets[n], calls[n]);
        }
        vm.expectPartialRevert(IAccessManager.AccessManagerUnauthorizedCall.selector);
        _execute(lister, address(future), abi.encodeCall(Ownable.transferOwnership, (lister)));
        vm.prank(lister);
        governance.schedule(address(future), known, 0);
        skip(LISTING_DELAY);
        vm.expectRevert(abi.encodeWithSelector(Dated.AlreadyListed.selector, futureId));
        _execute(lister, address(future), known);
    }

    /* THE GUARDIAN'S PAUSE */

    function _pause(uint64 until) private {
        _execute(guardian, address(hub), abi.encodeCall(Clearinghouse.pauseNewRisk, (until)));
    }

    function test_whileNewRiskIsPausedTradesOnlyReduce() public {
        trade(ETH_PERP, aliceAccount, bobAccount, 4e18, 2000e18);
        uint64 until = uint64(block.timestamp + 1 days);
        _pause(until);
        vm.prank(venue);
        vm.expectRevert(abi.encodeWithSelector(LedgerBase.NewRiskIsPaused.selector, until));
        hub.trade(ETH_PERP, aliceAccount, bobAccount, 1e18, 2000e18);
        trade(ETH_PERP, bobAccount, aliceAccount, 3e18, 2000e18);
        // One side that reduces takes nobody else in.
        fundCash(Accounts.main(carol), 10_000);
        vm.prank(carol);
        hub.approveVenue(Accounts.main(carol), venue, type(uint256).max);
        vm.prank(venue);
        vm.expectRevert(abi.encodeWithSelector(LedgerBase.NewRiskIsPaused.selector, until));
        hub.trade(ETH_PERP, Accounts.main(carol), aliceAccount, 1e18, 2000e18);
        vm.warp(until);
        oracle.set(FEED_ETH, 2000e18);
        trade(ETH_PERP, aliceAccount, bobAccount, 1e18, 2000e18);
    }

    function test_aPauseKeepsNobodyIn() public {
        trade(ETH_PERP, aliceAccount, bobAccount, 4e18, 2000e18);
        _pause(uint64(block.timestamp + 3 days));
        counter(USDC_A, aliceAccount, 20_000e6);
        hub.mature(aliceAccount, USDC_A);
        assertEq(hub.cash(aliceAccount), 20_000e18);
        oracle.set(FEED_ETH, 1990e18);
        assertEq(hub.settlePnl(aliceAccount, ETH_PERP), -40e18);
        vm.prank(alice);
        hub.withdraw(aliceAccount, USDC_A, alice, 1000e6);
        vm.prank(auction);
        hub.transferFraction(aliceAccount, bobAccount, 0.5e18, 0);
    }

    function test_noPauseIsLongOrLasts() public {
        uint64 longest = uint64(block.timestamp) + hub.MAX_PAUSE();
        vm.expectRevert(abi.encodeWithSelector(Books.PauseTooLong.selector, longest + 1, longest));
        _pause(longest + 1);
        _pause(longest);
        assertEq(hub.newRiskPausedUntil(), longest);
        _pause(0);
        trade(ETH_PERP, aliceAccount, bobAccount, 4e18, 2000e18);
    }

    function test_whoseRoleIsRevokedPausesNothing() public {
        bytes memory call = abi.encodeCall(IAccessManager.revokeRole, (1, guardian));
        _schedule(address(governance), call);
        skip(DELAY);
        vm.prank(council);
        governance.revokeRole(1, guardian);
        vm.expectPartialRevert(IAccessManager.AccessManagerUnauthorizedCall.selector);
        _pause(uint64(block.timestamp));
    }
}
