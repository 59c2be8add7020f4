// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Origin} from "@layerzerolabs/lz-evm-protocol-v2/contracts/interfaces/ILayerZeroEndpointV2.sol";

/// @notice One that writes one slot and does nothing else: what a message costs without its receiver.
contract SlotWriter {
    bytes32 public last;

    function allowInitializePath(Origin calldata) external pure returns (bool) {
        return true;
    }

    function nextNonce(uint32, bytes32) external pure returns (uint64) {
        return 0;
    }

    function lzReceive(Origin calldata, bytes32 guid, bytes calldata, address, bytes calldata)
        external
        payable
    {
        last = guid;
    }
}
