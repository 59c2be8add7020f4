// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Test, stdJson} from "forge-std/Test.sol";
import {Black76} from "../../src/libraries/Black76.sol";

/// @notice Vectors of the twin, which is held against 50 decimals in TypeScript.
contract Black76Test is Test {
    using stdJson for string;

    function values(uint256 forward, uint256 strike, uint256 deviation)
        external
        pure
        returns (uint256 call, uint256 put)
    {
        return Black76.values(forward, strike, deviation);
    }

    function test_vectors() public view {
        string memory json = vm.readFile("test/fixtures/black76.json");
        uint256[] memory forwards = json.readUintArray(".forward");
        uint256[] memory strikes = json.readUintArray(".strike");
        uint256[] memory deviations = json.readUintArray(".deviation");
        uint256[] memory calls = json.readUintArray(".call");
        uint256[] memory puts = json.readUintArray(".put");
        assertGt(forwards.length, 200);
        for (uint256 n; n < forwards.length; ++n) {
            (uint256 call, uint256 put) = Black76.values(forwards[n], strikes[n], deviations[n]);
            assertEq(call, calls[n]);
            assertEq(put, puts[n]);
        }
    }

    /// @dev At the forward, call = put = F (2Φ(s/2) − 1): 0.0796556745540579... for s = 0.2.
    function test_atTheForward() public pure {
        (uint256 call, uint256 put) = Black76.values(1e18, 1e18, 0.2e18);
        assertEq(call, put);
        assertApproxEqAbs(call, 79655674554057963, 2000);
    }

    function testFuzz_boundsAndParity(uint256 forward, uint256 strike, uint256 deviation) public pure {
        forward = bound(forward, 1, (1 << 120) - 1);
        strike = bound(strike, 1, (1 << 120) - 1);
        (uint256 call, uint256 put) =
            Black76.values(forward, strike, bound(deviation, Black76.MIN_DEVIATION, Black76.MAX_DEVIATION));
        assertLe(call, forward);
        assertLe(put, strike);
        assertEq(int256(call) - int256(put), int256(forward) - int256(strike));
    }

    /// The same from logarithms that are taken one by one, within the bound of both.
    function testFuzz_valueIsOneOfBoth(uint256 forward, uint256 strike, uint256 deviation) public pure {
        forward = bound(forward, 1, (1 << bound(forward >> 128, 1, 120)) - 1);
        strike = bound(strike, 1, (1 << bound(strike >> 128, 1, 120)) - 1);
        deviation = bound(deviation, Black76.MIN_DEVIATION, Black76.MAX_DEVIATION);
        (uint256 call, uint256 put) = Black76.values(forward, strike, deviation);
        int256 s = Black76.scaled(deviation);
        (int256 lnForward, int256 lnStrike) = (Black76.ln(forward), Black76.ln(strike));
        uint256 error = (forward > strike ? forward : strike) / 2.5e15 + 2;
        uint256 one = Black76.value(true, forward, strike, lnForward, lnStrike, s);
        assertApproxEqAbs(one, call, error);
        assertGe(one + strike, forward, "not below what it would pay");
        uint256 other = Black76.value(false, forward, strike, lnForward, lnStrike, s);
        assertApproxEqAbs(other, put, error);
        assertEq(int256(one) - int256(other), int256(forward) - int256(strike));
    }

    /// Far from the strike, at the end of time, at both ends of volatility: the limits.
    function test_limits() public pure {
        uint256 far = (1 << 120) - 1;
        (uint256 call, uint256 put) = Black76.values(far, 1, 1e14);
        assertEq(call, far - 1);
        assertEq(put, 0);
        (call, put) = Black76.values(1, far, 1e14);
        assertEq(call, 0);
        assertEq(put, far - 1);
        // At the forward with hardly any deviation: F s ÷ √(2π) × (1 − s² ÷ 24).
        (call, put) = Black76.values(1e18, 1e18, 1e14);
        assertApproxEqAbs(call, 39894228023521, 300);
        // With all of it a call is worth nearly the forward, a put nearly the strike: 1 − 2 Φ(−5) of it.
        (call, put) = Black76.values(1e18, 1e18, 10e18);
        assertApproxEqAbs(call, 999999426696856326, 500);
        assertEq(call, put);
        // Ten deviations out.
        (call, put) = Black76.values(1e18, 2e18, 0.06e18);
        assertEq(call, 0);
        assertEq(put, 1e18);
    }

    function test_refusesWhatIsOutOfBounds() public {
        vm.expectRevert(abi.encodeWithSelector(Black76.InvalidForward.selector, 0));
        this.values(0, 1e18, 1e18);
        vm.expectRevert(abi.encodeWithSelector(Black76.InvalidStrike.selector, 1 << 120));
        this.values(1e18, 1 << 120, 1e18);
        vm.expectRevert(abi.encodeWithSelector(Black76.InvalidDeviation.selector, 0));
        this.values(1e18, 1e18, 0);
        vm.expectRevert(abi.encodeWithSelector(Black76.InvalidDeviation.selector, 10e18 + 1));
        this.values(1e18, 1e18, 10e18 + 1);
    }
}
