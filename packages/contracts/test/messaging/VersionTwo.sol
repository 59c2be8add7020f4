// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IClearinghouse} from "../../src/interfaces/IClearinghouse.sol";
import {ICollateralVault} from "../../src/interfaces/ICollateralVault.sol";
import {ISpokeGateway} from "../../src/interfaces/IGateways.sol";
import {SignerEpochs} from "../../src/oracle/SignerEpochs.sol";
import {Gateway} from "../../src/messaging/Gateway.sol";
import {HubEpoch} from "../../src/messaging/HubEpoch.sol";

/// @dev What a next version of messages might be: one payout a message, in ABI encoding.
library VersionTwo {
    error UnknownVersion(uint256 version);

    uint256 internal constant VERSION = 2;

    /// @dev Of a deposit `account, token` and `recipient` zero; of a release all. `total` is the vault's, or the hub's credited one.
    struct Message {
        uint256 version;
        uint32 epoch;
        uint64 time;
        bytes32 account;
        address token;
        address recipient;
        uint128 value;
        uint128 total;
    }

    function decode(bytes calldata message) internal pure returns (Message memory m) {
        uint256 version = uint8(message[0]);
        if (version != VERSION) revert UnknownVersion(version);
        m = abi.decode(message[1:], (Message));
    }

    function encode(Message memory m) internal pure returns (bytes memory) {
        m.version = VERSION;
        return abi.encodePacked(uint8(VERSION), abi.encode(m));
    }
}

contract SpokeGatewayV2 is HubEpoch {
    ICollateralVault public immutable only;

    constructor(
        address endpoint_,
        address owner_,
        ICollateralVault vault_,
        uint32 hubEid_,
        uint32 hubEpoch_,
        SignerEpochs oracle_,
        ISpokeGateway predecessor_
    )
        Gateway(endpoint_, owner_, 300, GasSchedule(400_000, 0, 0))
        HubEpoch(hubEid_, hubEpoch_, oracle_, predecessor_)
    {
        only = vault_;
    }

    function vault() public view override returns (ICollateralVault) {
        return only;
    }

    function vaultOf(uint32 epoch) public view returns (ICollateralVault) {
        return epoch == only.epoch() ? only : ICollateralVault(address(0));
    }

    function newestVault() external view returns (ICollateralVault) {
        return only;
    }

    function _vault(uint32) internal view override returns (ICollateralVault) {
        return only;
    }

    function quoteCounters(CounterKey[] calldata keys) external view returns (uint256) {
        return quoteCountersOf(1, keys);
    }

    function quoteCountersOf(uint32, CounterKey[] calldata keys) public view returns (uint256) {
        return _quoteMessage(hubEid, _message(keys[0]), 0, 0);
    }

    function sendCounters(CounterKey[] calldata keys) external payable returns (bytes32) {
        return sendCountersOf(1, keys);
    }

    function sendCountersOf(uint32, CounterKey[] calldata keys) public payable returns (bytes32) {
        return _send(hubEid, _message(keys[0]), 0, 0);
    }

    function _message(CounterKey calldata key) private view returns (bytes memory) {
        VersionTwo.Message memory m;
        (m.epoch, m.time, m.account, m.token) = (1, uint64(block.timestamp), key.account, key.token);
        m.value = only.depositedIn(key.account, key.token);
        (m.total,,) = only.totals(key.token);
        return VersionTwo.encode(m);
    }

    function _receive(uint32, bytes32, bytes calldata message) internal override {
        VersionTwo.Message memory m = VersionTwo.decode(message);
        _hear(m.epoch, m.time);
        only.receiveRelease(m.account, m.token, m.recipient, m.value, m.total, m.time);
    }
}

contract HubGatewayV2 is Gateway {
    IClearinghouse public immutable clearinghouse;
    uint32 public immutable epoch;

    constructor(address endpoint_, address owner_, IClearinghouse clearinghouse_, uint32 epoch_)
        Gateway(endpoint_, owner_, 300, GasSchedule(400_000, 0, 0))
    {
        (clearinghouse, epoch) = (clearinghouse_, epoch_);
    }

    /// @dev Of a payout on an asset of `eid`.
    function send(uint32 eid, bytes32 account, address token, address recipient, uint256 assetId)
        external
        payable
    {
        VersionTwo.Message memory m;
        (m.epoch, m.time, m.account, m.token, m.recipient) =
        (epoch, uint64(block.timestamp), account, token, recipient);
        m.value = clearinghouse.released(account, recipient, assetId);
        m.total = clearinghouse.creditedTotal(assetId);
        _send(eid, VersionTwo.encode(m), 0, 0);
    }

    function _receive(uint32 eid, bytes32, bytes calldata message) internal override {
        VersionTwo.Message memory m = VersionTwo.decode(message);
        _checkTime(m.time);
        clearinghouse.receiveTotals(eid, m.epoch, m.time, m.token, m.total, 0, 0);
        clearinghouse.receiveCounter(eid, m.epoch, m.time, m.token, m.account, m.value);
    }
}
