// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {
    ILayerZeroEndpointV2
} from "@layerzerolabs/lz-evm-protocol-v2/contracts/interfaces/ILayerZeroEndpointV2.sol";
import {SystemRun} from "./SystemRun.sol";

/// @notice The same over LayerZero's real contracts.
contract SystemOverLayerZeroTest is SystemRun {
    function _newEndpoint(uint256 c) internal override returns (address) {
        if (c == H) {
            uint32[] memory eids = new uint32[](3);
            (eids[0], eids[1], eids[2]) = (HUB, SPOKE, OTHER_SPOKE);
            _deployLayerZero(eids);
        }
        return address(stacks[c].endpoint);
    }

    receive() external payable {}

    function _pushContracts(uint256 c, address[] storage list) internal override {
        list.push(address(stacks[c].endpoint));
        list.push(stacks[c].receiveUln);
        list.push(stacks[c].dvn);
    }

    function _beforeSend(uint256 fee) internal override {
        vm.deal(address(this), fee);
        vm.recordLogs();
    }

    function _afterSend() internal override {
        _packets.push(_sentPackets()[0]);
    }

    /// @dev Packets are verified in the order of their nonces and executed in any, once. A nonce that a forged packet took is lost.
    function _carry(uint256 i) internal override returns (bool) {
        Packet memory p = _packets[i];
        ILayerZeroEndpointV2 endpoint = _stack(p.dstEid).endpoint;
        for (uint256 n; n <= i; ++n) {
            Packet memory q = _packets[n];
            if (q.dstEid != p.dstEid || q.srcEid != p.srcEid) continue;
            if (!_isVerified(endpoint, q)) _commit(q);
        }
        bytes32 hash = endpoint.inboundPayloadHash(p.receiver, p.srcEid, _word(p.sender), p.nonce);
        if (hash != keccak256(abi.encodePacked(p.guid, p.message))) return false;
        assertTrue(_execute(p, p.gas), "fits its gas");
        return true;
    }

    function _isVerified(ILayerZeroEndpointV2 endpoint, Packet memory p) private view returns (bool) {
        bytes32 sender = _word(p.sender);
        return p.nonce <= endpoint.lazyInboundNonce(p.receiver, p.srcEid, sender)
            || endpoint.inboundPayloadHash(p.receiver, p.srcEid, sender, p.nonce) != 0;
    }

    function _carryForged(uint32 from, address sender, uint32 to, address receiver, bytes memory message)
        internal
        override
    {
        ILayerZeroEndpointV2 endpoint = _stack(to).endpoint;
        Packet memory p;
        p.nonce = endpoint.inboundNonce(receiver, from, _word(sender)) + 1;
        (p.srcEid, p.sender, p.dstEid, p.receiver) = (from, sender, to, receiver);
        p.guid = keccak256(abi.encodePacked(p.nonce, from, _word(sender), to, _word(receiver)));
        p.message = message;
        p.header = abi.encodePacked(uint8(1), p.nonce, from, _word(sender), to, _word(receiver));
        _commit(p);
        assertTrue(_execute(p, 1_000_000), "forged");
    }

    /// forge-config: default.invariant.runs = 1
    /// forge-config: default.invariant.depth = 50
    /// forge-config: full.invariant.runs = 60
    /// forge-config: full.invariant.depth = 150
    function invariant_system() public view {
        _checkNext();
    }
}
