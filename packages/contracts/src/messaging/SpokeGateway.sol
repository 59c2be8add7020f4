// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ICollateralVault} from "../interfaces/ICollateralVault.sol";
import {ISpokeGateway} from "../interfaces/IGateways.sol";
import {CounterMessages} from "../libraries/CounterMessages.sol";
import {Gateway} from "./Gateway.sol";

/// @title SpokeGateway
/// @notice Sends the vault's counters to the hub and brings the hub's releases into the vault.
contract SpokeGateway is ISpokeGateway, Gateway {
    error UnknownHubEpoch(uint32 epoch);

    ICollateralVault public immutable vault;
    uint32 public immutable hubEid;
    /// @notice Epoch of the clearinghouse whose counters are taken.
    uint32 public immutable hubEpoch;

    /// @notice Newest block time of the hub that a message carried, seconds.
    uint64 public lastHubTime;

    /// @param vault_ May be deployed later, at this address.
    /// @dev The schedule pays for a token's first counters, when all its slots on the hub are fresh.
    constructor(
        address endpoint_,
        address owner_,
        ICollateralVault vault_,
        uint32 hubEid_,
        uint32 hubEpoch_,
        uint64 skew_
    ) Gateway(endpoint_, owner_, skew_, GasSchedule(80_000, 180_000, 140_000)) {
        vault = vault_;
        hubEid = hubEid_;
        hubEpoch = hubEpoch_;
    }

    /// @inheritdoc ISpokeGateway
    function quoteCounters(CounterKey[] calldata keys) external view returns (uint256 nativeFee) {
        (bytes memory message, uint256 tokens) = _message(keys);
        return _quoteMessage(hubEid, message, tokens, keys.length);
    }

    /// @inheritdoc ISpokeGateway
    function sendCounters(CounterKey[] calldata keys) external payable returns (bytes32 guid) {
        (bytes memory message, uint256 tokens) = _message(keys);
        guid = _send(hubEid, message, tokens, keys.length);
        emit CountersSent(guid, uint64(block.timestamp), keys);
    }

    function _message(CounterKey[] calldata keys) private view returns (bytes memory message, uint256 count) {
        if (keys.length > MAX_ROWS) revert TooManyRows(keys.length);
        address[] memory tokens = new address[](MAX_TOKENS);
        CounterMessages.CounterRow[] memory rows = new CounterMessages.CounterRow[](keys.length);
        for (uint256 i; i < keys.length; ++i) {
            uint256 index;
            (index, count) = _indexOf(tokens, count, keys[i].token);
            uint128 depositedIn = vault.depositedIn(keys[i].account, keys[i].token);
            rows[i] = CounterMessages.CounterRow(keys[i].account, uint8(index), depositedIn);
        }
        CounterMessages.Totals[] memory totals = new CounterMessages.Totals[](count);
        for (uint256 i; i < count; ++i) {
            (uint128 totalIn, uint128 totalOut, uint128 shortfall) = vault.totals(tokens[i]);
            totals[i] = CounterMessages.Totals(tokens[i], totalIn, totalOut, shortfall);
        }
        CounterMessages.Header memory header = CounterMessages.Header(vault.epoch(), uint64(block.timestamp));
        message = CounterMessages.encodeCounters(header, totals, rows);
    }

    function _receive(uint32, bytes32 guid, bytes calldata message) internal override {
        (
            CounterMessages.Header memory header,
            CounterMessages.Credit[] memory credits,
            CounterMessages.ReleaseRow[] memory rows
        ) = CounterMessages.decodeReleases(message);
        if (header.epoch != hubEpoch) revert UnknownHubEpoch(header.epoch);
        _checkTime(header.time);
        if (header.time > lastHubTime) lastHubTime = header.time;
        for (uint256 i; i < rows.length; ++i) {
            CounterMessages.ReleaseRow memory row = rows[i];
            CounterMessages.Credit memory credit = credits[row.tokenIndex];
            vault.receiveRelease(
                row.account, credit.token, row.recipient, row.released, credit.creditedTotal, header.time
            );
        }
        emit ReleasesReceived(guid, header.time, rows.length);
    }
}
