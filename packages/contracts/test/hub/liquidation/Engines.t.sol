// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {AccountSignatures} from "../../../src/hub/AccountSignatures.sol";
import {Books} from "../../../src/hub/Books.sol";
import {FixedBonus} from "../../../src/hub/engines/FixedBonus.sol";
import {LiquidationEngine} from "../../../src/hub/engines/LiquidationEngine.sol";
import {RequestForQuotes} from "../../../src/hub/engines/RequestForQuotes.sol";
import {LedgerBase} from "../../../src/hub/ledger/LedgerBase.sol";
import {IMarginEngine} from "../../../src/interfaces/IMarginEngine.sol";
import {IRiskConfig} from "../../../src/interfaces/IRiskConfig.sol";
import {Accounts} from "../../../src/libraries/Accounts.sol";
import {Perp} from "../../../src/margin/Perp.sol";
import {LiquidationBase} from "./LiquidationBase.sol";

/// @notice Engines beside the auction. Alice: 20,000 USDC and 45 ETH long from 2,000: liquidatable below 1,767.7, insolvent below 1,555.6.
abstract contract EngineTest is LiquidationBase {
    bytes32 internal account;
    bytes32 internal short;
    bytes32 internal bidder;
    address internal perp;

    function setUp() public virtual override {
        super.setUp();
        account = _trader(alice, 20_000e6);
        short = _trader(bob, 100_000e6);
        bidder = _deposit(carol, usdc, 100_000e6);
        _trade(account, short, 45e18);
        perp = riskConfig.instrument(PERP).module;
    }

    function _assertSums() internal view {
        bytes32[] memory accounts = new bytes32[](5);
        (accounts[0], accounts[1], accounts[2], accounts[3], accounts[4]) =
        (account, short, bidder, fundAccount, backstopAccount);
        _assertLedger(accounts);
    }
}

contract LedgerOfEnginesTest is EngineTest {
    address private immutable stranger = makeAddr("stranger");

    function _liquidate(address engine_, uint256 fraction, uint256 payment) private {
        vm.prank(engine_);
        clearinghouse.liquidate(account, bidder, fraction, payment);
    }

    function test_onlyAnEngineOfAllItsClasses() public {
        _price(1700e18);
        vm.expectRevert(abi.encodeWithSelector(Books.NotItsClass.selector, stranger, PERP));
        _liquidate(stranger, 0.1e18, 0);
        clearinghouse.setEngine(stranger, perp, true);
        _liquidate(stranger, 0.1e18, 0);
        // Another module of the same account is another class.
        Perp other = new Perp(address(clearinghouse), oracle, riskConfig);
        riskConfig.setInstrument(
            PERP + 1, IRiskConfig.Instrument(address(other), uint16(ETH_FEED), 1_000_000e18, 1000e18, 500)
        );
        _price(2000e18);
        clearinghouse.trade(PERP + 1, account, short, 1e18, 2000e18);
        _price(1700e18);
        vm.expectPartialRevert(Books.NotItsClass.selector);
        _liquidate(stranger, 0.1e18, 0);
        clearinghouse.setEngine(stranger, address(other), true);
        _liquidate(stranger, 0.1e18, 0);
        clearinghouse.setEngine(stranger, perp, false);
        vm.expectPartialRevert(Books.NotItsClass.selector);
        _liquidate(stranger, 0.1e18, 0);
    }

    function test_onlyTheOwnerListsEngines() public {
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, stranger));
        clearinghouse.setEngine(stranger, perp, true);
    }

    /// What a listed engine can't do, however it is written.
    function test_noEngineTouchesTheHealthyOrTheFund() public {
        clearinghouse.setEngine(stranger, perp, true);
        vm.expectRevert(abi.encodeWithSelector(Books.NotLiquidatable.selector, account));
        _liquidate(stranger, 0.1e18, 0);
        _price(1700e18);
        vm.startPrank(stranger);
        vm.expectRevert(LedgerBase.Unauthorised.selector);
        clearinghouse.liquidate(account, fundAccount, 0.1e18, 0);
        vm.expectRevert(LedgerBase.Unauthorised.selector);
        clearinghouse.liquidate(account, backstopAccount, 0.1e18, 0);
        vm.expectRevert(LedgerBase.Unauthorised.selector);
        clearinghouse.liquidate(fundAccount, bidder, 0.1e18, 0);
        vm.expectRevert(LedgerBase.Unauthorised.selector);
        clearinghouse.transferFraction(account, bidder, 0.1e18, 0);
        vm.expectRevert(LedgerBase.Unauthorised.selector);
        clearinghouse.moveCash(account, bidder, 1);
        vm.expectRevert(LedgerBase.Unauthorised.selector);
        clearinghouse.socialise(account, 1);
        vm.stopPrank();
    }

    function test_noBidderIsLeftWithoutMargin() public {
        clearinghouse.setEngine(stranger, perp, true);
        bytes32 poor = _deposit(stranger, usdc, 100e6);
        _price(1700e18);
        vm.prank(stranger);
        vm.expectPartialRevert(LedgerBase.InsufficientMargin.selector);
        clearinghouse.liquidate(account, poor, 1e18, 100e18);
    }
}

