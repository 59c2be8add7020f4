// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ILiquidationExecutor, ILotBuyer} from "../interfaces/ILiquidation.sol";

/// @notice Of Uniswap v3's SwapRouter, what is needed here.
interface ISwapRouter {
    struct ExactInputSingleParams {
        address tokenIn;
        address tokenOut;
        uint24 fee;
        address recipient;
        uint256 deadline;
        uint256 amountIn;
        uint256 amountOutMinimum;
        uint160 sqrtPriceLimitX96;
    }

    function exactInputSingle(ExactInputSingleParams calldata params) external returns (uint256 amountOut);
}

/// @title UniswapBidder
/// @notice An example to copy: buys collateral that the backstop sells and pays for it by selling it on Uniswap v3 in the same transaction. It needs
/// no money, holds none between calls, and gives what is left to whoever called.
contract UniswapBidder is ILotBuyer {
    using SafeERC20 for IERC20;

    error OnlyExecutor(address caller);
    error TooLate(uint256 deadline);

    ILiquidationExecutor public immutable executor;
    ISwapRouter public immutable router;
    IERC20 public immutable settlementToken;

    constructor(ILiquidationExecutor executor_, ISwapRouter router_, IERC20 settlementToken_) {
        (executor, router, settlementToken) = (executor_, router_, settlementToken_);
    }

    /// @param amount Token decimals; at most so much of the lot. The larger, the worse the pool's price.
    /// @param fee Of the pool, in hundredths of a bp.
    /// @param minProfit Settlement token decimals: the bound on slippage. Below it Uniswap's router reverts, and nothing has happened.
    /// @param deadline Seconds; a transaction that waited longer is void.
    /// @return profit What the caller got.
    function fill(address token, uint256 amount, uint24 fee, uint256 minProfit, uint256 deadline)
        external
        returns (uint256 profit)
    {
        if (block.timestamp > deadline) revert TooLate(deadline);
        executor.buyWithCallback(token, amount, type(uint256).max, abi.encode(fee, minProfit));
        profit = settlementToken.balanceOf(address(this));
        settlementToken.safeTransfer(msg.sender, profit);
    }

    /// @inheritdoc ILotBuyer
    function onLotBought(address token, uint256 bought, uint256 proceeds, bytes calldata data) external {
        if (msg.sender != address(executor)) revert OnlyExecutor(msg.sender);
        (uint24 fee, uint256 minProfit) = abi.decode(data, (uint24, uint256));
        IERC20(token).forceApprove(address(router), bought);
        router.exactInputSingle(
            ISwapRouter.ExactInputSingleParams({
                tokenIn: token,
                tokenOut: address(settlementToken),
                fee: fee,
                recipient: address(this),
                deadline: block.timestamp,
                amountIn: bought,
                amountOutMinimum: proceeds + minProfit,
                sqrtPriceLimitX96: 0
            })
        );
        settlementToken.forceApprove(address(executor), proceeds);
    }
}
