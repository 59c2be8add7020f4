// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ILayerZeroDVN} from "@layerzerolabs/lz-evm-messagelib-v2/contracts/uln/interfaces/ILayerZeroDVN.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Address} from "@openzeppelin/contracts/utils/Address.sol";

/// @dev What a send library keeps for a worker.
interface IFeeLedger {
    function withdrawFee(address to, uint256 amount) external;
}

/// @notice The sending side of a DVN: a flat fee for each destination, kept by the send library until it is withdrawn.
abstract contract AttestorJobs is ILayerZeroDVN, Ownable {
    struct Destination {
        bool open;
        /// Native units a packet.
        uint128 fee;
    }

    mapping(uint32 dstEid => Destination) public destinations;
    mapping(address library_ => bool) public isSendLibrary;

    event DestinationSet(uint32 indexed dstEid, bool open, uint128 fee);
    event SendLibrarySet(address indexed library_, bool allowed);

    error UnsupportedDestination(uint32 dstEid);
    error UnsupportedOptions();
    error OnlySendLibrary(address caller);

    function setDestination(uint32 dstEid, bool open, uint128 fee) external onlyOwner {
        destinations[dstEid] = Destination(open, fee);
        emit DestinationSet(dstEid, open, fee);
    }

    function setSendLibrary(address library_, bool allowed) external onlyOwner {
        isSendLibrary[library_] = allowed;
        emit SendLibrarySet(library_, allowed);
    }

    /// @notice Fees that `library_` holds for this contract, to `to`.
    function withdrawFee(address library_, address to, uint256 amount) external onlyOwner {
        Address.functionCall(library_, abi.encodeCall(IFeeLedger.withdrawFee, (to, amount)));
    }

    /// @inheritdoc ILayerZeroDVN
    function assignJob(AssignJobParam calldata job, bytes calldata options)
        external
        payable
        returns (uint256 fee)
    {
        // A job that no library pays for would be work for nothing.
        if (!isSendLibrary[msg.sender]) revert OnlySendLibrary(msg.sender);
        return _fee(job.dstEid, options);
    }

    /// @inheritdoc ILayerZeroDVN
    function getFee(uint32 dstEid, uint64, address, bytes calldata options)
        external
        view
        returns (uint256 fee)
    {
        return _fee(dstEid, options);
    }

    function _fee(uint32 dstEid, bytes calldata options) private view returns (uint256) {
        if (options.length != 0) revert UnsupportedOptions();
        Destination memory destination = destinations[dstEid];
        if (!destination.open) revert UnsupportedDestination(dstEid);
        return destination.fee;
    }
}
