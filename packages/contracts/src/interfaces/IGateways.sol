// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ICollateralVault} from "./ICollateralVault.sol";

/// @notice Brings a spoke's counters to the hub. Anyone may send any counter, any number of times.
interface ISpokeGateway {
    struct CounterKey {
        bytes32 account;
        address token;
    }

    /// @notice Of the hub's last word: what it has released, ever, for one payout, all that the account is still owed there included.
    struct Exit {
        uint32 vaultEpoch;
        bytes32 account;
        address token;
        address recipient;
        /// Token decimals.
        uint128 released;
    }

    event CountersSent(bytes32 indexed guid, uint64 time, CounterKey[] keys);
    event ReleasesReceived(bytes32 indexed guid, uint64 time, uint256 count);

    /// @notice The newest vault, which takes deposits unless it is sealed.
    function vault() external view returns (ICollateralVault);

    /// @notice The vault of an epoch; zero if none is open.
    function vaultOf(uint32 epoch) external view returns (ICollateralVault);

    /// @notice The newest vault of the newest hub that has followed this gateway's.
    function newestVault() external view returns (ICollateralVault);

    /// @notice Epoch of the clearinghouse whose counters are taken.
    function hubEpoch() external view returns (uint32);

    /// @notice Gateway of the hub before this one's, and of the one after it; zero for none.
    function predecessor() external view returns (ISpokeGateway);
    function successor() external view returns (ISpokeGateway);

    /// @notice Native fee of sending these counters of the newest vault now. 0 on the hub's own chain.
    function quoteCounters(CounterKey[] calldata keys) external view returns (uint256 nativeFee);

    /// @notice The same for the vault of an epoch.
    function quoteCountersOf(uint32 epoch, CounterKey[] calldata keys)
        external
        view
        returns (uint256 nativeFee);

    /// @notice Sends the newest vault's current counters and its totals of the tokens named. An empty list is a heartbeat. Surplus value is refunded.
    /// On the hub's own chain it is delivered in the same transaction, without LayerZero.
    function sendCounters(CounterKey[] calldata keys) external payable returns (bytes32 guid);

    /// @notice The same for the vault of an epoch.
    function sendCountersOf(uint32 epoch, CounterKey[] calldata keys) external payable returns (bytes32 guid);
}

/// @notice Brings the hub's released counters to a spoke, and spokes' counters into the clearinghouse.
interface IHubGateway {
    struct ReleaseKey {
        bytes32 account;
        address recipient;
        uint256 assetId;
    }

    event ReleasesSent(bytes32 indexed guid, uint32 indexed eid, uint64 time, ReleaseKey[] keys);
    event CountersReceived(
        bytes32 indexed guid, uint32 indexed eid, uint32 epoch, uint64 time, uint256 count
    );

    function quoteReleases(uint32 eid, ReleaseKey[] calldata keys) external view returns (uint256 nativeFee);

    /// @notice Sends the current released counters; all keys' assets must lie on `eid`. An empty list is a heartbeat.
    function sendReleases(uint32 eid, ReleaseKey[] calldata keys) external payable returns (bytes32 guid);

    /// @notice Newest block time of a spoke that a message carried, seconds.
    function lastSpokeTime(uint32 eid) external view returns (uint64);
}

/// @notice What of a gateway the ledger asks to tell its own chain from others.
interface ILocalChain {
    /// @notice Endpoint id of the gateway's own chain.
    function localEid() external view returns (uint32);
}
