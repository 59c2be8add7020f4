// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ICollateralVault} from "../interfaces/ICollateralVault.sol";
import {ISpokeGateway} from "../interfaces/IGateways.sol";
import {CounterMessages} from "../libraries/CounterMessages.sol";
import {SignerEpochs} from "../oracle/SignerEpochs.sol";
import {Gateway} from "./Gateway.sol";
import {HubEpoch} from "./HubEpoch.sol";

/// @title SpokeGateway
/// @notice Sends the vaults' counters to the hub and brings the hub's releases into them. A chain's vaults follow one another by epoch: the last
/// one takes deposits, and all of them pay what is released on them.
contract SpokeGateway is HubEpoch {
    event EpochOpened(uint32 epoch, ICollateralVault vault);

    /// @notice No vault of this epoch is open: a message for it waits.
    error UnknownVaultEpoch(uint32 epoch);
    error EpochOutOfOrder(uint32 epoch);

    /// @notice Epoch of the newest vault. The first vault's is 1.
    uint32 public epoch = 1;
    mapping(uint32 epoch => ICollateralVault) public vaultOf;

    /// @param vault_ May be deployed later, at this address.
    /// @param oracle_ Of this chain.
    /// @param predecessor_ Gateway of the hub that this one's hub replaces, or none.
    /// @dev The schedule pays for a token's first counters, when all its slots on the hub are fresh.
    constructor(
        address endpoint_,
        address owner_,
        ICollateralVault vault_,
        uint32 hubEid_,
        uint32 hubEpoch_,
        uint64 skew_,
        SignerEpochs oracle_,
        ISpokeGateway predecessor_
    )
        Gateway(endpoint_, owner_, skew_, GasSchedule(80_000, 180_000, 140_000))
        HubEpoch(hubEid_, hubEpoch_, oracle_, predecessor_)
    {
        vaultOf[1] = vault_;
    }

    /// @inheritdoc ISpokeGateway
    function vault() public view override returns (ICollateralVault) {
        return vaultOf[epoch];
    }

    /// @inheritdoc ISpokeGateway
    function newestVault() external view returns (ICollateralVault) {
        return address(successor) == address(0) ? vault() : successor.newestVault();
    }

    /// @notice Replaces the newest vault, which must be sealed. What is released on its predecessors they still pay.
    function openEpoch(ICollateralVault next) external onlyOwner {
        if (endedAt != 0 || address(successor) != address(0)) revert HubHasEnded();
        ICollateralVault last = vaultOf[epoch];
        if (!last.isSealed()) revert VaultNotSealed(last);
        if (next.epoch() != epoch + 1) revert EpochOutOfOrder(next.epoch());
        vaultOf[++epoch] = next;
        emit EpochOpened(epoch, next);
    }

    /// @inheritdoc ISpokeGateway
    function quoteCounters(CounterKey[] calldata keys) external view returns (uint256 nativeFee) {
        return quoteCountersOf(epoch, keys);
    }

    /// @inheritdoc ISpokeGateway
    function quoteCountersOf(uint32 epoch_, CounterKey[] calldata keys)
        public
        view
        returns (uint256 nativeFee)
    {
        (bytes memory message, uint256 tokens) = _message(epoch_, keys);
        return _quoteMessage(hubEid, message, tokens, keys.length);
    }

    /// @inheritdoc ISpokeGateway
    function sendCounters(CounterKey[] calldata keys) external payable returns (bytes32 guid) {
        return sendCountersOf(epoch, keys);
    }

    /// @inheritdoc ISpokeGateway
    function sendCountersOf(uint32 epoch_, CounterKey[] calldata keys) public payable returns (bytes32 guid) {
        (bytes memory message, uint256 tokens) = _message(epoch_, keys);
        guid = _send(hubEid, message, tokens, keys.length);
        emit CountersSent(guid, uint64(block.timestamp), keys);
    }

    function _message(uint32 epoch_, CounterKey[] calldata keys)
        private
        view
        returns (bytes memory message, uint256 count)
    {
        if (keys.length > MAX_ROWS) revert TooManyRows(keys.length);
        ICollateralVault from = _vault(epoch_);
        uint256[] memory tokens = new uint256[](MAX_TOKENS);
        CounterMessages.CounterRow[] memory rows = new CounterMessages.CounterRow[](keys.length);
        for (uint256 i; i < keys.length; ++i) {
            uint256 index;
            (index, count) = _indexOf(tokens, count, uint160(keys[i].token));
            uint128 depositedIn = from.depositedIn(keys[i].account, keys[i].token);
            rows[i] = CounterMessages.CounterRow(keys[i].account, uint8(index), depositedIn);
        }
        CounterMessages.Totals[] memory totals = new CounterMessages.Totals[](count);
        for (uint256 i; i < count; ++i) {
            address token = address(uint160(tokens[i]));
            (uint128 totalIn, uint128 totalOut, uint128 shortfall) = from.totals(token);
            totals[i] = CounterMessages.Totals(token, totalIn, totalOut, shortfall);
        }
        CounterMessages.Header memory header = CounterMessages.Header(epoch_, uint64(block.timestamp));
        message = CounterMessages.encodeCounters(header, totals, rows);
    }

    function _receive(uint32, bytes32 guid, bytes calldata message) internal override {
        (
            CounterMessages.Header memory header,
            CounterMessages.Credit[] memory credits,
            CounterMessages.ReleaseRow[] memory rows
        ) = CounterMessages.decodeReleases(message);
        _hear(header.epoch, header.time);
        for (uint256 i; i < rows.length; ++i) {
            CounterMessages.ReleaseRow memory row = rows[i];
            CounterMessages.Credit memory credit = credits[row.tokenIndex];
            _vault(credit.epoch)
                .receiveRelease(
                    row.account, credit.token, row.recipient, row.released, credit.creditedTotal, header.time
                );
        }
        emit ReleasesReceived(guid, header.time, rows.length);
    }

    function _vault(uint32 epoch_) internal view override returns (ICollateralVault found) {
        found = vaultOf[epoch_];
        if (address(found) == address(0)) revert UnknownVaultEpoch(epoch_);
    }
}
