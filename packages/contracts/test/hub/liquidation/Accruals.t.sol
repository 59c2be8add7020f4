// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {FixedBonus} from "../../../src/hub/engines/FixedBonus.sol";
import {LiquidationEngine} from "../../../src/hub/engines/LiquidationEngine.sol";
import {LedgerBase} from "../../../src/hub/ledger/LedgerBase.sol";
import {LiquidationAuction} from "../../../src/hub/LiquidationAuction.sol";
import {IRiskConfig} from "../../../src/interfaces/IRiskConfig.sol";
import {Future} from "../../../src/margin/Future.sol";
import {LiquidationBase} from "./LiquidationBase.sol";

/// @notice A fixing that is signed, and that nobody has stored, comes into force with the transfer that liquidates: by it the account is worth more,
/// and has no more risk, than before (§6.7). So an account is valued by it as soon as the oracle has it.
contract AccrualsTest is LiquidationBase {
    uint256 private constant FIXING_FEED = 3;
    uint256 private constant FUTURE = 2;

    uint40 private expiry;
    bytes32 private account;
    bytes32 private short;
    bytes32 private bidder;

    function setUp() public override {
        super.setUp();
        Future future = new Future(address(this), oracle, riskConfig);
        riskConfig.setInstrument(
            FUTURE, IRiskConfig.Instrument(address(future), uint16(ETH_FEED), 1_000_000e18, 1000e18, 500)
        );
        expiry = uint40(block.timestamp + 1 days);
        future.list(FUTURE, expiry, uint16(ETH_FEED), uint16(FIXING_FEED));
        account = _trader(alice, 20_000e6);
        short = _trader(bob, 1_000_000e6);
        bidder = _deposit(carol, usdc, 100_000e6);
        _fundWith(50_000e6);
    }

    function test_bid_neverPassesTheBuffer() public {
        _open(38e18, 7e18);
        (uint256 taken,,) = _bid(carol, account, WAD);
        assertLt(taken, WAD);
        _assertAtTheBuffer();
    }

    function test_takeOver_neverPassesTheBuffer() public {
        _open(38e18, 7e18);
        vm.warp(block.timestamp + WINDOW);
        _price(1700e18);
        backstop.takeOver(account);
        assertGt(_size(account), 0);
        _assertAtTheBuffer();
    }

    function test_end_ofAnAccountThatTheFixingCures() public {
        _hold(25e18, 20e18);
        assertEq(_start(account), 1);
        oracle.set(FIXING_FEED, 1720e18);
        vm.expectRevert(abi.encodeWithSelector(LiquidationAuction.NotLiquidatable.selector, account));
        _bid(carol, account, WAD);
        auction.end(account);
        assertGe(_health(account).mm, 0);
        assertEq(auction.auction(account).startedAt, 0);
    }

    /// Nobody pays a reward, or a bidder's share, for what a fixing has settled.
    function test_start_notOfAnAccountThatTheFixingCures() public {
        FixedBonus fixedBonus =
            new FixedBonus(clearinghouse, engine, riskConfig, auction, 100e18, 0.01e18, 0.5e18);
        clearinghouse.setEngine(address(fixedBonus), riskConfig.instrument(PERP).module, true);
        clearinghouse.setEngine(address(fixedBonus), riskConfig.instrument(FUTURE).module, true);
        _hold(25e18, 20e18);
        assertLt(_health(account).mm, 0);
        oracle.set(FIXING_FEED, 1720e18);
        assertEq(_start(account), 0);
        vm.prank(carol);
        vm.expectRevert(abi.encodeWithSelector(LiquidationEngine.NotLiquidatable.selector, account));
        fixedBonus.take(account, bidder, WAD, type(uint256).max);
    }

    function test_start_ofAnAccountThatTheFixingBreaks() public {
        _hold(5e18, 40e18);
        _price(2000e18);
        assertEq(_start(account), 0);
        oracle.set(FIXING_FEED, 1500e18);
        assertEq(_start(account), 1);
    }

    /// What has gone up since the expiry is no profit of the account's.
    function test_nothingLeavesOnAPriceAfterTheFixing() public {
        _hold(5e18, 40e18);
        _price(2000e18);
        vm.startPrank(alice);
        clearinghouse.transferCash(account, bidder, 500e18);
        oracle.set(FIXING_FEED, 1500e18);
        vm.expectPartialRevert(LedgerBase.InsufficientMargin.selector);
        clearinghouse.transferCash(account, bidder, 500e18);
    }

    function _open(uint256 perpetuals, uint256 futures) private {
        _hold(perpetuals, futures);
        oracle.set(FIXING_FEED, 1720e18);
        assertEq(_start(account), 1);
    }

    /// @dev The account is long so much (WAD); then its futures expire.
    function _hold(uint256 perpetuals, uint256 futures) private {
        _trade(account, short, perpetuals);
        clearinghouse.trade(FUTURE, account, short, futures, 2000e18);
        vm.warp(expiry + 1);
        _price(1700e18);
    }

    function _assertAtTheBuffer() private view {
        assertLe(_bufferMargin(account), 1e12, "passes the buffer");
        assertApproxEqAbs(_bufferMargin(account), 0, 1e12, "falls short of the buffer");
        _assertLedger(_all());
    }

    function _all() private view returns (bytes32[] memory accounts) {
        accounts = new bytes32[](5);
        (accounts[0], accounts[1], accounts[2]) = (account, short, bidder);
        (accounts[3], accounts[4]) = (fundAccount, backstopAccount);
    }
}
