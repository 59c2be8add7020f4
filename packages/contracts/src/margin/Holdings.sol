// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IInstrument} from "../interfaces/IInstrument.sol";

/// @notice Has modules price an account's holdings: one call each, whatever they are on.
/// @dev Written in assembly because the scenarios of a few underlyings are a hundred words, which the compiler's encoder would copy one by one.
library Holdings {
    /// @dev What it returned isn't one value a scenario, and whether they rest on fresh inputs.
    error MalformedAnswer(address module);
    error NotAModule(address module);

    /// @notice PnL of all holdings in each scenario, and whether all inputs are fresh, as IInstrument.pnl.
    /// @param modules Of each holding; used up.
    function pnl(
        IInstrument.Holding[] memory holdings,
        address[] memory modules,
        uint256 count,
        uint256[] memory spots,
        uint256[] memory volatilities
    ) internal view returns (int256[] memory total, bool fresh) {
        fresh = true;
        for (uint256 n; n < modules.length; ++n) {
            address module = modules[n];
            if (module == address(0)) continue;
            bytes memory call = _encode(holdings, modules, n, count, spots, volatilities);
            (int256[] memory values, bool known) = _ask(module, call, spots.length);
            if (!known) fresh = false;
            if (total.length == 0) total = values;
            else _add(total, values);
        }
        if (total.length == 0) total = new int256[](spots.length);
    }

    /// @dev Calldata of IInstrument.pnl for all holdings of the module of the n-th, which are struck off `modules`.
    function _encode(
        IInstrument.Holding[] memory holdings,
        address[] memory modules,
        uint256 n,
        uint256 count,
        uint256[] memory spots,
        uint256[] memory volatilities
    ) private pure returns (bytes memory data) {
        bytes4 selector = IInstrument.pnl.selector;
        assembly ("memory-safe") {
            data := mload(0x40)
            let head := add(data, 0x24)
            mstore(add(data, 0x20), selector)
            mstore(head, 0x80)
            mstore(add(head, 0x20), count)
            let length := mload(modules)
            let module := mload(add(modules, add(0x20, shl(5, n))))
            let to := add(head, 0xa0)
            for { let i := n } lt(i, length) { i := add(i, 1) } {
                let place := add(0x20, shl(5, i))
                if eq(mload(add(modules, place)), module) {
                    mcopy(to, mload(add(holdings, place)), 0xa0)
                    to := add(to, 0xa0)
                    mstore(add(modules, place), 0)
                }
            }
            mstore(add(head, 0x80), div(sub(to, add(head, 0xa0)), 0xa0))
            mstore(add(head, 0x40), sub(to, head))
            let size := add(0x20, shl(5, mload(spots)))
            mcopy(to, spots, size)
            to := add(to, size)
            mstore(add(head, 0x60), sub(to, head))
            size := add(0x20, shl(5, mload(volatilities)))
            mcopy(to, volatilities, size)
            to := add(to, size)
            mstore(data, sub(to, add(data, 0x20)))
            mstore(0x40, and(add(to, 0x1f), not(0x1f)))
        }
    }

    function _ask(address module, bytes memory data, uint256 length)
        private
        view
        returns (int256[] memory values, bool fresh)
    {
        bool ok;
        bool whole;
        assembly ("memory-safe") {
            ok := staticcall(gas(), module, add(data, 0x20), mload(data), 0, 0)
            let size := returndatasize()
            let free := mload(0x40)
            if iszero(ok) {
                returndatacopy(free, 0, size)
                revert(free, size)
            }
            if eq(size, add(0x60, shl(5, length))) {
                returndatacopy(free, 0, size)
                mstore(0x40, add(free, size))
                fresh := mload(add(free, 0x20))
                values := add(free, 0x40)
                whole := and(and(eq(mload(free), 0x40), lt(fresh, 2)), eq(mload(values), length))
            }
        }
        if (!whole) {
            if (module.code.length == 0) revert NotAModule(module);
            revert MalformedAnswer(module);
        }
    }

    /// @dev As long as `total`, and each of them below 2^192.
    function _add(int256[] memory total, int256[] memory values) private pure {
        assembly ("memory-safe") {
            let apart := sub(values, total)
            let to := add(total, 0x20)
            for { let end := add(to, shl(5, mload(total))) } lt(to, end) { to := add(to, 0x20) } {
                mstore(to, add(mload(to), mload(add(to, apart))))
            }
        }
    }
}
