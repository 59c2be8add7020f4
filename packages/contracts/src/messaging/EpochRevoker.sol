// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {MessagingFee, OApp, Origin} from "@layerzerolabs/oapp-evm/contracts/oapp/OApp.sol";
import {OptionsBuilder} from "@layerzerolabs/oapp-evm/contracts/oapp/libs/OptionsBuilder.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {SignerEpochs} from "../oracle/SignerEpochs.sol";

/// @title EpochRevoker
/// @notice Carries the order to revoke an epoch of oracle signers from the hub to every chain: the same contract on each, the
/// `revoker` of that chain's oracle. Whoever forges its only message takes reports away, and can give nothing.
/// @dev Only the owner orders, a timelock or a multisig of governance: a revocation is for ever and may leave a chain without
/// prices, more than a guardian may do. Like counters, an order may be carried by anyone, late, twice or in any order.
contract EpochRevoker is OApp {
    using OptionsBuilder for bytes;

    /// @notice Ordered on the hub, or heard from it.
    event RevocationOrdered(uint32 indexed epoch);
    event RevocationSent(bytes32 indexed guid, uint32 indexed eid, uint32 indexed epoch);

    /// @notice Orders are given on the hub, and only sent from there.
    error NotHub(uint32 eid);
    error NotOrdered(uint32 epoch);
    error MalformedMessage();

    /// @dev `version u8 | kind u8 | epoch u32`; kinds 1 and 2 are the gateways' (CounterMessages).
    bytes2 private constant REVOKE = 0x0103;
    uint256 private constant MESSAGE_BYTES = 6;
    /// @dev Of lzReceive: a fresh slot here and one in the oracle, two events.
    uint128 private constant RECEIVE_GAS = 120_000;

    SignerEpochs public immutable oracle;
    uint32 public immutable hubEid;

    /// @notice Epochs that the hub has ordered to be revoked, as far as this chain knows.
    mapping(uint32 epoch => bool) public ordered;

    /// @param owner_ Also the LayerZero delegate.
    /// @param oracle_ Of this chain.
    constructor(address endpoint_, address owner_, SignerEpochs oracle_, uint32 hubEid_)
        OApp(endpoint_, owner_)
        Ownable(owner_)
    {
        oracle = oracle_;
        hubEid = hubEid_;
    }

    /// @notice Revokes an epoch on the hub's chain, and lets anyone carry that to the others. It can't be taken back.
    function order(uint32 epoch) external onlyOwner {
        if (endpoint.eid() != hubEid) revert NotHub(endpoint.eid());
        _revoke(epoch);
    }

    /// @notice Wei that `send` costs.
    function quote(uint32 eid, uint32 epoch) external view returns (uint256 nativeFee) {
        return _quote(eid, _message(epoch), _options(), false).nativeFee;
    }

    /// @notice Carries an order to another chain. Who sends pays, and gets the surplus back.
    function send(uint32 eid, uint32 epoch) external payable returns (bytes32 guid) {
        guid = _lzSend(eid, _message(epoch), _options(), MessagingFee(msg.value, 0), msg.sender).guid;
        emit RevocationSent(guid, eid, epoch);
    }

    /// @dev The hub hears nobody: it has the others for peers, since it sends to them.
    function _lzReceive(Origin calldata origin, bytes32, bytes calldata message, address, bytes calldata)
        internal
        override
    {
        if (origin.srcEid != hubEid) revert NotHub(origin.srcEid);
        if (message.length != MESSAGE_BYTES || bytes2(message) != REVOKE) revert MalformedMessage();
        _revoke(uint32(bytes4(message[2:])));
    }

    function _revoke(uint32 epoch) private {
        ordered[epoch] = true;
        oracle.revoke(epoch);
        emit RevocationOrdered(epoch);
    }

    /// @dev What a chain has only heard of, it doesn't pass on.
    function _message(uint32 epoch) private view returns (bytes memory) {
        if (endpoint.eid() != hubEid) revert NotHub(endpoint.eid());
        if (!ordered[epoch]) revert NotOrdered(epoch);
        return abi.encodePacked(REVOKE, epoch);
    }

    function _options() private pure returns (bytes memory) {
        return OptionsBuilder.newOptions().addExecutorLzReceiveOption(RECEIVE_GAS, 0);
    }
}
