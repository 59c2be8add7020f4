// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @title QuorumSignatures
/// @notice Checks `bitmap u32 | signatures`: one EIP-2098 signature (`r, yParityAndS`) for each set bit, lowest bit first.
library QuorumSignatures {
    /// @notice Another number of signatures than the bitmap names, or a bit that stands for no signer.
    error MalformedSignatures();
    error InvalidSignature(uint256 signer);

    /// @dev Half the order of secp256k1: a larger s is the other form of a signature that exists already.
    uint256 private constant MAX_S = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;

    /// @dev The caller has checked that `data` has the length of a quorum: fewer signers leave bytes over, more run past
    /// its end. Written out, as a library's recover would write the digest again for each signer, a tenth of what governs
    /// the gas of a report.
    /// @param data Signatures from `offset` to its end.
    /// @param signers Address of signer i as a word at byte 32 * i after the first two words (see SignerEpochs).
    function check(bytes calldata data, uint256 offset, uint256 n, bytes32 digest, bytes memory signers)
        internal
        view
    {
        uint256 failed;
        assembly ("memory-safe") {
            let signature := add(data.offset, offset)
            let bitmap := shr(224, calldataload(signature))
            signature := add(signature, 4)
            if shr(n, bitmap) {
                failed := 1
                bitmap := 0
            }

            let freeMemory := mload(0x40)
            let first := add(signers, 0x60)
            mstore(0x00, digest)
            for { let signer := first } bitmap {
                bitmap := shr(1, bitmap)
                signer := add(signer, 0x20)
            } {
                if iszero(and(bitmap, 1)) { continue }
                let vs := calldataload(add(signature, 0x20))
                let s := shr(1, shl(1, vs))
                mstore(0x20, add(shr(255, vs), 27))
                mstore(0x40, calldataload(signature))
                mstore(0x60, s)
                pop(staticcall(gas(), 1, 0x00, 0x80, 0x20, 0x20))
                // Without a result there is no return data, and v still lies there.
                if or(gt(s, MAX_S), iszero(mul(returndatasize(), eq(mload(0x20), mload(signer))))) {
                    failed := add(2, shr(5, sub(signer, first)))
                    break
                }
                signature := add(signature, 0x40)
            }
            mstore(0x40, freeMemory)
            mstore(0x60, 0)
            if iszero(failed) { failed := iszero(eq(signature, add(data.offset, data.length))) }
        }
        if (failed != 0) {
            if (failed == 1) revert MalformedSignatures();
            revert InvalidSignature(failed - 2);
        }
    }
}
