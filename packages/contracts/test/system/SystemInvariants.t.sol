// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {
    ILayerZeroReceiver,
    Origin
} from "@layerzerolabs/lz-evm-protocol-v2/contracts/interfaces/ILayerZeroReceiver.sol";
import {
    MessagingParams
} from "@layerzerolabs/lz-evm-protocol-v2/contracts/interfaces/ILayerZeroEndpointV2.sol";
import {EndpointDouble, ICarrier} from "../utils/EndpointDouble.sol";
import {SystemRun} from "./SystemRun.sol";

/// @notice The whole system over doubles of LayerZero's endpoints, which deliver a packet as often as anybody likes: the many calls.
contract SystemInvariantsTest is SystemRun, ICarrier {
    function _newEndpoint(uint256 c) internal override returns (address) {
        return address(new EndpointDouble([HUB, SPOKE, OTHER_SPOKE][c]));
    }

    function onSent(uint32 eid, address sender, uint64 nonce, MessagingParams calldata params) external {
        Packet storage p = _packets.push();
        (p.nonce, p.srcEid, p.sender, p.dstEid) = (nonce, eid, sender, params.dstEid);
        (p.receiver, p.message) = (address(uint160(uint256(params.receiver))), params.message);
        p.gas = uint128(bytes16(params.options[6:22]));
    }

    function _beforeSend(uint256) internal override {}
    function _afterSend() internal override {}

    function _carry(uint256 i) internal override returns (bool) {
        Packet memory p = _packets[i];
        _receive(p.srcEid, p.sender, p.dstEid, p.receiver, p.message, p.gas);
        return true;
    }

    function _carryForged(uint32 from, address sender, uint32 to, address receiver, bytes memory message)
        internal
        override
    {
        _receive(from, sender, to, receiver, message, 1_000_000);
    }

    function _receive(
        uint32 from,
        address sender,
        uint32 to,
        address receiver,
        bytes memory message,
        uint256 gas_
    ) private {
        vm.prank(_chains[to == HUB ? H : to == SPOKE ? A : B].endpoint);
        ILayerZeroReceiver(receiver).lzReceive{gas: gas_}(
            Origin(from, _word(sender), 0), bytes32(0), message, address(0), ""
        );
    }

    /// forge-config: default.invariant.runs = 4
    /// forge-config: default.invariant.depth = 50
    /// forge-config: full.invariant.runs = 500
    /// forge-config: full.invariant.depth = 400
    function invariant_system() public view {
        _checkNext();
    }

    /// @dev The same acts by seeds of ours, chosen for what they bring about: each kind must come about, or what it could break is not tried.
    function test_every_kind_of_act_comes_about() public {
        bytes32[43] memory kinds = [
            bytes32("delivered"),
            "duplicated",
            "reordered",
            "dropped",
            "reorg",
            "forgedCounters",
            "forgedRelease",
            "robbed",
            "withdraw",
            "transfer",
            "inKind",
            "paid",
            "book",
            "writtenOff",
            "cut",
            "watch",
            "suspect",
            "replace",
            "trade",
            "start",
            "bid",
            "solvent",
            "takenOver",
            "settled",
            "borrow",
            "repay",
            "shared",
            "closed",
            "funded",
            "allocated",
            "refusedByVenue",
            "fickle",
            "givenBack",
            "lot",
            "found",
            "takenBack",
            "insolvent",
            "covered",
            "swept",
            "sold",
            "redeemed",
            "warmingCut",
            "badDebt"
        ];
        uint256[] memory counts = new uint256[](kinds.length);
        uint256 state = vm.snapshotState();
        uint256[3] memory seeds = [uint256(29), 31, 40];
        for (uint256 i; i < seeds.length; ++i) {
            this.run(seeds[i], 450);
            for (uint256 n; n < kinds.length; ++n) {
                counts[n] += this.count(kinds[n]);
            }
            assertTrue(vm.revertToState(state));
        }
        for (uint256 n; n < kinds.length; ++n) {
            emit log_named_uint(string(abi.encodePacked(kinds[n])), counts[n]);
        }
        // The last one is too rare to want it whatever becomes of the acts.
        for (uint256 n; n + 1 < kinds.length; ++n) {
            assertGt(counts[n], 0, string(abi.encodePacked(kinds[n])));
        }
    }
}
