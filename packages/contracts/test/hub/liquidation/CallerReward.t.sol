// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Accounts} from "../../../src/libraries/Accounts.sol";
import {LiquidationBase} from "./LiquidationBase.sol";

/// @notice What starting an auction earns. Alice: 20,000 USDC and 45 ETH long from 2,000; at 1,700 her equity is 6,500.
contract CallerRewardTest is LiquidationBase {
    address private immutable keeper = makeAddr("keeper");
    bytes32 private account;
    bytes32 private short;

    function setUp() public override {
        super.setUp();
        account = _trader(alice, 20_000e6);
        short = _trader(bob, 100_000e6);
        _deposit(carol, usdc, 100_000e6);
        _trade(account, short, 45e18);
    }

    function _startBy(address who, bytes32 target) private {
        bytes32[] memory accounts = new bytes32[](1);
        accounts[0] = target;
        vm.prank(who);
        assertEq(auction.updateAndStart("", accounts), 1);
    }

    function _earned() private view returns (int256) {
        return clearinghouse.cash(Accounts.main(keeper));
    }

    function baseFee() external view returns (uint256) {
        return block.basefee;
    }

    /// forge --isolate makes each call a transaction in a block without a base fee, whatever it was told, and there nothing is paid.
    function _fee(uint256 fee) private {
        vm.fee(fee);
        vm.skip(this.baseFee() != fee);
    }

    /// 400,000 gas at 100 gwei are 0.04 ETH.
    function test_paysTheGasAtTheBaseFee() public {
        _price(1700e18);
        _fee(100 gwei);
        _startBy(keeper, account);
        assertEq(_earned(), 68e18);
        assertEq(clearinghouse.cash(account), 20_000e18 - 68e18);
    }

    function test_isNeverMoreThanAShareOfEquity() public {
        _price(1700e18);
        _fee(10_000 gwei);
        _startBy(keeper, account);
        assertEq(_earned(), 130e18, "2% of 6,500");
    }

    /// Neither the fund nor anybody else pays for an account that has nothing.
    function test_anInsolventAccountPaysNothing() public {
        _fundWith(100_000e6);
        _price(1500e18);
        _fee(100 gwei);
        _startBy(keeper, account);
        assertEq(_earned(), 0);
    }

    function test_nobodyPaysHimself() public {
        _price(1700e18);
        _fee(100 gwei);
        _startBy(alice, account);
        assertEq(clearinghouse.cash(account), 20_000e18);
    }

    /// Within the hour the auction only goes on: nobody is paid for curing and opening it again.
    function test_aReopenedAuctionPaysNothing() public {
        _price(1700e18);
        _fee(100 gwei);
        _startBy(keeper, account);
        _price(2000e18);
        auction.end(account);
        _price(1700e18);
        _startBy(keeper, account);
        assertEq(_earned(), 68e18);
    }

    /// What it adds to the snapshots of LiquidationAuction, which are of transactions in blocks without a base fee.
    function test_gasOfTheReward() public {
        _price(1700e18);
        uint256 without = _gasOfStart(0);
        uint256 with_ = _gasOfStart(100 gwei);
        vm.snapshotValue("LiquidationAuction", "start_reward", with_ - without);
    }

    function _gasOfStart(uint256 fee) private returns (uint256 spent) {
        uint256 state = vm.snapshotState();
        _fee(fee);
        address[4] memory all = [address(auction), address(clearinghouse), address(engine), address(oracle)];
        for (uint256 n; n < all.length; ++n) {
            vm.cool(all[n]);
        }
        spent = gasleft();
        _startBy(keeper, account);
        spent -= gasleft();
        vm.revertToState(state);
    }

    /// Who has claims only owes it until a bidder pays.
    function test_withoutCashItIsPaidByTheFirstBid() public {
        address dave = makeAddr("dave");
        bytes32 claims = Accounts.main(dave);
        vm.prank(dave);
        clearinghouse.openRow(claims, WETH);
        _depositFor(claims, weth, 10e18);
        vm.prank(dave);
        clearinghouse.approveVenue(claims, address(this), type(uint256).max);
        _trade(claims, short, 15e18);
        _price(1400e18);
        assertLt(_health(claims).mm, 0);
        _fee(100 gwei);
        _startBy(keeper, claims);
        assertEq(_earned(), 0);
        (address caller, uint256 amount) = auction.owed(claims);
        assertEq(caller, keeper);
        assertEq(amount, 56e18);
        _bid(carol, claims, 1e18);
        assertEq(_earned(), 56e18);
        (, amount) = auction.owed(claims);
        assertEq(amount, 0);
        assertLe(_bufferMargin(claims), 0, "and what is left is not beyond the buffer");
    }

    function test_aNativePriceThatIsMissingStopsNothing() public {
        _price(1700e18);
        _fee(100 gwei);
        vm.mockCallRevert(
            address(oracle), abi.encodeWithSignature("price(uint256)", ETH_FEED), abi.encode("broken")
        );
        _startBy(keeper, account);
        assertEq(_earned(), 0);
    }
}
