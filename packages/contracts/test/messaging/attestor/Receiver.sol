// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Origin} from "@layerzerolabs/lz-evm-protocol-v2/contracts/interfaces/ILayerZeroEndpointV2.sol";

/// @notice A receiver of LayerZero packets that does what its `mode` says; Write stores the newest message's hash.
contract Receiver {
    enum Mode {
        Write,
        Revert,
        Starve,
        ReturnBomb,
        Reenter,
        Swallow
    }

    Mode public mode;
    bytes32 public last;
    uint256 public received;
    address public reenterTarget;
    bytes public reenterData;
    bool public reentered;

    error Refused();

    function setMode(Mode mode_) external {
        mode = mode_;
    }

    function setReentry(address target, bytes calldata data) external {
        (mode, reenterTarget, reenterData) = (Mode.Reenter, target, data);
    }

    function allowInitializePath(Origin calldata) external pure returns (bool) {
        return true;
    }

    function nextNonce(uint32, bytes32) external pure returns (uint64) {
        return 0;
    }

    function lzReceive(Origin calldata, bytes32, bytes calldata message, address, bytes calldata)
        external
        payable
    {
        Mode m = mode;
        if (m == Mode.Write) {
            last = keccak256(message);
        } else if (m == Mode.Revert) {
            revert Refused();
        } else if (m == Mode.Starve) {
            while (true) ++received;
        } else if (m == Mode.ReturnBomb) {
            assembly {
                revert(0, 1000000)
            }
        } else if (m == Mode.Reenter) {
            (reentered,) = reenterTarget.call(reenterData);
        } else {
            // Swallows its own failure: to the endpoint the packet is delivered.
            try this.fail() {} catch {}
        }
    }

    function fail() external pure {
        revert Refused();
    }
}

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
