// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {LibBit} from "solady/utils/LibBit.sol";

/// @notice Up to 21 distinct ids of 12 bits, each above 0, packed in one word from the low end without gaps:
/// an account's rows cost one storage read to list.
library IdList {
    uint256 internal constant CAPACITY = 21;
    uint256 internal constant MAX_ID = 0xfff;

    error ListFull();
    error InvalidId(uint256 id);

    function length(uint256 list) internal pure returns (uint256) {
        // No id is 0, so the highest bit is in the last one.
        return list == 0 ? 0 : LibBit.fls(list) / 12 + 1;
    }

    function contains(uint256 list, uint256 id) internal pure returns (bool) {
        for (; list != 0; list >>= 12) {
            if (list & MAX_ID == id) return true;
        }
        return false;
    }

    /// @dev The caller has checked that `id` is not in the list and is at most MAX_ID.
    function add(uint256 list, uint256 id) internal pure returns (uint256) {
        uint256 n = length(list);
        if (n == CAPACITY) revert ListFull();
        return list | (id << (12 * n));
    }

    /// @notice The list without `id`, whose place the last one takes. Unchanged when it isn't there.
    function remove(uint256 list, uint256 id) internal pure returns (uint256) {
        uint256 n = length(list);
        for (uint256 i; i < n; ++i) {
            if ((list >> (12 * i)) & MAX_ID != id) continue;
            uint256 last = list >> (12 * (n - 1));
            list ^= (id ^ last) << (12 * i);
            return list ^ (last << (12 * (n - 1)));
        }
        return list;
    }

    function toArray(uint256 list) internal pure returns (uint256[] memory ids) {
        ids = new uint256[](length(list));
        for (uint256 i; i < ids.length; ++i) {
            ids[i] = (list >> (12 * i)) & MAX_ID;
        }
    }

    /// @notice The list of these ids in their order.
    function from(uint256[] calldata ids) internal pure returns (uint256 list) {
        if (ids.length > CAPACITY) revert ListFull();
        for (uint256 i; i < ids.length; ++i) {
            if (ids[i] == 0 || ids[i] > MAX_ID) revert InvalidId(ids[i]);
            list |= ids[i] << (12 * i);
        }
    }
}