contract FixedBonusTest is EngineTest {
    FixedBonus private fixedBonus;

    function setUp() public override {
        super.setUp();
        fixedBonus = new FixedBonus(clearinghouse, engine, riskConfig, auction, 100e18, 0.01e18, 0.5e18);
        clearinghouse.setEngine(address(fixedBonus), perp, true);
    }

    function _take(address who, uint256 fraction, uint256 maxPayment)
        private
        returns (uint256 taken, uint256 payment)
    {
        vm.prank(who);
        return fixedBonus.take(account, bidder, fraction, maxPayment);
    }

    /// 45 ETH at 1,700: equity 6,500, of the notional of 76,500 one per cent is the bonus.
    function test_paysEquityLessTheBonusUpToTheBuffer() public {
        _price(1700e18);
        assertEq(fixedBonus.price(account), 5735e18);
        (uint256 taken, uint256 payment) = _take(carol, 1e18, type(uint256).max);
        assertEq(payment, (5735e18 * taken + 1e18 - 1) / 1e18);
        assertLt(taken, 1e18);
        assertGt(_health(account).mm, 0, "out of danger");
        assertApproxEqAbs(_bufferMargin(account), 0, 1e15, "and no further than the buffer");
        assertEq(_size(bidder), int256(45e18 * taken / 1e18));
        _assertSums();
        vm.expectRevert(abi.encodeWithSelector(LiquidationEngine.NotLiquidatable.selector, account));
        _take(carol, 1e18, type(uint256).max);
    }

    /// Little equity is left: the bonus takes no more than the floor allows.
    function test_paysTheFloorAtLeast() public {
        _price(1560e18);
        int256 equity = _health(account).equity;
        assertEq(equity, 200e18);
        assertEq(fixedBonus.price(account), 100e18);
    }

    function test_endsAnAuctionThatItCures() public {
        _price(1700e18);
        _start(account);
        _take(carol, 1e18, type(uint256).max);
        assertEq(auction.auction(account).startedAt, 0);
    }

    function test_leavesInsolventAndStaleOnesToTheAuction() public {
        _price(1500e18);
        vm.expectRevert(abi.encodeWithSelector(LiquidationEngine.LeftToTheAuction.selector, account));
        _take(carol, 1e18, type(uint256).max);
        _price(1650e18);
        oracle.setStale(ETH_FEED);
        vm.expectRevert(abi.encodeWithSelector(LiquidationEngine.PricesNotFresh.selector, account));
        _take(carol, 1e18, type(uint256).max);
    }

    function test_leavesRegressedOnesToTheAuction() public {
        vm.warp(block.timestamp + 1);
        vm.prank(address(hubGateway));
        clearinghouse.receiveCounter(EID, 1, uint64(block.timestamp), address(usdc), account, 19_999e6);
        _price(1650e18);
        vm.expectRevert(abi.encodeWithSelector(LiquidationEngine.LeftToTheAuction.selector, account));
        _take(carol, 1e18, type(uint256).max);
    }

    function test_refusals() public {
        _price(1700e18);
        vm.expectRevert(abi.encodeWithSelector(FixedBonus.NotController.selector, bidder, bob));
        _take(bob, 1e18, type(uint256).max);
        vm.expectPartialRevert(LiquidationEngine.PaymentTooHigh.selector);
        _take(carol, 1e18, 1e18);
        vm.expectPartialRevert(LiquidationEngine.TakenTooSmall.selector);
        _take(carol, 1, type(uint256).max);
        vm.expectPartialRevert(LiquidationEngine.TakenTooSmall.selector);
        _take(carol, 0, type(uint256).max);
        vm.expectRevert(FixedBonus.InvalidTerms.selector);
        new FixedBonus(clearinghouse, engine, riskConfig, auction, 0, 0.01e18, 0);
        vm.expectRevert(FixedBonus.InvalidTerms.selector);
        new FixedBonus(clearinghouse, engine, riskConfig, auction, 0, 1e18 + 1, 1e18);
    }

    /// Invariant 7: at any price at which it sells, the buffer ratio rises and is not passed, and the price is never zero.
    function testFuzz_raisesTheBufferAndNeverPassesIt(uint256 price, uint256 fraction) public {
        price = bound(price, 1556e18, 1767e18);
        fraction = bound(fraction, 0.02e18, 1e18);
        _price(price);
        int256 before = _bufferMargin(account);
        uint256 all = fixedBonus.price(account);
        assertGt(all, 0);
        assertLe(int256(all), _health(account).equity);
        vm.prank(carol);
        try fixedBonus.take(account, bidder, fraction, type(uint256).max) returns (uint256 taken, uint256) {
            assertGt(_bufferMargin(account), before);
            if (taken < 1e18) assertLe(_bufferMargin(account), 1e15);
            _assertSums();
        } catch (bytes memory reason) {
            assertEq(bytes4(reason), LiquidationEngine.TakenTooSmall.selector);
        }
    }
}

