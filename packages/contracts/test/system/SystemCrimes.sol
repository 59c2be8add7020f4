// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {CounterMessages} from "../../src/libraries/CounterMessages.sol";
import {TestToken} from "../../src/mocks/TestToken.sol";
import {SystemTrading} from "./SystemTrading.sol";

/// @notice What breaks: chains that go back, vaults that lose tokens, and verifiers of B's messages who say whatever they like. Each is rare, so that
/// many runs have none of some.
abstract contract SystemCrimes is SystemTrading {
    address private constant NOWHERE = address(0xdead);

    function reorg(uint256 c, uint256 depth, uint256 seed) external {
        if (seed % 2 != 0) return;
        c = A + c % 2;
        if (_goBack(c, 1 + depth % 6) == 0) return;
        ++_calls["reorg"];
        if (seed % 8 == 0) _sendCounters(c == A ? (_replaced ? NEXT_USDC : USDC_A) : USDC_B, 0, true);
    }

    /// @dev Of a vault: up to a quarter of what lies there goes, or some of what went is found.
    function vanish(uint256 seed, uint256 share, uint256 where) external {
        if (share % 3 != 0) return;
        for (uint256 i; i < ASSETS; ++i) {
            uint256 id = _assetOf(seed % ASSETS + i);
            // The fund wants the vault of its own chain whole.
            if (_listed[id].chain == H) continue;
            if (where % 2 == 0) return _rob(id, share);
            (,, uint256 short) = _listed[id].vault.totals(address(_listed[id].token));
            (,, uint128 written,,) = hub.vaulted(id);
            // Most often what was written off by then, and the hub hears of it.
            if (short == 0 || (written == 0 && share % 2 == 0)) continue;
            if (!_find(id, _bound(share, 1, short))) continue;
            if (share % 2 == 0 && _isOpen(id)) {
                _sendCounters(id, 0, true);
                _deliverLast();
            }
            return;
        }
    }

    function _rob(uint256 id, uint256 share) private onChain(_listed[id].chain) {
        TestToken token = _listed[id].token;
        address vault = address(_listed[id].vault);
        uint256 most = token.balanceOf(vault) / 4;
        if (most == 0) return;
        vm.prank(vault);
        token.transfer(NOWHERE, _bound(share, 1, most));
        ++_calls["robbed"];
    }

    function _find(uint256 id, uint256 amount) private onChain(_listed[id].chain) returns (bool) {
        TestToken token = _listed[id].token;
        uint256 gone = token.balanceOf(NOWHERE);
        if (gone == 0) return false;
        vm.prank(NOWHERE);
        token.transfer(address(_listed[id].vault), gone < amount ? gone : amount);
        ++_calls["found"];
        return true;
    }

    function forgeCounters(uint256 seed, uint256 n, uint256 any, uint256 ahead) external {
        if (seed % 2 != 0) return;
        seed /= 2;
        uint256 id = seed % 2 == 0 ? USDC_B : WETH_B;
        // The thief's most often, upwards.
        uint256 whose = n % 4 == 0 ? n / 4 % ACCOUNTS : THIEF + n % 2;
        bytes32 account = _account(whose);
        uint128 value = uint128(any);
        if (n % 4 != 0) value = uint128(_bound(any, 0, _listed[id].settlement ? 1e12 : 1e20));
        Standing memory s = _bystander(whose, ACCOUNTS);
        _forgeCounters(
            CounterMessages.Header(1, uint64(block.timestamp + ahead % (SKEW + 1))),
            _totals(id, seed % 5 == 0, value),
            account,
            value
        );
        _unmovedAtOnce(s);
        ++_calls["forgedCounters"];
        if (seed % 3 != 0) return;
        // And he makes use of it at once.
        _withdraw(USDC_A, THIEF + n % 2, type(uint256).max, false);
        _withdraw(USDC_H, THIEF + n % 2, type(uint256).max, false);
    }

    /// @dev True, or of a vault that says it lost something.
    function _totals(uint256 id, bool lie, uint128 value)
        private
        view
        returns (CounterMessages.Totals memory t)
    {
        t.token = address(_listed[id].token);
        (t.totalIn, t.totalOut, t.shortfall) = _listed[id].vault.totals(t.token);
        if (lie) t.shortfall = value % 2 == 0 ? type(uint128).max : uint128(_bound(value, 0, t.totalIn));
    }

    function forgeRelease(uint256 seed, uint256 n, uint256 value, uint256 ahead) external {
        if (seed % 2 != 0) return;
        seed /= 2;
        Listed memory a = _listed[seed % 2 == 0 ? USDC_B : WETH_B];
        n = n % 4 == 0 ? n / 4 % USERS : THIEF + n % 2;
        // More than lies there is never paid.
        if (seed % 4 != 0) value = _bound(value, 0, a.token.balanceOf(address(a.vault)));
        _forgeRelease(
            uint64(block.timestamp + ahead % (SKEW + 1)),
            CounterMessages.Credit(address(a.token), 1, seed % 7 == 0 ? type(uint128).max : 0),
            CounterMessages.ReleaseRow(_account(n), _recipient(n), 0, uint128(value))
        );
        ++_calls["forgedRelease"];
    }
}
