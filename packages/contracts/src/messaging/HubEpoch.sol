// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {ICollateralVault} from "../interfaces/ICollateralVault.sol";
import {ISpokeGateway} from "../interfaces/IGateways.sol";
import {SignerEpochs} from "../oracle/SignerEpochs.sol";
import {Gateway} from "./Gateway.sol";

/// @title HubEpoch
/// @notice The one hub that a SpokeGateway hears: a clearinghouse and its epoch. While it lives, a successor may open beside it, with a gateway
/// and vaults of its own, and this one pays out. When it is dead, its last word is a root of release counters that the oracle's quorum signs.
/// @dev An exit is a release counter like any other, later than all that the hub ever said: so the vault pays what it hasn't yet paid of it, by
/// its own limits, and nothing twice, whatever the dead hub still says or has under way.
abstract contract HubEpoch is ISpokeGateway, Gateway {
    event HubEnded(uint64 lastHubTime);
    event HubResumed();
    event ExitsOpened(uint32 indexed version, bytes32 root, uint64 hubTime);
    event HubEpochOpened(ISpokeGateway next);

    error UnknownHubEpoch(uint32 epoch);
    /// @notice This hub's predecessor hasn't been followed by it yet: its messages wait.
    error HubEpochNotOpen(uint32 epoch);
    error HubEpochOutOfOrder(uint32 epoch);
    /// @notice Nothing has been heard of the hub on this very chain for SILENCE: the owner says whether it lives.
    error HubIsSilent(uint64 lastHubTime);
    error HubNotSilent(uint64 lastHubTime);
    /// @notice It is dead, or followed by another.
    error HubHasEnded();
    error HubHasNotEnded();
    /// @notice The predecessor still takes deposits.
    error VaultNotSealed(ICollateralVault vault);
    /// @notice A root that is no newer than the last one, or of a time before the last that was heard of the hub.
    error StaleRoot(uint32 version, uint64 hubTime);
    error NoSuchExit();

    /// @notice Seconds without a word of the hub after which it may be called dead.
    uint64 public constant SILENCE = 14 days;

    bytes32 private constant EXITS_TYPEHASH =
        keccak256("Exits(uint32 hubEpoch,uint32 version,uint64 hubTime,bytes32 root)");

    uint32 public immutable hubEid;
    /// @inheritdoc ISpokeGateway
    uint32 public immutable hubEpoch;
    /// @notice Whose quorum signs the hub's last word.
    SignerEpochs public immutable oracle;
    /// @inheritdoc ISpokeGateway
    ISpokeGateway public immutable predecessor;
    uint64 private immutable _deployedAt;

    /// @inheritdoc ISpokeGateway
    ISpokeGateway public successor;

    /// @notice Newest block time of the hub that a message carried, seconds.
    uint64 public lastHubTime;
    /// @notice Seconds; when the hub was called dead here, 0 while it wasn't.
    uint64 public endedAt;
    /// @notice Of the root, 0 while there is none.
    uint32 public exitVersion;
    bytes32 public exitRoot;

    constructor(uint32 hubEid_, uint32 hubEpoch_, SignerEpochs oracle_, ISpokeGateway predecessor_) {
        hubEid = hubEid_;
        hubEpoch = hubEpoch_;
        oracle = oracle_;
        predecessor = predecessor_;
        _deployedAt = uint64(block.timestamp);
    }

    /* THE HUB SPEAKS */

    /// @dev On the hub's own chain silence may mean that the chain itself stood still, and meanwhile others have called the hub dead: so there
    /// nothing is taken after it until the owner has looked. Elsewhere any word shows that the hub lives, until it is called dead.
    function _hear(uint32 epoch_, uint64 time) internal {
        if (epoch_ != hubEpoch) revert UnknownHubEpoch(epoch_);
        if (endedAt != 0) revert HubHasEnded();
        if (address(predecessor) != address(0) && predecessor.successor() != this) {
            revert HubEpochNotOpen(epoch_);
        }
        _checkTime(time);
        if (hubEid == localEid && _isSilent()) revert HubIsSilent(lastHubTime);
        if (time > lastHubTime) lastHubTime = time;
    }

    /// @notice On the hub's own chain, after a silence: it lives, and is heard again.
    function resumeHub() external onlyOwner {
        if (endedAt != 0) revert HubHasEnded();
        if (hubEid != localEid || !_isSilent()) revert HubNotSilent(lastHubTime);
        lastHubTime = uint64(block.timestamp);
        emit HubResumed();
    }

    function _isSilent() private view returns (bool) {
        uint64 since = lastHubTime > _deployedAt ? lastHubTime : _deployedAt;
        return block.timestamp > since + SILENCE;
    }

    /* A SUCCESSOR */

    /// @notice A new clearinghouse begins beside this one, which keeps paying what it releases: `next` hears it and has vaults of its own, so no
    /// counter of the two ever mixes. No deposits here any more.
    function openHubEpoch(ISpokeGateway next) external onlyOwner {
        _requireSealed();
        if (
            address(successor) != address(0) || next.hubEpoch() != hubEpoch + 1
                || next.predecessor() != ISpokeGateway(this)
        ) revert HubEpochOutOfOrder(next.hubEpoch());
        successor = next;
        emit HubEpochOpened(next);
    }

    /* DEATH */

    /// @notice The hub is dead, for good: after SILENCE, with deposits sealed. Whatever it says from now on is refused.
    function endHub() external onlyOwner {
        if (endedAt != 0) revert HubHasEnded();
        if (!_isSilent()) revert HubNotSilent(lastHubTime);
        _requireSealed();
        endedAt = uint64(block.timestamp);
        emit HubEnded(lastHubTime);
    }

    /// @notice The hub's last word: the root of what everybody is owed at every vault. A later version replaces it.
    /// @param hubTime Seconds; block time of the hub's state that it was made from.
    /// @param signatures Of the oracle's quorum (SignerEpochs.requireQuorum) on `Exits`.
    function openExits(uint32 version, uint64 hubTime, bytes32 root, bytes calldata signatures)
        external
        onlyOwner
    {
        if (endedAt == 0) revert HubHasNotEnded();
        if (version <= exitVersion || hubTime < lastHubTime) revert StaleRoot(version, hubTime);
        oracle.requireQuorum(
            keccak256(abi.encode(EXITS_TYPEHASH, hubEpoch, version, hubTime, root)), signatures
        );
        (exitVersion, exitRoot) = (version, root);
        emit ExitsOpened(version, root, hubTime);
    }

    /// @notice Tells a vault what the root says of one payout, and has it pay as far as its limits go: `CollateralVault.pay` fetches the rest.
    /// Anyone, as often as he likes.
    function exit(Exit calldata e, bytes32[] calldata proof) external {
        bytes32 leaf = keccak256(bytes.concat(keccak256(abi.encode(localEid, e))));
        if (exitVersion == 0 || !MerkleProof.verifyCalldata(proof, exitRoot, leaf)) revert NoSuchExit();
        // Later than any message that was taken. What the hub believed to be there is of no more use: the root is of what is.
        uint64 time = endedAt + skew + exitVersion;
        _vault(e.vaultEpoch).receiveRelease(e.account, e.token, e.recipient, e.released, 0, time);
    }

    function _requireSealed() private view {
        ICollateralVault last = vault();
        if (!last.isSealed()) revert VaultNotSealed(last);
    }

    /// @inheritdoc ISpokeGateway
    function vault() public view virtual returns (ICollateralVault);

    /// @dev Reverts for an epoch without a vault.
    function _vault(uint32 epoch_) internal view virtual returns (ICollateralVault);
}
