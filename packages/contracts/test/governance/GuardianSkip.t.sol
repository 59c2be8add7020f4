// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {
    IMessagingChannel
} from "@layerzerolabs/lz-evm-protocol-v2/contracts/interfaces/IMessagingChannel.sol";
import {
    ILayerZeroEndpointV2,
    Origin
} from "@layerzerolabs/lz-evm-protocol-v2/contracts/interfaces/ILayerZeroEndpointV2.sol";
import {
    IMessageLibManager
} from "@layerzerolabs/lz-evm-protocol-v2/contracts/interfaces/IMessageLibManager.sol";
import {IAccessManager} from "@openzeppelin/contracts/access/manager/IAccessManager.sol";
import {Governance} from "../../src/governance/Governance.sol";
import {IHubGateway} from "../../src/interfaces/IGateways.sol";
import {Accounts} from "../../src/libraries/Accounts.sol";
import {GatewayFixture} from "../messaging/GatewayFixture.sol";

/// @notice Governance as the LayerZero delegate of a gateway: the guardian may skip what nobody has verified, and nothing else.
contract GuardianSkipTest is GatewayFixture {
    address private immutable council = makeAddr("council");
    address private immutable guardian = makeAddr("guardian");
    address private immutable alice = makeAddr("alice");
    bytes32 private account;

    Governance private delegate;
    ILayerZeroEndpointV2 private endpoint;

    receive() external payable {}

    function setUp() public {
        _deployAll();
        account = Accounts.main(alice);
        endpoint = _stack(SPOKE).endpoint;
        Governance.Power[] memory powers = new Governance.Power[](1);
        powers[0] = Governance.Power(address(endpoint), IMessagingChannel.skip.selector);
        delegate = new Governance(
            council, 2 days, guardian, powers, Governance.Lister(address(0), 0, new Governance.Power[](0))
        );
        vm.startPrank(governance);
        gateway.setDelegate(address(delegate));
        gateway.transferOwnership(address(delegate));
        vm.stopPrank();
        _deposit(vault, token, account, 100e6);
        assertTrue(_deliver(_sendCounters(_counterKeys(account, token))));
        _withdraw(account, SPOKE_ASSET, alice, 30e6);
    }

    function _skip(uint64 nonce) private {
        bytes memory call =
            abi.encodeCall(IMessagingChannel.skip, (address(gateway), HUB, _word(address(hub)), nonce));
        vm.prank(guardian);
        delegate.execute(address(endpoint), call);
    }

    /// What it skips costs time only: the counter is sent again.
    function test_skipsWhatIsNotVerifiedAndNothingIsLost() public {
        _sendReleases(_releaseKeys(account, alice, SPOKE_ASSET));
        _skip(1);
        assertTrue(_deliver(_sendReleases(_releaseKeys(account, alice, SPOKE_ASSET))));
        assertEq(token.balanceOf(alice), 30e6);
    }

    function test_skipsNothingThatIsVerified() public {
        Packet memory packet = _sendReleases(_releaseKeys(account, alice, SPOKE_ASSET));
        _commit(packet);
        vm.expectRevert();
        _skip(1);
        assertTrue(_execute(packet, packet.gas));
    }

    function test_mayDoNothingElseThere() public {
        Packet memory packet = _sendReleases(_releaseKeys(account, alice, SPOKE_ASSET));
        _commit(packet);
        bytes32 sender = _word(address(hub));
        bytes[4] memory calls = [
            abi.encodeCall(
                ILayerZeroEndpointV2.clear, (address(gateway), Origin(HUB, sender, 1), bytes32(0), bytes(""))
            ),
            abi.encodeCall(IMessagingChannel.nilify, (address(gateway), HUB, sender, 1, bytes32(0))),
            abi.encodeCall(IMessagingChannel.burn, (address(gateway), HUB, sender, 1, bytes32(0))),
            abi.encodeCall(
                IMessageLibManager.setReceiveLibrary, (address(gateway), HUB, makeAddr("library"), 0)
            )
        ];
        for (uint256 n; n < calls.length; ++n) {
            vm.prank(guardian);
            vm.expectRevert(
                abi.encodeWithSelector(
                    IAccessManager.AccessManagerUnauthorizedCall.selector,
                    guardian,
                    address(endpoint),
                    bytes4(calls[n])
                )
            );
            delegate.execute(address(endpoint), calls[n]);
        }
    }
}
