// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {MessagingFee, OApp, Origin} from "@layerzerolabs/oapp-evm/contracts/oapp/OApp.sol";
import {OptionsBuilder} from "@layerzerolabs/oapp-evm/contracts/oapp/libs/OptionsBuilder.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Governance} from "../../src/governance/Governance.sol";
import {IRiskConfig} from "../../src/interfaces/IRiskConfig.sol";
import {Accounts} from "../../src/libraries/Accounts.sol";
import {CounterMessages} from "../../src/libraries/CounterMessages.sol";
import {CollateralVault} from "../../src/spoke/CollateralVault.sol";
import {GatewayFixture} from "../messaging/GatewayFixture.sol";

/// @notice A gateway as a later version might be: it sends what it is given.
contract NextGateway is OApp {
    using OptionsBuilder for bytes;

    constructor(address endpoint_, address owner_) OApp(endpoint_, owner_) Ownable(owner_) {}

    function send(uint32 eid, bytes calldata message) external payable {
        bytes memory options = OptionsBuilder.newOptions().addExecutorLzReceiveOption(500_000, 0);
        _lzSend(eid, message, options, MessagingFee(msg.value, 0), msg.sender);
    }

    function quote(uint32 eid, bytes calldata message) external view returns (uint256) {
        bytes memory options = OptionsBuilder.newOptions().addExecutorLzReceiveOption(500_000, 0);
        return _quote(eid, message, options, false).nativeFee;
    }

    function _lzReceive(Origin calldata, bytes32, bytes calldata, address, bytes calldata)
        internal
        pure
        override
    {}
}

/// @notice What replaces an upgrade of immutable contracts, as the council does it, with messages under way; and one that goes wrong.
contract UpgradesTest is GatewayFixture {
    uint256 private constant NEXT_ASSET = 3;
    uint32 private constant DELAY = 2 days;

    address private immutable council = makeAddr("council");
    address private immutable alice = makeAddr("alice");
    bytes32 private a;
    Governance private governed;

    receive() external payable {}

    function setUp() public {
        _deployAll();
        a = Accounts.main(alice);
        governed = _newGovernance();
        vm.startPrank(governance);
        vault.transferOwnership(address(governed));
        gateway.transferOwnership(address(governed));
        hub.transferOwnership(address(governed));
        clearinghouse.transferOwnership(address(governed));
        vm.stopPrank();
        riskConfig.transferOwnership(address(governed));
        _deposit(vault, token, a, 100e6);
        assertTrue(_deliver(_sendCounters(_counterKeys(a, token))));
    }

    function _newGovernance() private returns (Governance) {
        Governance.Power[] memory none = new Governance.Power[](0);
        return new Governance(council, DELAY, council, none, Governance.Lister(address(0), 0, none));
    }

    function _schedule(address target, bytes memory call) private {
        vm.prank(council);
        governed.schedule(target, call, 0);
    }

    function _execute(address target, bytes memory call) private {
        vm.prank(council);
        governed.execute(target, call);
    }

    function _byTheCouncil(address target, bytes memory call) private {
        _schedule(target, call);
        skip(DELAY);
        _execute(target, call);
    }

    /// All is seen two days ahead; what is paid in and taken out meanwhile goes on.
    function test_aVaultIsReplaced() public {
        CollateralVault next = new CollateralVault(address(governed), address(gateway), 2, "network", vault);
        IRiskConfig.Asset memory asset = riskConfig.asset(SPOKE_ASSET);
        asset.epoch = 2;
        address[5] memory targets =
            [address(next), address(vault), address(gateway), address(clearinghouse), address(riskConfig)];
        bytes[5] memory calls = [
            abi.encodeCall(CollateralVault.setListed, (address(token), true)),
            abi.encodeCall(CollateralVault.seal, ()),
            abi.encodeCall(gateway.openEpoch, (next)),
            abi.encodeCall(clearinghouse.openEpoch, (SPOKE, 2)),
            abi.encodeCall(riskConfig.setAsset, (NEXT_ASSET, asset))
        ];
        for (uint256 n; n < 5; ++n) {
            _schedule(targets[n], calls[n]);
        }
        _deposit(vault, token, a, 20e6);
        _withdraw(a, SPOKE_ASSET, alice, 30e6);
        Packet memory release = _sendReleases(_releaseKeys(a, alice, SPOKE_ASSET));
        skip(DELAY);
        for (uint256 n; n < 3; ++n) {
            _execute(targets[n], calls[n]);
        }
        assertTrue(_deliver(_sendCounters(_counterKeys(bytes32(0), token))), "announces itself");
        _execute(targets[3], calls[3]);
        _execute(targets[4], calls[4]);
        assertTrue(_deliver(release));
        assertEq(token.balanceOf(alice), 30e6, "by the old one");
        _deposit(next, token, a, 5e6);
        assertTrue(_deliver(_sendCounters(_counterKeys(a, token))));
        assertEq(clearinghouse.cash(a), 75e18, "20 are still to be told of");
        _withdraw(a, NEXT_ASSET, alice, 5e6);
        assertTrue(_deliver(_sendReleases(_releaseKeys(a, alice, NEXT_ASSET))));
        assertEq(token.balanceOf(alice), 35e6, "by the new one");
    }

    /// The hub is given a peer that speaks another version, and then the right one again: that costs time.
    function test_anotherVersionIsRefusedAndNothingIsLost() public {
        _deposit(vault, token, a, 40e6);
        Packet memory waiting = _sendCounters(_counterKeys(a, token));
        NextGateway next = new NextGateway(address(_stack(SPOKE).endpoint), address(this));
        next.setPeer(HUB, _word(address(hub)));
        _byTheCouncil(address(hub), abi.encodeCall(hub.setPeer, (SPOKE, _word(address(next)))));

        bytes memory message = bytes.concat(waiting.message);
        message[0] = 0x02;
        uint256 fee = next.quote(HUB, message);
        vm.deal(address(this), fee);
        vm.recordLogs();
        next.send{value: fee}(HUB, message);
        Packet memory foreign = _sentPackets()[0];
        assertFalse(_deliver(foreign));
        vm.prank(address(_stack(HUB).endpoint));
        vm.expectRevert(abi.encodeWithSelector(CounterMessages.UnknownVersion.selector, 2));
        hub.lzReceive(Origin(SPOKE, _word(address(next)), 1), bytes32(0), message, address(0), "");
        assertFalse(_deliver(waiting), "of a peer that is none");
        assertEq(clearinghouse.cash(a), 100e18);

        _byTheCouncil(address(hub), abi.encodeCall(hub.setPeer, (SPOKE, _word(address(gateway)))));
        assertTrue(_execute(waiting, waiting.gas));
        assertEq(clearinghouse.cash(a), 140e18);
        assertFalse(_execute(foreign, foreign.gas));
    }

    /// Governance itself is replaced by handing over what it owns.
    function test_governanceIsReplaced() public {
        Governance next = _newGovernance();
        _byTheCouncil(address(vault), abi.encodeCall(Ownable.transferOwnership, (address(next))));
        assertEq(vault.owner(), address(next));
        bytes memory call = abi.encodeCall(CollateralVault.seal, ());
        _schedule(address(vault), call);
        skip(DELAY);
        vm.prank(council);
        vm.expectRevert(
            abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, address(governed))
        );
        governed.execute(address(vault), call);
    }
}