contract RequestForQuotesTest is EngineTest {
    RequestForQuotes private rfq;
    uint256 private makerKey;
    address private maker;
    bytes32 private makerAccount;
    uint256 private otherKey;
    bytes32 private otherAccount;

    function setUp() public override {
        super.setUp();
        rfq = new RequestForQuotes(
            clearinghouse, engine, riskConfig, auction, keccak256("network"), 100e18, 0.3e18, 30, 60
        );
        clearinghouse.setEngine(address(rfq), perp, true);
        (maker, makerKey) = makeAddrAndKey("maker");
        makerAccount = _deposit(maker, usdc, 50_000e6);
        address other;
        (other, otherKey) = makeAddrAndKey("other maker");
        otherAccount = _deposit(other, usdc, 50_000e6);
        _price(1700e18);
    }

    function _quoteOf(bytes32 by, uint256 share) private view returns (RequestForQuotes.Quote memory) {
        return RequestForQuotes.Quote({
            account: account,
            bidder: by,
            fraction: 1e18,
            share: share,
            maxPayment: 7000e18,
            deadline: uint64(block.timestamp) + 90,
            nonce: 1
        });
    }

    function _sign(uint256 key, RequestForQuotes.Quote memory q) private view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, rfq.quoteHash(q));
        return abi.encodePacked(r, s, v);
    }

    function _bring(uint256 key, RequestForQuotes.Quote memory q) private {
        bytes memory signature = _sign(key, q);
        rfq.quote(q, signature);
    }

    function test_sellsToTheBestQuote() public {
        rfq.request(account);
        _bring(makerKey, _quoteOf(makerAccount, 0.9e18));
        _bring(otherKey, _quoteOf(otherAccount, 0.95e18));
        RequestForQuotes.Quote memory late = _quoteOf(makerAccount, 0.95e18);
        bytes memory signature = _sign(makerKey, late);
        vm.expectRevert(abi.encodeWithSelector(RequestForQuotes.NotBetter.selector, 0.95e18, 0.95e18));
        rfq.quote(late, signature);
        vm.expectPartialRevert(RequestForQuotes.WindowOpen.selector);
        rfq.settle(account);
        skip(30);
        int256 equity = _health(account).equity;
        int256 cash = clearinghouse.cash(account);
        assertTrue(rfq.settle(account));
        int256 size = _size(otherAccount);
        assertGt(size, 0);
        // A share of its cash has gone with the positions, and 95% of that share of equity has come.
        assertApproxEqAbs(clearinghouse.cash(account), cash + size * (equity * 95 / 100 - cash) / 45e18, 1e12);
        assertGt(_health(account).mm, 0);
        vm.expectRevert(abi.encodeWithSelector(RequestForQuotes.NoRequest.selector, account));
        rfq.settle(account);
    }

    /// A maker who can't pay when it is time has cost the window; the auction was there all along.
    function test_aQuoteThatCantBeFilledEndsTheRequestOnly() public {
        rfq.request(account);
        _bring(makerKey, _quoteOf(makerAccount, 1e18));
        vm.prank(maker);
        clearinghouse.withdraw(makerAccount, USDC, maker, 50_000e6);
        _start(account);
        skip(30);
        assertFalse(rfq.settle(account));
        assertEq(_size(account), 45e18);
        rfq.request(account);
        (uint256 taken,,) = _bid(carol, account, 1e18);
        assertGt(taken, 0);
    }

    function test_withoutQuotesNothingIsSold() public {
        rfq.request(account);
        skip(30);
        assertFalse(rfq.settle(account));
        rfq.request(account);
        skip(90);
        vm.expectPartialRevert(RequestForQuotes.WindowClosed.selector);
        rfq.settle(account);
        rfq.request(account);
    }

    function test_curedInTheWindowItIsNotSold() public {
        rfq.request(account);
        _bring(makerKey, _quoteOf(makerAccount, 0.9e18));
        skip(30);
        _price(2000e18);
        assertFalse(rfq.settle(account));
        assertEq(_size(account), 45e18);
    }

    function test_refusedQuotes() public {
        RequestForQuotes.Quote memory q = _quoteOf(makerAccount, 0.9e18);
        bytes memory signature = _sign(makerKey, q);
        vm.expectRevert(abi.encodeWithSelector(RequestForQuotes.NoRequest.selector, account));
        rfq.quote(q, signature);
        rfq.request(account);
        vm.expectPartialRevert(RequestForQuotes.AlreadyRequested.selector);
        rfq.request(account);

        signature = _sign(otherKey, q);
        vm.expectPartialRevert(AccountSignatures.BadSignature.selector);
        rfq.quote(q, signature);
        q.share = 0.3e18 - 1;
        _refuse(q, RequestForQuotes.ShareOutsideBounds.selector);
        q.share = 1e18 + 1;
        _refuse(q, RequestForQuotes.ShareOutsideBounds.selector);
        q.share = 0.9e18;
        q.deadline -= 1;
        _refuse(q, RequestForQuotes.QuoteTooShort.selector);
        q.deadline += 1;
        q.maxPayment = 50_001e18;
        _refuse(q, RequestForQuotes.CashMissing.selector);
        q.maxPayment = 7000e18;
        vm.expectRevert(AccountSignatures.NotController.selector);
        rfq.cancel(q);
        vm.prank(maker);
        rfq.cancel(q);
        _refuse(q, RequestForQuotes.QuoteUsed.selector);
        q.nonce = 2;
        skip(30);
        _refuse(q, RequestForQuotes.WindowClosed.selector);
        vm.expectRevert(RequestForQuotes.OnlyItself.selector);
        rfq.fill(q);
    }

    function _refuse(RequestForQuotes.Quote memory q, bytes4 reason) private {
        bytes memory signature = _sign(makerKey, q);
        vm.expectPartialRevert(reason);
        rfq.quote(q, signature);
    }

    /// One quote is one sale, whatever windows come later.
    function test_aQuoteIsUsedOnce() public {
        rfq.request(account);
        RequestForQuotes.Quote memory q = _quoteOf(makerAccount, 0.9e18);
        q.fraction = 0.1e18;
        q.deadline += 1000;
        _bring(makerKey, q);
        skip(30);
        assertTrue(rfq.settle(account));
        rfq.request(account);
        _refuse(q, RequestForQuotes.QuoteUsed.selector);
    }

    function test_onlyWhatMayBeSoldIsAskedFor() public {
        _price(2000e18);
        vm.expectRevert(abi.encodeWithSelector(LiquidationEngine.NotLiquidatable.selector, account));
        rfq.request(account);
        _price(1500e18);
        vm.expectRevert(abi.encodeWithSelector(LiquidationEngine.LeftToTheAuction.selector, account));
        rfq.request(account);
        vm.expectRevert(RequestForQuotes.InvalidTerms.selector);
        new RequestForQuotes(clearinghouse, engine, riskConfig, auction, 0, 0, 0, 30, 60);
    }
}
