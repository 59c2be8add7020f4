// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IClearinghouse} from "../interfaces/IClearinghouse.sol";
import {AccountSignatures} from "./AccountSignatures.sol";
import {LedgerClient} from "./LedgerClient.sol";
import {SignedOrders} from "./SignedOrders.sol";

/// @title Venue
/// @notice The hub's own venue: pairs signed orders within both limits. Anyone whom the orders allow may submit a match; margin, band and caps are the
/// clearinghouse's.
contract Venue is SignedOrders {
    event Matched(bytes32 indexed buyHash, bytes32 indexed sellHash, uint256 size, uint256 price);

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
        _requirePair(a, b);
        bytes32 hashA = _take(a, signatureA, size, block.timestamp);
        bytes32 hashB = _take(b, signatureB, size, block.timestamp);
        _requireInLimit(a, hashA, price);
        _requireInLimit(b, hashB, price);
        _trade(a, b, size, price);
        if (a.size > 0) emit Matched(hashA, hashB, size, price);
        else emit Matched(hashB, hashA, size, price);
    }

    function _name() internal pure override returns (string memory) {
        return "Clearspan Venue";
    }
}
