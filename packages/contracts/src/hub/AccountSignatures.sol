// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IERC5267} from "@openzeppelin/contracts/interfaces/IERC5267.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {Accounts} from "../libraries/Accounts.sol";
import {LedgerClient} from "./LedgerClient.sol";

/// @notice EIP-712 messages that controllers of accounts sign, in a domain of contract, chain and network.
abstract contract AccountSignatures is LedgerClient, IERC5267 {
    bytes32 internal constant DOMAIN_TYPEHASH = keccak256(
        "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract,bytes32 salt)"
    );
    string internal constant VERSION = "1";

    /// @notice Salt of the signing domain: what is signed for one network means nothing in another.
    bytes32 public immutable networkId;

    error BadSignature(bytes32 hash);
    error NotController();

    constructor(bytes32 networkId_) {
        networkId = networkId_;
    }

    function domainSeparator() public view returns (bytes32) {
        return keccak256(
            abi.encode(
                DOMAIN_TYPEHASH,
                keccak256(bytes(_name())),
                keccak256(bytes(VERSION)),
                block.chainid,
                address(this),
                networkId
            )
        );
    }

    /// @inheritdoc IERC5267
    function eip712Domain()
        external
        view
        returns (
            bytes1 fields,
            string memory name,
            string memory version,
            uint256 chainId,
            address verifyingContract,
            bytes32 salt,
            uint256[] memory extensions
        )
    {
        // All five fields are used.
        return (hex"1f", _name(), VERSION, block.chainid, address(this), networkId, new uint256[](0));
    }

    /// @dev Name of the signing domain.
    function _name() internal pure virtual returns (string memory);

    function _digest(bytes32 structHash) internal view returns (bytes32) {
        return MessageHashUtils.toTypedDataHash(domainSeparator(), structHash);
    }

    function _requireSigned(bytes32 account, bytes32 hash, bytes calldata signature) internal view {
        if (!_signed(account, hash, signature)) revert BadSignature(hash);
    }

    /// @dev A key that controls the account, or the owner as a contract (ERC-1271).
    function _signed(bytes32 account, bytes32 hash, bytes calldata signature) private view returns (bool) {
        (address signer, ECDSA.RecoverError failure,) = ECDSA.tryRecoverCalldata(hash, signature);
        if (failure == ECDSA.RecoverError.NoError && clearinghouse.isController(account, signer)) {
            return true;
        }
        return SignatureChecker.isValidERC1271SignatureNow(Accounts.owner(account), hash, signature);
    }
}
