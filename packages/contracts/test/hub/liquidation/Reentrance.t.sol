// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IPriceOracle} from "../../../src/interfaces/IPriceOracle.sol";
import {TestToken} from "../../../src/mocks/TestToken.sol";
import {LiquidationBase} from "./LiquidationBase.sol";

interface IReenter {
    function reenter() external;
}

/// @dev A settlement token that tells whoever watches it of each transfer.
contract TellingToken is TestToken("USD Coin", "USDC", 6) {
    address private immutable _watcher;

    constructor(address watcher) {
        _watcher = watcher;
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (from != address(0)) IReenter(_watcher).reenter();
    }
}

/// @dev The oracle at whose address it is put, but that it tells whoever watches it of each report.
contract TellingOracle {
    address private immutable _watcher;
    address private immutable _oracle;

    constructor(address watcher, address oracle) {
        (_watcher, _oracle) = (watcher, oracle);
    }

    fallback(bytes calldata data) external returns (bytes memory answer) {
        if (msg.sig == IPriceOracle.update.selector) {
            IReenter(_watcher).reenter();
            return abi.encode(false);
        }
        bool ok;
        (ok, answer) = _oracle.delegatecall(data);
        require(ok);
    }
}

/// @notice Who is called in the midst of a call of the fund or of the auction gets into none of their functions. The Backstop and the other engines
/// call contracts of the hub alone.
contract ReentranceTest is LiquidationBase, IReenter {
    address private _target;
    bytes[] private _calls;
    uint256 private _tried;

    function reenter() external {
        for (uint256 i; i < _calls.length; ++i) {
            (bool ok, bytes memory reason) = _target.call(_calls[i]);
            assertFalse(ok);
            assertEq(bytes4(reason), ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
            ++_tried;
        }
    }

    function test_theFundIsEnteredOnce() public {
        _fundWith(1000e6);
        vm.etch(address(usdc), address(new TellingToken(address(this))).code);
        _target = address(fund);
        _calls.push(abi.encodeCall(fund.deposit, (1e6, address(this))));
        _calls.push(abi.encodeCall(fund.mint, (1e12, address(this))));
        _calls.push(abi.encodeCall(fund.requestRedeem, (1)));
        _calls.push(abi.encodeCall(fund.cancelRedeem, ()));
        _calls.push(abi.encodeCall(fund.withdraw, (1, lp, lp)));
        _calls.push(abi.encodeCall(fund.redeem, (1, lp, lp)));
        _calls.push(abi.encodeCall(fund.redeemToAccount, (1, fundAccount)));
        usdc.mint(lp, 500e6);
        vm.startPrank(lp);
        usdc.approve(address(fund), 500e6);
        fund.deposit(200e6, lp);
        fund.mint(100e12, lp);
        // To the fund, and on to the vault.
        assertEq(_tried, 2 * 2 * _calls.length);
        uint256 half = fund.balanceOf(lp) / 2;
        vm.warp(fund.requestRedeem(half));
        _price(2000e18);
        fund.redeem(half, lp, lp);
        vm.stopPrank();
        assertEq(_tried, 5 * _calls.length, "and out of the vault");
        assertApproxEqAbs(fund.totalAssets(), 650e6, 1);
    }

    function test_theAuctionIsEnteredOnce() public {
        bytes32 account = _trader(alice, 20_000e6);
        _trade(account, _trader(bob, 100_000e6), 45e18);
        bytes32 bidder = _trader(carol, 100_000e6);
        _price(1700e18);
        address original = makeAddr("oracle's code");
        vm.etch(original, address(oracle).code);
        vm.etch(address(oracle), address(new TellingOracle(address(this), original)).code);
        bytes32[] memory accounts = new bytes32[](1);
        accounts[0] = account;
        _target = address(auction);
        _calls.push(abi.encodeCall(auction.updateAndStart, ("", accounts)));
        _calls.push(abi.encodeCall(auction.end, (account)));
        _calls.push(abi.encodeCall(auction.sync, (account)));
        _calls.push(abi.encodeCall(auction.bid, (account, bidder, WAD, type(uint256).max)));
        assertEq(auction.updateAndStart(hex"01", accounts), 1);
        assertEq(_tried, _calls.length);
    }
}
