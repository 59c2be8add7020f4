// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {IClearinghouse} from "../interfaces/IClearinghouse.sol";
import {AccountSignatures} from "./AccountSignatures.sol";
import {LedgerClient} from "./LedgerClient.sol";

/// @title Venue
/// @notice The hub's own venue: pairs signed orders within both limits. Anyone may submit a match; margin, band and caps are the clearinghouse's.
contract Venue is AccountSignatures {
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
    }

    bytes32 public constant ORDER_TYPEHASH = keccak256(
        "Order(bytes32 account,uint256 instrumentId,int256 size,uint256 limitPrice,uint64 expiry,uint256 nonce)"
    );
    /// @notice Filled so far by order hash, WAD base units. The maximum marks a cancelled order.
    mapping(bytes32 orderHash => uint256) public filled;

    event Matched(bytes32 indexed buyHash, bytes32 indexed sellHash, uint256 size, uint256 price);
    event Cancelled(bytes32 indexed orderHash);

    error SameSide();
    error InstrumentMismatch();
    error OutsideLimit(bytes32 orderHash);
    error Expired(bytes32 orderHash);
    error Overfilled(bytes32 orderHash, uint256 left);

    constructor(IClearinghouse clearinghouse_, bytes32 networkId_)
        LedgerClient(clearinghouse_)
        AccountSignatures(networkId_)
    {}

    /// @notice Trades `size` (WAD base units) at `price` (WAD) between two orders of opposite sides, given in either order.
    function matchOrders(
        Order calldata a,
        bytes calldata signatureA,
        Order calldata b,
        bytes calldata signatureB,
        uint256 size,
        uint256 price
    ) external {
        if ((a.size > 0) == (b.size > 0)) revert SameSide();
        if (a.instrumentId != b.instrumentId) revert InstrumentMismatch();
        bytes32 hashA = _fill(a, signatureA, size, price);
        bytes32 hashB = _fill(b, signatureB, size, price);
        (bytes32 buyer, bytes32 seller) = a.size > 0 ? (a.account, b.account) : (b.account, a.account);
        clearinghouse.trade(a.instrumentId, buyer, seller, size, price);
        if (a.size > 0) emit Matched(hashA, hashB, size, price);
        else emit Matched(hashB, hashA, size, price);
    }

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
                    order.nonce
                )
            )
        );
    }

    function _fill(Order calldata order, bytes calldata signature, uint256 size, uint256 price)
        internal
        returns (bytes32 hash)
    {
        hash = orderHash(order);
        if (block.timestamp > order.expiry) revert Expired(hash);
        if (order.size > 0 ? price > order.limitPrice : price < order.limitPrice) revert OutsideLimit(hash);
        uint256 left = FixedPointMathLib.zeroFloorSub(FixedPointMathLib.abs(order.size), filled[hash]);
        if (size > left) revert Overfilled(hash, left);
        filled[hash] += size;
        _requireSigned(order.account, hash, signature);
    }

    function _name() internal pure override returns (string memory) {
        return "Clearspan Venue";
    }
}
