// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {ISwapRouter, UniswapBidder} from "../../src/examples/UniswapBidder.sol";
import {ILotBuyer} from "../../src/interfaces/ILiquidation.sol";
import {TestToken} from "../../src/mocks/TestToken.sol";
import {LiquidationExecutor} from "../../src/spoke/LiquidationExecutor.sol";
import {LotFixture} from "./LotFixture.sol";

interface IFactory {
    function createPool(address a, address b, uint24 fee) external returns (address);
}

interface IPool {
    function initialize(uint160 sqrtPriceX96) external;
    function mint(address to, int24 lower, int24 upper, uint128 liquidity, bytes calldata data)
        external
        returns (uint256, uint256);
    function token0() external view returns (address);
}

/// @dev Uniswap v3 from its published bytecode, a pool of 1,000 ETH at 2,000; lots from +5% to −10% in 1,000 s.
contract UniswapBidderTest is LotFixture, ILotBuyer {
    string private constant UNISWAP = "node_modules/@uniswap/v3-";

    ISwapRouter private router;
    UniswapBidder private bidder;

    function setUp() public override {
        super.setUp();
        address factory = _create("core/artifacts/contracts/UniswapV3Factory.sol/UniswapV3Factory.json", "");
        router = ISwapRouter(
            _create(
                "periphery/artifacts/contracts/SwapRouter.sol/SwapRouter.json",
                abi.encode(factory, makeAddr("WETH"))
            )
        );
        _createPool(IFactory(factory), 1000e18, 2_000_000e6);
        bidder = new UniswapBidder(executor, router, usdc);
        _refresh();
    }

    function test_fills_by_the_pool_and_leaves_the_proceeds_in_the_vault() public {
        _openAndWait(10e18, 700);
        uint256 proceeds = executor.quote(address(eth), 10e18);
        assertEq(proceeds, 18_900e6);
        vm.prank(makeAddr("anyone"));
        uint256 profit = bidder.fill(address(eth), 10e18, 3000, 500e6, block.timestamp);
        // 0.3 % of fee, and 1 % of slippage.
        assertGt(profit, 20_000e6 * 0.985 - proceeds);
        assertLt(profit, 20_000e6 * 0.997 - proceeds);
        assertEq(usdc.balanceOf(makeAddr("anyone")), profit);
        assertEq(vault.depositedIn(BACKSTOP, address(usdc)), proceeds);
        assertEq(usdc.balanceOf(address(vault)), proceeds);
        assertEq(usdc.balanceOf(address(bidder)) + eth.balanceOf(address(bidder)), 0);
        assertEq(eth.balanceOf(address(executor)), 0);
    }

    function test_no_fill_beyond_its_slippage() public {
        _openAndWait(200e18, 700);
        vm.expectRevert(bytes("Too little received"));
        bidder.fill(address(eth), 200e18, 3000, 0, block.timestamp);
        assertGt(bidder.fill(address(eth), 20e18, 3000, 0, block.timestamp), 0);
        // Somebody sells into the pool just before: his loss of time, nobody's of money.
        eth.mint(address(this), 100e18);
        eth.approve(address(router), 100e18);
        router.exactInputSingle(
            ISwapRouter.ExactInputSingleParams(
                address(eth), address(usdc), 3000, address(this), block.timestamp, 100e18, 0, 0
            )
        );
        vm.expectRevert(bytes("Too little received"));
        bidder.fill(address(eth), 20e18, 3000, 0, block.timestamp);
        assertEq(eth.balanceOf(address(executor)), 180e18);
    }

    function test_no_fill_while_the_lot_is_above_the_pool() public {
        _openAndWait(10e18, 0);
        vm.expectRevert(bytes("Too little received"));
        bidder.fill(address(eth), 10e18, 3000, 0, block.timestamp);
    }

    function test_bidder_refuses() public {
        vm.expectRevert(abi.encodeWithSelector(UniswapBidder.OnlyExecutor.selector, address(this)));
        bidder.onLotBought(address(eth), 1, 1, "");
        uint256 late = block.timestamp - 1;
        vm.expectRevert(abi.encodeWithSelector(UniswapBidder.TooLate.selector, late));
        bidder.fill(address(eth), 1, 3000, 0, late);
    }

    /* THE EXECUTOR'S CALL BACK */

    bytes private _reentry;
    bytes private _reverted;
    uint256 private _allowance;

    function onLotBought(address token, uint256 bought, uint256 proceeds, bytes calldata data) external {
        assertEq(TestToken(token).balanceOf(address(this)), bought, "first the tokens");
        assertEq(data, hex"abcd");
        if (_reentry.length != 0) (, _reverted) = address(executor).call(_reentry);
        usdc.mint(address(this), proceeds);
        usdc.approve(address(executor), _allowance);
    }

    function test_a_buyer_that_does_not_pay_gets_nothing() public {
        _openAndWait(10e18, 0);
        _allowance = 2_099e6;
        vm.expectRevert();
        executor.buyWithCallback(address(eth), 1e18, type(uint256).max, hex"abcd");
        _allowance = 2_100e6;
        vm.expectRevert(
            abi.encodeWithSelector(LiquidationExecutor.ProceedsAboveMax.selector, 2_100e6, 2_099e6)
        );
        executor.buyWithCallback(address(eth), 1e18, 2_099e6, hex"abcd");
        (uint256 bought, uint256 proceeds) =
            executor.buyWithCallback(address(eth), 1e18, type(uint256).max, hex"abcd");
        assertEq(bought, 1e18);
        assertEq(proceeds, 2_100e6);
        assertEq(vault.depositedIn(BACKSTOP, address(usdc)), 2_100e6);
        vm.expectRevert(abi.encodeWithSelector(LiquidationExecutor.NothingToSell.selector, address(eth)));
        executor.buyWithCallback(address(eth), 0, type(uint256).max, hex"abcd");
    }

    function test_no_reentrance() public {
        _allowance = type(uint256).max;
        bytes[3] memory calls = [
            abi.encodeCall(executor.open, (address(eth))),
            abi.encodeCall(executor.buy, (address(eth), 1, type(uint256).max)),
            abi.encodeCall(executor.buyWithCallback, (address(eth), 1, type(uint256).max, ""))
        ];
        for (uint256 i; i < 3; ++i) {
            _openAndWait(1e18, 0);
            _reentry = calls[i];
            executor.buyWithCallback(address(eth), 1e18, type(uint256).max, hex"abcd");
            assertEq(bytes4(_reverted), ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
            eth.transfer(address(1), 1e18);
        }
    }

    /* HELPERS */

    function uniswapV3MintCallback(uint256 amount0, uint256 amount1, bytes calldata) external {
        TestToken token0 = TestToken(IPool(msg.sender).token0());
        token0.mint(msg.sender, amount0);
        (token0 == eth ? usdc : eth).mint(msg.sender, amount1);
    }

    function _create(string memory path, bytes memory args) private returns (address at) {
        string memory file = vm.readFile(string.concat(UNISWAP, path));
        bytes memory code = abi.encodePacked(vm.parseJsonBytes(file, ".bytecode"), args);
        assembly {
            at := create(0, add(code, 32), mload(code))
        }
        assertNotEq(at, address(0));
    }

    function _createPool(IFactory factory, uint256 ethAmount, uint256 usdcAmount) private {
        (uint256 amount0, uint256 amount1) =
            address(eth) < address(usdc) ? (ethAmount, usdcAmount) : (usdcAmount, ethAmount);
        IPool pool = IPool(factory.createPool(address(eth), address(usdc), 3000));
        pool.initialize(
            uint160(FixedPointMathLib.sqrt(FixedPointMathLib.fullMulDiv(amount1, 2 ** 192, amount0)))
        );
        uint128 liquidity = uint128(FixedPointMathLib.sqrt(amount0 * amount1));
        pool.mint(address(this), -887_220, 887_220, liquidity, "");
    }

    function _openAndWait(uint256 amount, uint256 elapsed) private {
        eth.mint(address(executor), amount);
        _refresh();
        executor.open(address(eth));
        if (elapsed == 0) return;
        vm.warp(block.timestamp + elapsed);
        oracle.update(_flat(_now(), 2_000e8));
    }

    function _refresh() private {
        vm.warp(block.timestamp + SLOT);
        oracle.update(_flat(_now(), 2_000e8));
    }
}
