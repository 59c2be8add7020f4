// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {AccountSignatures} from "./AccountSignatures.sol";

/// @notice Orders that controllers of accounts sign off chain, what is left of each, and how one ends.
abstract contract SignedOrders is AccountSignatures {
    struct Order {
        bytes32 account;
        uint256 instrumentId;
        /// WAD base units; buys are positive.
        int256 size;
        /// WAD: highest price of a buy, lowest of a sale.
        uint256 limitPrice;
        /// Seconds; last second in which it may be filled.
        uint64 expiry;
        /// Makes otherwise equal orders distinct.
        uint256 nonce;
        /// Who alone may pair it with another; nobody: anyone.
        address matcher;
    }

    bytes32 public constant ORDER_TYPEHASH = keccak256(
        "Order(bytes32 account,uint256 instrumentId,int256 size,uint256 limitPrice,uint64 expiry,uint256 nonce,address matcher)"
    );
    /// @notice Filled so far by order hash, WAD base units. The maximum marks a cancelled order.
    mapping(bytes32 orderHash => uint256) public filled;

    event Cancelled(bytes32 indexed orderHash);

    error SameSide();
    error InstrumentMismatch();
    error OutsideLimit(bytes32 orderHash);
    error Expired(bytes32 orderHash);
    error Overfilled(bytes32 orderHash, uint256 left);
    error NotMatcher(bytes32 orderHash, address matcher);

    /// @notice Ends an order for good. Only a controller of its account.
    function cancel(Order calldata order) external {
        if (!clearinghouse.isController(order.account, msg.sender)) revert NotController();
        bytes32 hash = orderHash(order);
        filled[hash] = type(uint256).max;
        emit Cancelled(hash);
    }

    /// @notice EIP-712 digest: what is signed, and the key of `filled`.
    function orderHash(Order calldata order) public view returns (bytes32) {
        return _digest(
            keccak256(
                abi.encode(
                    ORDER_TYPEHASH,
                    order.account,
                    order.instrumentId,
                    order.size,
                    order.limitPrice,
                    order.expiry,
                    order.nonce,
                    order.matcher
                )
            )
        );
    }

    function _requirePair(Order calldata a, Order calldata b) internal pure {
        if ((a.size > 0) == (b.size > 0)) revert SameSide();
        if (a.instrumentId != b.instrumentId) revert InstrumentMismatch();
    }

    function _requireInLimit(Order calldata order, bytes32 hash, uint256 price) internal pure {
        if (order.size > 0 ? price > order.limitPrice : price < order.limitPrice) revert OutsideLimit(hash);
    }

    /// @dev Takes `size` of what is left of an order. @param at Seconds, when it is filled.
    function _take(Order calldata order, bytes calldata signature, uint256 size, uint256 at)
        internal
        returns (bytes32 hash)
    {
        hash = orderHash(order);
        if (at > order.expiry) revert Expired(hash);
        if (order.matcher != address(0) && order.matcher != msg.sender) {
            revert NotMatcher(hash, order.matcher);
        }
        uint256 left = FixedPointMathLib.zeroFloorSub(FixedPointMathLib.abs(order.size), filled[hash]);
        if (size > left) revert Overfilled(hash, left);
        filled[hash] += size;
        _requireSigned(order.account, hash, signature);
    }

    function _trade(Order calldata a, Order calldata b, uint256 size, uint256 price) internal {
        (bytes32 buyer, bytes32 seller) = a.size > 0 ? (a.account, b.account) : (b.account, a.account);
        clearinghouse.trade(a.instrumentId, buyer, seller, size, price);
    }
}
