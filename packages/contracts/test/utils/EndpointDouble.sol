// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {
    MessagingFee,
    MessagingParams,
    MessagingReceipt
} from "@layerzerolabs/lz-evm-protocol-v2/contracts/interfaces/ILayerZeroEndpointV2.sol";

/// @notice Whoever carries what a double was given to send.
interface ICarrier {
    function onSent(uint32 eid, address sender, uint64 nonce, MessagingParams calldata params) external;
}

/// @notice Of a LayerZero endpoint, what a gateway uses: costs nothing, verifies nothing, and leaves delivery to its maker, who may do it in any
/// order, twice, or never.
contract EndpointDouble {
    uint32 public immutable eid;
    ICarrier private immutable _carrier;
    uint64 private _nonce;

    constructor(uint32 eid_) {
        (eid, _carrier) = (eid_, ICarrier(msg.sender));
    }

    function setDelegate(address) external {}

    function quote(MessagingParams calldata, address) external pure returns (MessagingFee memory fee) {}

    function send(MessagingParams calldata params, address)
        external
        payable
        returns (MessagingReceipt memory receipt)
    {
        receipt.nonce = ++_nonce;
        _carrier.onSent(eid, msg.sender, receipt.nonce, params);
    }
}
