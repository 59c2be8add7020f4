// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {Books} from "../../src/hub/Books.sol";
import {Lending} from "../../src/hub/Lending.sol";
import {LedgerBase} from "../../src/hub/ledger/LedgerBase.sol";
import {Collateral} from "../../src/hub/ledger/Collateral.sol";
import {IClearinghouse} from "../../src/interfaces/IClearinghouse.sol";
import {ILedger} from "../../src/interfaces/ILedger.sol";
import {IMarginEngine} from "../../src/interfaces/IMarginEngine.sol";
import {Accounts} from "../../src/libraries/Accounts.sol";
import {SilenceFixture} from "./SilenceFixture.sol";

/// @notice DESIGN §4: negative cash pays positive cash a utilisation rate, by index; Σ negative cash ≤ a share of Σ backing.
/// Alice: 10 WETH at 2,000, which stand for 14,400 of initial margin. Bob: 100,000 of cash.
contract LendingTest is SilenceFixture {
    uint256 private constant YEAR = 365 days;
    bytes32 private carolAccount = Accounts.main(makeAddr("carol"));

    function setUp() public override {
        super.setUp();
        hub.setLending(2000, 8000, 0, 1000, 5000);
        openRow(alice, WETH);
        counter(WETH, aliceAccount, 10e18);
        fundCash(bobAccount, 100_000);
    }

    function _borrow(uint128 amount) private {
        vm.prank(alice);
        hub.withdraw(aliceAccount, USDC_A, alice, amount);
    }

    function _debt() private view returns (uint256) {
        return hub.lending().debt;
    }

    function _total() private view returns (uint256 total) {
        (total,) = hub.totalCash();
    }

    /// @dev §6.1, of accounts that are all there are.
    function _assertIdentity(uint256 dust) private view {
        int256 sum = hub.cash(aliceAccount) + hub.cash(bobAccount) + hub.cash(carolAccount)
            + hub.cash(fundAccount) + hub.cash(backstopAccount);
        int256 total = int256(_total()) - int256(_debt());
        int256 right = int256(uint256(hub.totalBacking())) + hub.lostBacking();
        assertEq(total + warmingTotal() + int256(hub.pnlPool(ETH_PERP)), right, "exact");
        assertLe(sum, total, "roundings are nobody's");
        assertGe(sum, total - int256(dust), "and no more than that");
    }

    /* BORROWING */

    function test_cashGoesBelowZeroAgainstClaims() public {
        vm.expectEmit(address(hub));
        emit ILedger.Borrowed(aliceAccount, 10_000e18);
        _borrow(10_000e6);
        assertEq(hub.cash(aliceAccount), -10_000e18);
        assertEq(hub.freeCash(aliceAccount), 0);
        assertEq(hub.released(aliceAccount, alice, USDC_A), 10_000e6);
        assertEq(_debt(), 10_000e18);
        assertEq(_total(), 100_000e18, "positive cash is what it was");
        assertEq(hub.totalBacking(), 90_000e18);
        assertEq(hub.portfolio(aliceAccount).cash, -10_000e18);
        assertEq(engine.accountHealth(aliceAccount).equity, 10_000e18);
        assertApproxEqAbs(im(aliceAccount), 4400e18, 100, "negative cash counts in full");
        _assertIdentity(0);
    }

    function test_freeCashGoesFirst() public {
        fundCash(aliceAccount, 300);
        vm.expectEmit(address(hub));
        emit ILedger.Borrowed(aliceAccount, 700e18);
        _borrow(1000e6);
        assertEq(hub.cash(aliceAccount), -700e18);
    }

    function test_needsInitialMargin() public {
        vm.expectPartialRevert(LedgerBase.InsufficientMargin.selector);
        _borrow(14_401e6);
        oracle.set(FEED_ETH, 2000e18, 0, 0, false);
        vm.expectRevert(LedgerBase.PriceNotFresh.selector);
        _borrow(1e6);
        oracle.set(FEED_ETH, 2000e18);
        _borrow(14_399e6);
        // Nor does the claim leave that stands for it.
        vm.prank(alice);
        vm.expectPartialRevert(LedgerBase.InsufficientMargin.selector);
        hub.withdraw(aliceAccount, WETH, alice, 0.01e18);
    }

    function test_withoutClaimsNothingIsLent() public {
        fundCash(carolAccount, 10_000);
        vm.prank(bob);
        vm.expectRevert(
            abi.encodeWithSelector(LedgerBase.InsufficientMargin.selector, bobAccount, -int256(1e12))
        );
        hub.withdraw(bobAccount, USDC_A, bob, 100_000e6 + 1);
    }

    function test_onlyTheOwnerBorrows() public {
        vm.prank(bob);
        vm.expectRevert(LedgerBase.Unauthorised.selector);
        hub.withdraw(aliceAccount, USDC_A, bob, 1e6);
        vm.prank(alice);
        hub.setDelegate(aliceAccount, bob, true);
        vm.prank(bob);
        vm.expectRevert(LedgerBase.Unauthorised.selector);
        hub.withdraw(aliceAccount, USDC_A, bob, 1e6);
    }

    function test_cashIsNotTransferredOnCredit() public {
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(LedgerBase.InsufficientCash.selector, aliceAccount, 0, 1));
        hub.transferCash(aliceAccount, bobAccount, 1);
        vm.prank(auction);
        vm.expectRevert(abi.encodeWithSelector(LedgerBase.InsufficientCash.selector, aliceAccount, 0, 1));
        hub.moveCash(aliceAccount, bobAccount, 1);
    }

    function test_nothingIsLentWithoutTerms() public {
        hub.setLending(0, 8000, 0, 1000, 5000);
        vm.expectRevert(abi.encodeWithSelector(LedgerBase.InsufficientCash.selector, aliceAccount, 0, 1e18));
        _borrow(1e6);
    }

    /// 20 % of what is left at vaults: x <= 0.2 × (100,000 − x).
    function test_theLimitIsAShareOfBacking() public {
        counter(WETH, aliceAccount, 100e18);
        vm.expectRevert(abi.encodeWithSelector(Books.LendingLimit.selector, 16_667e18, 16_666.6e18));
        _borrow(16_667e6);
        _borrow(16_666e6);
        ILedger.Lent memory l = hub.lending();
        assertEq(l.debt, 16_666e18);
        assertEq(l.limit, 16_666.8e18);
    }

    /// What warms or waits in a pool lends nothing: it earns nothing.
    function test_theLimitIsAShareOfPositiveCashToo() public {
        counter(WETH, aliceAccount, 100e18);
        fundCash(carolAccount, 40_000);
        vm.prank(Accounts.owner(carolAccount));
        hub.approveVenue(carolAccount, venue, type(uint256).max);
        trade(ETH_PERP, bobAccount, carolAccount, 20e18, 2000e18);
        oracle.set(FEED_ETH, 3000e18);
        hub.settlePnl(carolAccount, ETH_PERP);
        assertEq(hub.pnlPool(ETH_PERP), 20_000e18);
        assertEq(_total(), 120_000e18);
        assertEq(hub.totalBacking(), 140_000e18);
        vm.expectRevert(abi.encodeWithSelector(Books.LendingLimit.selector, 24_001e18, 23_199.8e18));
        _borrow(24_001e6);
    }

    /// Above the limit there are only reductions, and nothing stands in their way.
    function test_beyondTheLimitOnlyReductions() public {
        counter(WETH, aliceAccount, 100e18);
        _borrow(10_000e6);
        vm.prank(bob);
        hub.withdraw(bobAccount, USDC_A, bob, 60_000e6);
        assertGt(_debt(), hub.lending().limit);
        vm.expectPartialRevert(Books.LendingLimit.selector);
        _borrow(1);
        fundCash(aliceAccount, 4000);
        assertEq(hub.cash(aliceAccount), -6000e18);
        vm.prank(alice);
        hub.withdraw(aliceAccount, WETH, alice, 50e18);
    }

    function test_aPauseOfNewRiskHoldsItBack() public {
        _borrow(100e6);
        uint64 until = uint64(block.timestamp + 1 hours);
        hub.pauseNewRisk(until);
        vm.expectRevert(abi.encodeWithSelector(LedgerBase.NewRiskIsPaused.selector, until));
        _borrow(1);
        fundCash(aliceAccount, 100);
        assertEq(hub.cash(aliceAccount), 0, "repaying goes on");
    }

    function test_neitherTheFundNorTheBackstopBorrows() public {
        vm.prank(fund);
        vm.expectRevert(abi.encodeWithSelector(LedgerBase.InsufficientCash.selector, fundAccount, 0, 1e18));
        hub.withdraw(fundAccount, USDC_A, fund, 1e6);
        vm.prank(backstop);
        vm.expectRevert(
            abi.encodeWithSelector(LedgerBase.InsufficientCash.selector, backstopAccount, 0, 1e18)
        );
        hub.releaseTo(backstopAccount, USDC_A, backstop, 1e6);
    }

    /// A profit that its loser may never pay is no margin for money that leaves (§6.5).
    function test_noDebtStandsOnProfit() public {
        fundCash(carolAccount, 30_000);
        vm.prank(Accounts.owner(carolAccount));
        hub.approveVenue(carolAccount, venue, type(uint256).max);
        trade(ETH_PERP, aliceAccount, carolAccount, 10e18, 2000e18);
        _borrow(9000e6);
        oracle.set(FEED_ETH, 3000e18);
        for (uint256 n; n < 12; ++n) {
            skip(10 minutes);
            oracle.set(FEED_ETH, 3000e18);
            engine.observe(FEED_ETH);
        }
        IMarginEngine.Health memory h = engine.accountHealth(aliceAccount);
        assertEq(h.pnl, 10_000e18);
        // 30,000 × 80 % − 18 × 3,000 × 10 % are 18,600 without the profit, of which 9,000 are owed.
        assertGt(h.im, 15_000e18);
        int256 owed = hub.cash(aliceAccount);
        assertApproxEqAbs(hub.marginWithoutProfit(aliceAccount), 18_600e18 + owed, 100);
        vm.expectPartialRevert(LedgerBase.InsufficientMargin.selector);
        _borrow(9601e6);
        vm.prank(alice);
        vm.expectPartialRevert(LedgerBase.InsufficientMargin.selector);
        hub.withdraw(aliceAccount, WETH, alice, 5e18);
        _borrow(9599e6);
    }

    /// However short a profit has stood, and whatever of it warms: it neither helps nor hurts.
    function testFuzz_marginWithoutProfitIsThatOfNone(uint256 price, uint256 stood, bool settled) public {
        fundCash(carolAccount, 90_000);
        vm.prank(Accounts.owner(carolAccount));
        hub.approveVenue(carolAccount, venue, type(uint256).max);
        trade(ETH_PERP, aliceAccount, carolAccount, 10e18, 2000e18);
        price = bound(price, 2000e18, 9000e18);
        oracle.set(FEED_ETH, price);
        for (uint256 n; n < stood % 12; ++n) {
            skip(10 minutes);
            oracle.set(FEED_ETH, price);
            engine.observe(FEED_ETH);
        }
        if (settled) {
            hub.settlePnl(carolAccount, ETH_PERP);
            hub.settlePnl(aliceAccount, ETH_PERP);
        }
        int256 margin = hub.marginWithoutProfit(aliceAccount);
        // The same at the same price, bought at it.
        assertApproxEqAbs(margin, int256(price * 8 - price * 18 / 10), 100);
        assertGe(engine.accountHealth(aliceAccount).im, margin - 100);
    }

    /// What negative cash owes is no loss that winners lend: that one is a quarter of what is left of claims.
    function test_aLossBeyondCashIsBoundedByWhatIsLeftOfClaims() public {
        fundCash(carolAccount, 30_000);
        vm.prank(Accounts.owner(carolAccount));
        hub.approveVenue(carolAccount, venue, type(uint256).max);
        trade(ETH_PERP, carolAccount, aliceAccount, 1e18, 2000e18);
        _borrow(8000e6);
        // Short 1 ETH: at 4,000 it has lost 2,000, where claims exceed debt by 32,000.
        oracle.set(FEED_ETH, 4000e18);
        _borrow(1e6);
        oracle.set(FEED_ETH, 2000e18);
        vm.prank(alice);
        hub.withdraw(aliceAccount, WETH, alice, 1e18);
        // 4 short are 4,000 of loss at 3,000; claims of 9 WETH exceed debt by 19,000.
        trade(ETH_PERP, carolAccount, aliceAccount, 3e18, 2000e18);
        oracle.set(FEED_ETH, 3000e18);
        _borrow(1e6);
        trade(ETH_PERP, carolAccount, aliceAccount, 2e18, 3000e18);
        oracle.set(FEED_ETH, 3500e18);
        // 4 × 1,500 + 2 × 500 are 7,000; claims exceed debt by 23,499.
        vm.expectRevert(
            abi.encodeWithSelector(
                LedgerBase.ExcessiveDebt.selector,
                aliceAccount,
                7000e18,
                engine.accountHealth(aliceAccount).equity - 1e18
            )
        );
        _borrow(1e6);
    }

    /* INTEREST */

    /// u is 10,000 ÷ 100,000; the rate 10 % × 10 ÷ 80 = 1.25 % a year.
    function test_interestGoesFromDebtToCash() public {
        _borrow(10_000e6);
        assertEq(hub.lending().rate, 0.0125e18);
        skip(YEAR);
        uint256 expected = 10_000 * uint256(FixedPointMathLib.expWad(0.0125e18));
        assertApproxEqAbs(hub.cash(aliceAccount), -int256(expected), 1e4, "views have it");
        assertEq(hub.portfolio(aliceAccount).cash, hub.cash(aliceAccount), "and so has margin");
        assertApproxEqAbs(hub.cash(bobAccount), int256(90_000e18 + expected), 1e6);
        int256 before = hub.cash(bobAccount);
        uint256 interest = hub.accrueInterest();
        assertEq(hub.cash(bobAccount), before, "to accrue changes nobody's cash");
        assertApproxEqAbs(interest, expected - 10_000e18, 1e4);
        assertEq(hub.accrueInterest(), 0);
        assertEq(hub.totalBacking(), 90_000e18, "nothing came in, nothing left");
        _assertIdentity(1e6);
    }

    function test_aboveTheKinkTheRateBends() public {
        hub.setLending(5000, 2500, 100, 1000, 5000);
        counter(WETH, aliceAccount, 100e18);
        _borrow(25_000e6);
        assertEq(hub.lending().rate, 0.1e18, "at the kink");
        _borrow(5000e6);
        // 10 % + 40 % × 5 ÷ 75.
        assertApproxEqAbs(hub.lending().rate, 0.126666666666666666e18, 1);
        vm.prank(bob);
        hub.withdraw(bobAccount, USDC_A, bob, 70_000e6);
        assertEq(_total(), _debt());
        assertEq(hub.lending().rate, 0.5e18, "all that is left is lent");
    }

    /// Whoever accrues how often: the same but for roundings.
    function testFuzz_howOftenIsNobodysChoice(uint256 seed, uint128 borrowed, uint256 time) public {
        counter(WETH, aliceAccount, 100e18);
        _borrow(uint128(bound(borrowed, 1, 16_600e6)));
        time = bound(time, 1, 3 * YEAR);
        uint256 start = block.timestamp;
        uint256 snapshot = vm.snapshotState();
        vm.warp(start + time);
        hub.accrueInterest();
        (int256 owed, int256 has) = (hub.cash(aliceAccount), hub.cash(bobAccount));
        vm.revertToState(snapshot);
        uint256 pokes = 1 + seed % 20;
        for (uint256 n; n < pokes; ++n) {
            vm.warp(start + (time * (n + 1)) / pokes - (n + 1 == pokes ? 0 : seed % (time / pokes + 1)));
            hub.accrueInterest();
        }
        // A unit of an index or of the exponent a time: 1e-18 of the debt, or of all cash.
        assertApproxEqAbs(hub.cash(aliceAccount), owed, 3 * 20_000 * (pokes + 1));
        assertApproxEqAbs(hub.cash(bobAccount), has, 3 * 110_000 * (pokes + 1));
        _assertIdentity(1e6 * pokes);
    }

    function test_depositingBeforeInterestIsAccruedGainsNothing() public {
        _borrow(10_000e6);
        skip(YEAR);
        fundCash(carolAccount, 100_000);
        hub.accrueInterest();
        assertEq(hub.cash(carolAccount), 100_000e18);
        _assertIdentity(1e6);
    }

    function test_theRateOfATimeIsThatOfItsUtilisation() public {
        _borrow(10_000e6);
        skip(YEAR);
        int256 before = hub.cash(aliceAccount);
        fundCash(carolAccount, 100_000 + 126);
        skip(YEAR);
        // Half the utilisation from the deposit on.
        assertApproxEqRel(
            uint256(-hub.cash(aliceAccount)),
            uint256(-before * FixedPointMathLib.expWad(0.00625e18) / 1e18),
            1e14
        );
    }

    /// Positive cash earns no more than debt pays. The rest bears what is lost next.
    function test_whereAllHaveLeftInterestWaitsForALoss() public {
        counter(WETH, aliceAccount, 100e18);
        fundCash(carolAccount, 40_000);
        vm.prank(Accounts.owner(carolAccount));
        hub.approveVenue(carolAccount, venue, type(uint256).max);
        _borrow(20_000e6);
        trade(ETH_PERP, bobAccount, carolAccount, 20e18, 2000e18);
        oracle.set(FEED_ETH, 3500e18);
        hub.settlePnl(carolAccount, ETH_PERP);
        assertEq(hub.pnlPool(ETH_PERP), 30_000e18);
        vm.prank(bob);
        hub.withdraw(bobAccount, USDC_A, bob, 92_000e6);
        // 18,000 of positive cash, 20,000 of debt.
        assertEq(_total(), 18_000e18);
        skip(YEAR);
        uint256 factor = uint256(FixedPointMathLib.expWad(0.5e18));
        assertApproxEqAbs(_total(), 18_000 * factor, 1e6);
        hub.accrueInterest();
        assertApproxEqAbs(_debt(), 20_000 * factor, 1e6);
        assertApproxEqAbs(hub.lostBacking(), -int256(2000 * (factor - 1e18)), 1e6);
        _assertIdentity(1e6);
    }

    function test_anIndexEndsAndNothingReverts() public {
        hub.setLending(5000, 1, 10_000, 10_000, 10_000);
        _borrow(10_000e6);
        skip(1000 * YEAR);
        hub.accrueInterest();
        assertEq(hub.lending().debtIndex, type(uint72).max);
        skip(1000 * YEAR);
        assertEq(hub.accrueInterest(), 0);
        fundCash(aliceAccount, 9_000_000);
        assertEq(hub.lending().debtIndex, type(uint72).max);
        _assertIdentity(1e12);
    }

    /* REPAYING */

    function testFuzz_everyCreditRepays(uint256 seed, uint128 amount, uint32 time) public {
        _borrow(10_000e6);
        skip(time % (30 days));
        int256 owed = hub.cash(aliceAccount);
        amount = uint128(bound(amount, 1, 20_000e6));
        if (seed % 3 == 0) {
            counter(USDC_B, aliceAccount, amount);
        } else if (seed % 3 == 1) {
            vm.prank(bob);
            hub.transferCash(bobAccount, aliceAccount, uint256(amount) * 1e12);
        } else {
            vm.prank(auction);
            hub.moveCash(bobAccount, aliceAccount, uint256(amount) * 1e12);
        }
        int256 left = owed + int256(uint256(amount) * 1e12);
        assertEq(hub.cash(aliceAccount), left);
        assertApproxEqAbs(_debt(), left < 0 ? uint256(-left) : 0, 10);
        _assertIdentity(1e6);
    }

    function test_whoOwesNothingIsFree() public {
        _borrow(10_000e6);
        skip(30 days);
        uint256 owed = uint256(-hub.cash(aliceAccount));
        vm.prank(bob);
        hub.transferCash(bobAccount, aliceAccount, owed);
        assertEq(hub.cash(aliceAccount), 0);
        assertEq(_debt(), 0);
        assertEq(hub.lending().rate, 0);
        oracle.set(FEED_ETH, 2000e18, 0, 0, false);
        vm.prank(alice);
        hub.withdraw(aliceAccount, WETH, alice, 10e18);
        int256 before = hub.cash(bobAccount);
        skip(YEAR);
        assertEq(hub.accrueInterest(), 0);
        assertEq(hub.cash(bobAccount), before);
    }

    function test_whatHasWarmedRepays() public {
        fundCash(carolAccount, 30_000);
        vm.prank(Accounts.owner(carolAccount));
        hub.approveVenue(carolAccount, venue, type(uint256).max);
        _borrow(5000e6);
        trade(ETH_PERP, aliceAccount, carolAccount, 1e18, 2000e18);
        oracle.set(FEED_ETH, 2500e18);
        hub.settlePnl(carolAccount, ETH_PERP);
        hub.settlePnl(aliceAccount, ETH_PERP);
        assertEq(hub.cash(aliceAccount), -5000e18, "profit warms first");
        skip(12 hours);
        int256 owed = hub.cash(aliceAccount);
        hub.warm(aliceAccount);
        assertEq(hub.cash(aliceAccount), owed + 250e18);
        _assertIdentity(1e6);
    }

    function test_lossesAreNotPaidOnCredit() public {
        fundCash(carolAccount, 30_000);
        vm.prank(Accounts.owner(carolAccount));
        hub.approveVenue(carolAccount, venue, type(uint256).max);
        _borrow(5000e6);
        trade(ETH_PERP, aliceAccount, carolAccount, 1e18, 2000e18);
        oracle.set(FEED_ETH, 1900e18);
        assertEq(hub.settlePnl(aliceAccount, ETH_PERP), 0);
        assertEq(hub.cash(aliceAccount), -5000e18);
        assertEq(hub.settlePnl(carolAccount, ETH_PERP), 0, "who waits for it waits");
    }

    /* SUSPECT CHAINS, REGRESSIONS */

    function test_whileBackingIsSuspectOnlyDebtIsRepaid() public {
        fundCash(aliceAccount, 1);
        _borrow(1001e6);
        counter(USDC_B, bobAccount, 100_000e6);
        silence(GRACE + 1);
        assertEq(hub.suspectAssets(), USDC_A);
        int256 owed = hub.cash(aliceAccount);
        vm.prank(alice);
        vm.expectPartialRevert(LedgerBase.InsufficientCash.selector);
        hub.withdraw(aliceAccount, USDC_B, alice, 1e6);
        // A deposit on a chain that is heard of repays, and no more of it matures.
        counter(USDC_B, aliceAccount, 400e6);
        assertEq(hub.cash(aliceAccount), owed + 400e18);
        counter(USDC_B, aliceAccount, 5000e6);
        int256 left = hub.cash(aliceAccount);
        assertGe(left, 0);
        assertLt(left, 1e12, "but for a unit of the token");
        uint256 repaid = (uint256(-owed - 400e18) + 1e12 - 1) / 1e12;
        assertEq(hub.row(aliceAccount, USDC_B).immature, 4600e6 - repaid);
        // On the suspect chain itself nothing matures at all.
        counter(USDC_A, carolAccount, 5e6);
        assertEq(hub.cash(carolAccount), 0);
        _assertIdentity(1e6);
    }

    function test_whoseCountersRegressedBorrowsNothing() public {
        counterAt(USDC_A, aliceAccount, 100e6, uint64(block.timestamp - 10));
        counter(USDC_A, aliceAccount, 50e6);
        vm.expectRevert(
            abi.encodeWithSelector(LedgerBase.InsufficientCash.selector, aliceAccount, 50e18, 51e18)
        );
        _borrow(51e6);
    }

    /// A booked regression takes cash, and makes no debt.
    function test_aRegressionMakesNoDebt() public {
        counterAt(USDC_A, aliceAccount, 100e6, uint64(block.timestamp - 10));
        _borrow(600e6);
        int256 owed = hub.cash(aliceAccount);
        assertEq(owed, -500e18);
        counter(USDC_A, aliceAccount, 0);
        IMarginEngine.Health memory h = engine.accountHealth(aliceAccount);
        assertEq(h.equity, 20_000e18 - 500e18);
        skip(1 hours);
        owed = hub.cash(aliceAccount);
        hub.bookRegression(aliceAccount, USDC_A);
        assertEq(hub.cash(aliceAccount), owed);
        assertEq(hub.lien(aliceAccount, USDC_A), 100e6);
        _assertIdentity(1e6);
    }

    /// All cash bears what is lost, debt bears none of it.
    function test_aCutTakesPositiveCashAlone() public {
        _borrow(10_000e6);
        short(USDC_A, 30_000e6);
        skip(1 hours);
        int256 owed = hub.cash(aliceAccount);
        int256 had = hub.cash(bobAccount);
        hub.repair(USDC_A);
        assertEq(hub.cash(aliceAccount), owed);
        assertApproxEqAbs(hub.cash(bobAccount), had - 30_000e18, 1e6);
        assertEq(hub.lostBacking(), 0);
        skip(1 hours);
        _assertIdentity(1e7);
    }

    /// The largest message: the first row of it accrues for all.
    function test_countersFitTheGasThatTheirMessageBuys() public {
        counter(WETH, aliceAccount, 100e18);
        _borrow(10_000e6);
        skip(1 hours);
        address usdc = token(USDC_A);
        vm.cool(address(hub));
        vm.cool(address(config));
        uint256 used;
        for (uint256 n; n < 40; ++n) {
            bytes32 account = bytes32(uint256(n + 1) << 96);
            vm.prank(gateway);
            uint256 before = gasleft();
            hub.receiveCounter(A, 1, uint64(block.timestamp), usdc, account, 5e6);
            used += before - gasleft();
            // SpokeGateway buys so much for a token and a row, and 80,000 beside.
            assertLt(used, 180_000 + (n + 1) * 140_000);
        }
        assertApproxEqAbs(_debt(), uint256(-hub.cash(aliceAccount)), 10);
    }

    /* TERMS */

    function test_terms() public {
        vm.expectEmit(address(hub));
        emit ILedger.LendingSet(5000, 9999, 1, 2, 10_000);
        hub.setLending(5000, 9999, 1, 2, 10_000);
        ILedger.Lent memory l = hub.lending();
        assertEq(l.share, 5000);
        assertEq(l.kink, 9999);
        assertEq(l.baseRate, 1);
        assertEq(l.kinkRate, 2);
        assertEq(l.fullRate, 10_000);
        assertEq(l.debtIndex, 1e18);
    }

    function test_termsAreBounded() public {
        vm.expectRevert(Lending.InvalidLending.selector);
        hub.setLending(5001, 8000, 0, 1000, 5000);
        vm.expectRevert(Lending.InvalidLending.selector);
        hub.setLending(2000, 0, 0, 1000, 5000);
        vm.expectRevert(Lending.InvalidLending.selector);
        hub.setLending(2000, 10_000, 0, 1000, 5000);
        vm.expectRevert(Lending.InvalidLending.selector);
        hub.setLending(2000, 8000, 1001, 1000, 5000);
        vm.expectRevert(Lending.InvalidLending.selector);
        hub.setLending(2000, 8000, 0, 5001, 5000);
        vm.expectRevert(Lending.InvalidLending.selector);
        hub.setLending(2000, 8000, 0, 1000, 10_001);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, alice));
        hub.setLending(2000, 8000, 0, 1000, 5000);
    }

    /// New terms count from now on.
    function test_newTermsDontReachBack() public {
        _borrow(10_000e6);
        skip(YEAR);
        int256 owed = hub.cash(aliceAccount);
        hub.setLending(2000, 8000, 5000, 5000, 5000);
        assertEq(hub.cash(aliceAccount), owed);
        skip(YEAR);
        assertApproxEqRel(hub.cash(aliceAccount), owed * FixedPointMathLib.expWad(0.5e18) / 1e18, 1e9);
    }
}
