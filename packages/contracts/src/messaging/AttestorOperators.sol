// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

/// @notice Who attests: a set of operators with a threshold, replaced as a whole by the owner (a timelock).
/// An attestation names its set, so a rotation ends everything that the old set signed and nobody delivered; the new one signs it again.
abstract contract AttestorOperators is EIP712, Ownable {
    /// @notice What operators sign, in this contract's EIP-712 domain (name, version, chain, address) together with the network.
    struct Attestation {
        /// Root of the Merkle tree of packets.
        bytes32 root;
        /// ReceiveUln that the packets are verified on.
        address receiveLibrary;
        /// Seconds; no delivery after it.
        uint64 expiry;
        /// Number of the set that signed.
        uint32 operatorSet;
    }

    event OperatorsSet(uint32 indexed operatorSet, address[] operators, uint256 threshold);

    error Expired(uint64 expiry);
    error ExpiryTooFar(uint64 expiry);
    error WrongOperatorSet(uint32 operatorSet);
    error WrongSignatureCount(uint256 length);
    /// @notice Signers must be operators of the set, ascending by address, each once.
    error WrongSigner(address signer);
    error BadOperators();

    uint256 public constant MAX_OPERATORS = 32;
    /// @notice Furthest expiry ahead (seconds): an old root shouldn't be a key that lies about.
    uint64 public constant MAX_LIFETIME = 1 days;
    bytes32 public constant ATTESTATION_TYPEHASH = keccak256(
        "Attestation(bytes32 networkId,bytes32 root,address receiveLibrary,uint64 expiry,uint32 operatorSet)"
    );
    uint256 private constant SIGNATURE_LENGTH = 65;

    bytes32 public immutable networkId;
    /// @notice Number of the present set; the first is 1.
    uint32 public operatorSet;
    /// @notice Signatures that an attestation needs.
    uint32 public threshold;
    /// @dev Newest set that an address belongs to: a rotation needs no deletions.
    mapping(address operator => uint32) private _setOf;

    constructor(address owner_, bytes32 networkId_, address[] memory operators_, uint256 threshold_)
        EIP712("Clearspan Attestor", "1")
        Ownable(owner_)
    {
        networkId = networkId_;
        _setOperators(operators_, threshold_);
    }

    function isOperator(address who) external view returns (bool) {
        return _setOf[who] == operatorSet;
    }

    /// @param operators_ Ascending, 1 to 32.
    /// @param threshold_ 1 to their number. Outside a local network a deployment takes 2 or more.
    function setOperators(address[] calldata operators_, uint256 threshold_) external onlyOwner {
        _setOperators(operators_, threshold_);
    }

    function attestationDigest(Attestation calldata a) public view returns (bytes32) {
        return _hashTypedDataV4(
            keccak256(
                abi.encode(ATTESTATION_TYPEHASH, networkId, a.root, a.receiveLibrary, a.expiry, a.operatorSet)
            )
        );
    }

    /// @dev Exactly `threshold` signatures of 65 bytes.
    function _checkAttestation(Attestation calldata a, bytes calldata signatures) internal view {
        if (a.expiry < block.timestamp) revert Expired(a.expiry);
        if (a.expiry > block.timestamp + MAX_LIFETIME) revert ExpiryTooFar(a.expiry);
        uint32 set = operatorSet;
        if (a.operatorSet != set) revert WrongOperatorSet(a.operatorSet);
        uint256 length = SIGNATURE_LENGTH * threshold;
        if (signatures.length != length) revert WrongSignatureCount(signatures.length);
        bytes32 digest = attestationDigest(a);
        address last;
        for (uint256 n; n < length; n += SIGNATURE_LENGTH) {
            address signer = ECDSA.recoverCalldata(digest, signatures[n:n + SIGNATURE_LENGTH]);
            if (signer <= last || _setOf[signer] != set) revert WrongSigner(signer);
            last = signer;
        }
    }

    function _setOperators(address[] memory operators_, uint256 threshold_) private {
        uint256 count = operators_.length;
        if (count > MAX_OPERATORS || threshold_ == 0 || threshold_ > count) revert BadOperators();
        uint32 set = ++operatorSet;
        threshold = uint32(threshold_);
        address last;
        for (uint256 n; n < count; ++n) {
            address operator = operators_[n];
            if (operator <= last) revert BadOperators();
            last = operator;
            _setOf[operator] = set;
        }
        emit OperatorsSet(set, operators_, threshold_);
    }
}
