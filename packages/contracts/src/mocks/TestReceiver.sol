// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {
    ILayerZeroEndpointV2,
    Origin
} from "@layerzerolabs/lz-evm-protocol-v2/contracts/interfaces/ILayerZeroEndpointV2.sol";

/// @notice A receiver of LayerZero packets that does what its `mode` says, for tests and local networks; Write stores the newest message's hash.
contract TestReceiver {
    enum Mode {
        Write,
        Revert,
        Starve,
        ReturnBomb,
        Reenter,
        Swallow,
        Compose
    }

    Mode public mode;
    bytes32 public last;
    uint256 public received;
    uint256 public composed;
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

    function lzReceive(Origin calldata, bytes32 guid, bytes calldata message, address, bytes calldata)
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
        } else if (m == Mode.Swallow) {
            // Swallows its own failure: to the endpoint the packet is delivered.
            try this.fail() {} catch {}
        } else {
            ILayerZeroEndpointV2(msg.sender).sendCompose(address(this), guid, 0, message);
        }
    }

    /// @dev The second half of a Compose message.
    function lzCompose(address, bytes32, bytes calldata message, address, bytes calldata) external payable {
        if (mode != Mode.Compose) revert Refused();
        last = keccak256(message);
        ++composed;
    }

    function fail() external pure {
        revert Refused();
    }
}
