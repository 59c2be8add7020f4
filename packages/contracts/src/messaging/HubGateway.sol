// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IClearinghouse} from "../interfaces/IClearinghouse.sol";
import {IHubGateway} from "../interfaces/IGateways.sol";
import {IRiskConfig} from "../interfaces/IRiskConfig.sol";
import {CounterMessages} from "../libraries/CounterMessages.sol";
import {Gateway} from "./Gateway.sol";

/// @title HubGateway
/// @notice Brings the spokes' counters into the clearinghouse and sends what it has released.
/// @dev Rows aren't isolated from one another: the clearinghouse reverts for none, and since anyone may send any counter in
/// a message of its own, a bad row could only ever hold back the message of whoever chose it.
contract HubGateway is IHubGateway, Gateway {
    error AssetElsewhere(uint256 assetId);

    IClearinghouse public immutable clearinghouse;
    IRiskConfig public immutable riskConfig;
    /// @notice Epoch of the clearinghouse's counters.
    uint32 public immutable epoch;

    /// @inheritdoc IHubGateway
    mapping(uint32 eid => uint64 time) public lastSpokeTime;

    /// @param clearinghouse_ May be deployed later, at this address; so may `riskConfig_`.
    constructor(
        address endpoint_,
        address owner_,
        IClearinghouse clearinghouse_,
        IRiskConfig riskConfig_,
        uint32 epoch_,
        uint64 skew_
    ) Gateway(endpoint_, owner_, skew_, GasSchedule(110_000, 70_000, 170_000)) {
        clearinghouse = clearinghouse_;
        riskConfig = riskConfig_;
        epoch = epoch_;
    }

    /// @inheritdoc IHubGateway
    function quoteReleases(uint32 eid, ReleaseKey[] calldata keys) external view returns (uint256 nativeFee) {
        (bytes memory message, uint256 tokens) = _message(eid, keys);
        return _quoteMessage(eid, message, tokens, keys.length);
    }

    /// @inheritdoc IHubGateway
    function sendReleases(uint32 eid, ReleaseKey[] calldata keys) external payable returns (bytes32 guid) {
        (bytes memory message, uint256 tokens) = _message(eid, keys);
        guid = _send(eid, message, tokens, keys.length);
        emit ReleasesSent(guid, eid, uint64(block.timestamp), keys);
    }

    function _message(uint32 eid, ReleaseKey[] calldata keys)
        private
        view
        returns (bytes memory message, uint256 count)
    {
        if (keys.length > MAX_ROWS) revert TooManyRows(keys.length);
        uint256[] memory assets = new uint256[](MAX_TOKENS);
        CounterMessages.Credit[] memory credits = new CounterMessages.Credit[](MAX_TOKENS);
        CounterMessages.ReleaseRow[] memory rows = new CounterMessages.ReleaseRow[](keys.length);
        for (uint256 i; i < keys.length; ++i) {
            ReleaseKey calldata key = keys[i];
            IRiskConfig.Asset memory asset = riskConfig.asset(key.assetId);
            if (asset.eid != eid) revert AssetElsewhere(key.assetId);
            uint256 index;
            (index, count) = _indexOf(assets, count, key.assetId);
            credits[index] =
                CounterMessages.Credit(asset.token, asset.epoch, clearinghouse.creditedTotal(key.assetId));
            rows[i] = CounterMessages.ReleaseRow(
                key.account,
                key.recipient,
                uint8(index),
                clearinghouse.released(key.account, key.recipient, key.assetId)
            );
        }
        assembly ("memory-safe") {
            mstore(credits, count)
        }
        message = CounterMessages.encodeReleases(
            CounterMessages.Header(epoch, uint64(block.timestamp)), credits, rows
        );
    }

    function _receive(uint32 eid, bytes32 guid, bytes calldata message) internal override {
        (
            CounterMessages.Header memory header,
            CounterMessages.Totals[] memory totals,
            CounterMessages.CounterRow[] memory rows
        ) = CounterMessages.decodeCounters(message);
        _checkTime(header.time);
        if (header.time > lastSpokeTime[eid]) lastSpokeTime[eid] = header.time;
        for (uint256 i; i < totals.length; ++i) {
            CounterMessages.Totals memory t = totals[i];
            clearinghouse.receiveTotals(
                eid, header.epoch, header.time, t.token, t.totalIn, t.totalOut, t.shortfall
            );
        }
        for (uint256 i; i < rows.length; ++i) {
            CounterMessages.CounterRow memory row = rows[i];
            clearinghouse.receiveCounter(
                eid, header.epoch, header.time, totals[row.tokenIndex].token, row.account, row.depositedIn
            );
        }
        emit CountersReceived(guid, eid, header.epoch, header.time, rows.length);
    }
}
