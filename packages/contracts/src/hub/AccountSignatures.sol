// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IERC5267} from "@openzeppelin/contracts/interfaces/IERC5267.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {Accounts} from "../libraries/Accounts.sol";
import {SigningDomain} from "../libraries/SigningDomain.sol";
import {LedgerClient} from "./LedgerClient.sol";

/// @notice EIP-712 messages that controllers of accounts sign, in a domain of contract, chain and network.
abstract contract AccountSignatures is LedgerClient, IERC5267 {
    /// @notice Salt of the signing domain: what is signed for one network means nothing in another.
    bytes32 public immutable networkId;

    error BadSignature(bytes32 hash);
    error NotController();

    constructor(bytes32 networkId_) {
        networkId = networkId_;
    }

    function domainSeparator() public view returns (bytes32) {
        return SigningDomain.separator(_name(), networkId);
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
        return
            (
                hex"1f",
                _name(),
                SigningDomain.VERSION,
                block.chainid,
                address(this),
                networkId,
                new uint256[](0)
            );
    }

    /// @dev Name of the signing domain.
    function _name() internal pure virtual returns (string memory);

    function _digest(bytes32 structHash) internal view returns (bytes32) {
        return SigningDomain.digest(_name(), networkId, structHash);
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
