// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {IOAppCore} from "@layerzerolabs/oapp-evm/contracts/oapp/interfaces/IOAppCore.sol";
import {IHubGateway, ISpokeGateway} from "../../src/interfaces/IGateways.sol";
import {Accounts} from "../../src/libraries/Accounts.sol";
import {HubEpoch} from "../../src/messaging/HubEpoch.sol";
import {QuorumSignatures} from "../../src/oracle/QuorumSignatures.sol";
import {SignerEpochs} from "../../src/oracle/SignerEpochs.sol";
import {PayoutQueue} from "../../src/spoke/PayoutQueue.sol";
import {ExitFixture} from "./ExitFixture.sol";

/// @notice The hub dies (DESIGN §4): everybody leaves by its last word, which the oracle's quorum signs and governance opens; nobody while it lives;
/// and nothing is paid twice, whatever is still under way or comes when it returns.
contract HubDeathTest is ExitFixture {
    address private immutable alice = makeAddr("alice");
    address private immutable bob = makeAddr("bob");
    bytes32 private a;
    bytes32 private b;

    receive() external payable {}

    function setUp() public {
        _deployAll();
        (a, b) = (Accounts.main(alice), Accounts.main(bob));
    }

    function test_everybody_leaves_and_nothing_is_paid_twice() public {
        // 100 credited, of it 30 paid and 20 under way; 25 that the hub has never heard of. Another account on the hub's own chain.
        _deposit(vault, token, a, 100e6);
        assertTrue(_deliver(_sendCounters(_counterKeys(a, token))));
        _withdraw(a, SPOKE_ASSET, alice, 30e6);
        assertTrue(_deliver(_sendReleases(_releaseKeys(a, alice, SPOKE_ASSET))));
        vm.warp(block.timestamp + 1);
        _withdraw(a, SPOKE_ASSET, alice, 20e6);
        Packet memory underWay = _sendReleases(_releaseKeys(a, alice, SPOKE_ASSET));
        _deposit(vault, token, a, 25e6);
        _deposit(localVault, hubToken, b, 50e6);
        localGateway.sendCounters(_counterKeys(b, hubToken));
        uint64 died = uint64(block.timestamp);

        skip(SILENCE + 1);
        _end(gateway, vault);
        _end(localGateway, localVault);
        _addExit(SPOKE, a, address(token), alice, 125e6);
        _addExit(HUB, b, address(hubToken), bob, 50e6);
        _openExits(gateway, 1, died);
        _openExits(localGateway, 1, died);
        _exit(gateway, 0);
        _exit(localGateway, 1);
        assertEq(token.balanceOf(alice), 125e6);
        assertEq(hubToken.balanceOf(bob), 50e6);

        // It returns, with what was under way and with what it takes to be its own still.
        assertFalse(_deliver(underWay));
        vm.prank(bob);
        clearinghouse.withdraw(b, HUB_ASSET, bob, 50e6);
        IHubGateway.ReleaseKey[] memory keys = _releaseKeys(b, bob, HUB_ASSET);
        vm.expectRevert(HubEpoch.HubHasEnded.selector);
        hub.sendReleases(HUB, keys);
        _withdraw(a, SPOKE_ASSET, alice, 50e6);
        assertFalse(_deliver(_sendReleases(_releaseKeys(a, alice, SPOKE_ASSET))));
        _exit(gateway, 0);
        vault.pay(a, address(token), alice);
        assertEq(token.balanceOf(alice), 125e6);
        assertEq(token.balanceOf(address(vault)) + hubToken.balanceOf(address(localVault)), 0);
    }

    /// @dev Exits go by the vault's limits, queue, redirections and halt as any payout does.
    function test_exits_keep_to_the_limits() public {
        _deposit(vault, token, a, 1000e6);
        _deposit(vault, token, b, 10e6);
        vm.prank(governance);
        vault.setLimits(address(token), PayoutQueue.Limit(400e6, 1e3), PayoutQueue.Limit(100e6, 1e3));
        uint64 died = uint64(block.timestamp);
        skip(SILENCE + 1);
        _end(gateway, vault);
        _addExit(SPOKE, a, address(token), alice, 1000e6);
        _addExit(SPOKE, b, address(token), bob, 10e6);
        _openExits(gateway, 1, died);
        vm.prank(bob);
        vault.redirect(address(token), address(0xb0b));
        vm.prank(governance);
        vault.halt();
        _exit(gateway, 0);
        assertEq(token.balanceOf(alice), 0, "halted");
        vm.prank(governance);
        vault.resume();
        _exit(gateway, 0);
        assertEq(token.balanceOf(alice), 400e6, "what the bucket holds");
        _exit(gateway, 1);
        assertEq(token.balanceOf(address(0xb0b)), 10e6, "a small one, elsewhere");
        skip(600_000);
        vault.pay(a, address(token), alice);
        assertEq(token.balanceOf(alice), 1000e6);
    }

    function test_nobody_leaves_while_the_hub_lives() public {
        _deposit(vault, token, a, 100e6);
        vm.startPrank(governance);
        vault.seal();
        vm.expectRevert(abi.encodeWithSelector(HubEpoch.HubNotSilent.selector, 0));
        gateway.endHub();
        vm.stopPrank();
        skip(SILENCE);
        assertTrue(_deliver(_sendReleases(new IHubGateway.ReleaseKey[](0))), "anyone's heartbeat");
        uint64 heard = uint64(block.timestamp);
        skip(SILENCE);
        vm.prank(governance);
        vm.expectRevert(abi.encodeWithSelector(HubEpoch.HubNotSilent.selector, heard));
        gateway.endHub();
        // A word in the last moment, long after the silence, does as well.
        skip(1 days);
        assertTrue(_deliver(_sendReleases(new IHubGateway.ReleaseKey[](0))));
        heard = uint64(block.timestamp);
        vm.prank(governance);
        vm.expectRevert(abi.encodeWithSelector(HubEpoch.HubNotSilent.selector, heard));
        gateway.endHub();

        _addExit(SPOKE, a, address(token), alice, 100e6);
        bytes32 root = _root();
        bytes memory signatures = _sign(3, 1, 1, heard, root);
        vm.prank(governance);
        vm.expectRevert(HubEpoch.HubHasNotEnded.selector);
        gateway.openExits(1, heard, root, signatures);
        ISpokeGateway.Exit memory leave = exits[0];
        bytes32[] memory proof = _proof(0);
        vm.expectRevert(HubEpoch.NoSuchExit.selector);
        gateway.exit(leave, proof);
    }

    /// @dev A hub whose books are dead and whose gateway beats still, for anybody: governance cuts it off, on its own chain too, and it is silent.
    function test_a_hub_that_only_beats_is_cut_off() public {
        assertTrue(_deliver(_sendReleases(new IHubGateway.ReleaseKey[](0))));
        hub.sendReleases(HUB, new IHubGateway.ReleaseKey[](0));
        vm.startPrank(governance);
        gateway.setPeer(HUB, 0);
        localGateway.setPeer(HUB, 0);
        vm.stopPrank();
        skip(SILENCE);
        assertFalse(_deliver(_sendReleases(new IHubGateway.ReleaseKey[](0))));
        vm.expectRevert(abi.encodeWithSelector(IOAppCore.NoPeer.selector, HUB));
        hub.sendReleases(HUB, new IHubGateway.ReleaseKey[](0));
        skip(1);
        _end(gateway, vault);
        _end(localGateway, localVault);
    }

    function test_only_with_deposits_sealed_and_once() public {
        skip(SILENCE + 1);
        vm.startPrank(governance);
        vm.expectRevert(abi.encodeWithSelector(HubEpoch.VaultNotSealed.selector, vault));
        gateway.endHub();
        vault.seal();
        vm.expectEmit(address(gateway));
        emit HubEpoch.HubEnded(0);
        gateway.endHub();
        assertEq(gateway.endedAt(), block.timestamp);
        vm.expectRevert(HubEpoch.HubHasEnded.selector);
        gateway.endHub();
        vm.expectRevert(HubEpoch.HubHasEnded.selector);
        gateway.resumeHub();
        vm.expectRevert(HubEpoch.HubHasEnded.selector);
        gateway.openEpoch(localVault);
        vm.stopPrank();
    }

    /// @dev A root needs the owner and a quorum: neither leaves with anything alone.
    function test_only_a_root_of_the_quorum() public {
        _deposit(vault, token, a, 100e6);
        assertTrue(_deliver(_sendReleases(new IHubGateway.ReleaseKey[](0))));
        uint64 heard = uint64(block.timestamp);
        skip(SILENCE + 1);
        _end(gateway, vault);
        _addExit(SPOKE, a, address(token), alice, 100e6);
        bytes32 root = _root();
        bytes memory good = _sign(3, 1, 1, heard, root);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, address(this)));
        gateway.openExits(1, heard, root, good);
        _refused(1, heard, _sign(2, 1, 1, heard, root), QuorumSignatures.MalformedSignatures.selector);
        bytes4 wrong = QuorumSignatures.InvalidSignature.selector;
        _refused(1, heard, _sign(3, 2, 1, heard, root), wrong);
        _refused(2, heard, good, wrong);
        _refused(1, heard + 1, good, wrong);
        _refused(1, heard, _sign(3, 1, 1, heard, keccak256("another")), wrong);
        _refused(1, heard - 1, _sign(3, 1, 1, heard - 1, root), HubEpoch.StaleRoot.selector);
        _refused(0, heard, _sign(3, 1, 0, heard, root), HubEpoch.StaleRoot.selector);
        uint256 state = vm.snapshotState();
        vm.prank(governance);
        signers.revoke(1);
        _refused(1, heard, good, SignerEpochs.RevokedEpoch.selector);
        vm.revertToState(state);
        vm.prank(governance);
        gateway.openExits(1, heard, root, good);
        _refused(1, heard, good, HubEpoch.StaleRoot.selector);
    }

    function _refused(uint32 version, uint64 hubTime, bytes memory signatures, bytes4 why) private {
        bytes32 root = _root();
        vm.prank(governance);
        vm.expectPartialRevert(why);
        gateway.openExits(version, hubTime, root, signatures);
    }

    function test_only_what_the_root_says_of_this_chain() public {
        _deposit(vault, token, a, 100e6);
        uint64 died = uint64(block.timestamp);
        skip(SILENCE + 1);
        _end(gateway, vault);
        _addExit(SPOKE, a, address(token), alice, 40e6);
        _addExit(HUB, a, address(token), alice, 70e6);
        _openExits(gateway, 1, died);
        ISpokeGateway.Exit memory more = exits[0];
        more.released = 41e6;
        bytes32[] memory proof = _proof(0);
        vm.expectRevert(HubEpoch.NoSuchExit.selector);
        gateway.exit(more, proof);
        ISpokeGateway.Exit memory elsewhere = exits[1];
        proof = _proof(1);
        vm.expectRevert(HubEpoch.NoSuchExit.selector);
        gateway.exit(elsewhere, proof);
        _exit(gateway, 0);
        assertEq(token.balanceOf(alice), 40e6);

        // A later root replaces it: of one payout the difference is paid, and nothing is taken back.
        exits[0].released = 60e6;
        _openExits(gateway, 2, died);
        _exit(gateway, 0);
        assertEq(token.balanceOf(alice), 60e6);
        exits[0].released = 10e6;
        _openExits(gateway, 3, died);
        _exit(gateway, 0);
        assertEq(token.balanceOf(alice), 60e6);
        exits[0].released = 100e6;
        _openExits(gateway, 4, died);
        _exit(gateway, 0);
        assertEq(token.balanceOf(alice), 100e6);
    }

    /// @dev A vault that the hub believed to hold more than it does pays nobody while the hub lives; the quorum's word is of what is there.
    function test_what_the_hub_believed_holds_nobody_back() public {
        _deposit(vault, token, a, 100e6);
        vm.prank(address(gateway));
        vault.receiveRelease(a, address(token), alice, 0, 101e6, uint64(block.timestamp));
        uint64 died = uint64(block.timestamp);
        skip(SILENCE + 1);
        _end(gateway, vault);
        _addExit(SPOKE, a, address(token), alice, 100e6);
        _openExits(gateway, 1, died);
        _exit(gateway, 0);
        assertEq(token.balanceOf(alice), 100e6);
    }

    /// @dev The hub's chain stood still, and others left meanwhile. When it runs again, its own vault doesn't hear its hub before governance has looked.
    function test_the_hubs_own_chain_waits_for_governance() public {
        _deposit(localVault, hubToken, b, 50e6);
        localGateway.sendCounters(_counterKeys(b, hubToken));
        hub.sendReleases(HUB, new IHubGateway.ReleaseKey[](0));
        uint64 died = uint64(block.timestamp);
        skip(SILENCE + 1);
        _withdraw(b, HUB_ASSET, bob, 20e6);
        IHubGateway.ReleaseKey[] memory keys = _releaseKeys(b, bob, HUB_ASSET);
        vm.expectRevert(abi.encodeWithSelector(HubEpoch.HubIsSilent.selector, died));
        hub.sendReleases(HUB, keys);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, address(this)));
        localGateway.resumeHub();
        uint256 state = vm.snapshotState();

        // It is alive, and nobody has left.
        vm.startPrank(governance);
        localGateway.resumeHub();
        vm.expectRevert(abi.encodeWithSelector(HubEpoch.HubNotSilent.selector, uint64(block.timestamp)));
        localGateway.resumeHub();
        vm.expectRevert(abi.encodeWithSelector(HubEpoch.HubNotSilent.selector, 0));
        gateway.resumeHub();
        vm.stopPrank();
        hub.sendReleases(HUB, keys);
        assertEq(hubToken.balanceOf(bob), 20e6);

        // Or they have: then its last word counts here too, and the withdrawal since its death doesn't.
        vm.revertToState(state);
        _end(localGateway, localVault);
        _addExit(HUB, b, address(hubToken), bob, 50e6);
        _openExits(localGateway, 1, died);
        _exit(localGateway, 0);
        vm.expectRevert(HubEpoch.HubHasEnded.selector);
        hub.sendReleases(HUB, keys);
        assertEq(hubToken.balanceOf(bob), 50e6);
    }

    /// @dev A last word that packages/shared wrote: its root, its signatures and its proofs are what the contract takes.
    function test_the_typescript_twin() public {
        string memory json = vm.readFile("test/fixtures/exits.json");
        skip(SILENCE + 1);
        _end(gateway, vault);
        _end(localGateway, localVault);
        uint32 version = uint32(vm.parseJsonUint(json, ".version"));
        uint64 hubTime = uint64(vm.parseJsonUint(json, ".hubTime"));
        bytes32 root = vm.parseJsonBytes32(json, ".root");
        bytes memory signatures = vm.parseJsonBytes(json, ".signatures");
        vm.startPrank(governance);
        gateway.openExits(version, hubTime, root, signatures);
        localGateway.openExits(version, hubTime, root, signatures);
        vm.stopPrank();
        for (uint256 i; i < 5; ++i) {
            string memory at_ = string.concat(".exits[", vm.toString(i), "]");
            bool local = vm.parseJsonUint(json, string.concat(at_, ".eid")) == HUB;
            ISpokeGateway.Exit memory e = ISpokeGateway.Exit({
                vaultEpoch: uint32(vm.parseJsonUint(json, string.concat(at_, ".vaultEpoch"))),
                account: vm.parseJsonBytes32(json, string.concat(at_, ".account")),
                token: vm.parseJsonAddress(json, string.concat(at_, ".token")),
                recipient: vm.parseJsonAddress(json, string.concat(at_, ".recipient")),
                released: uint128(vm.parseJsonUint(json, string.concat(at_, ".released")))
            });
            bytes32[] memory proof = vm.parseJsonBytes32Array(json, string.concat(at_, ".proof"));
            (local ? localGateway : gateway).exit(e, proof);
            (uint128 value,) = (local ? localVault : vault).released(e.account, e.token, e.recipient);
            assertEq(value, e.released);
        }
    }
}
