// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {DynamicRisk} from "../../../src/hub/DynamicRisk.sol";
import {LedgerBase} from "../../../src/hub/ledger/LedgerBase.sol";
import {LiquidationAuction} from "../../../src/hub/LiquidationAuction.sol";
import {IHubGateway} from "../../../src/interfaces/IGateways.sol";
import {ILedger} from "../../../src/interfaces/ILedger.sol";
import {IMarginEngine} from "../../../src/interfaces/IMarginEngine.sol";
import {IRiskConfig} from "../../../src/interfaces/IRiskConfig.sol";
import {Future} from "../../../src/margin/Future.sol";
import {Option} from "../../../src/margin/Option.sol";
import {Perp} from "../../../src/margin/Perp.sol";
import {LiquidationBase} from "./LiquidationBase.sol";

/// Nothing ever blocks repay, reduce, liquidate: each input of margin at its worst, and all of them together.
/// Alice: 17,000 USDC and 2 staked ETH, which lie on another chain; 45 ETH long from 2,000 and a call on one.
contract WaysOutTest is LiquidationBase {
    uint32 private constant OTHER = 40_002;
    uint256 private constant STAKED = 3;
    uint256 private constant CALL = 2;
    uint256 private constant STAKED_FEED = 2;
    uint16 private constant VOLATILITY = 3;
    uint16 private constant FIXING = 4;
    uint16 private constant OTHER_TIME = 5;
    uint16 private constant REALISED = 6;
    uint16 private constant DEPTH = 7;
    uint256 private constant STAKED_PERP = 3;
    uint256 private constant STAKED_FUTURE = 4;
    uint256 private constant STAKED_CALL = 5;

    Option private option;
    DynamicRisk private risk;
    bytes32 private account;
    bytes32 private short;
    bytes32 private bidder;
    address private staked = makeAddr("staked");

    function setUp() public override {
        super.setUp();
        oracle.set(STAKED_FEED, 2000e18);
        oracle.set(VOLATILITY, 0.6e18);
        oracle.set(REALISED, 0.6e18);
        oracle.set(DEPTH, 100_000_000e18);
        _listOther();
        _listCall();
        risk = new DynamicRisk(address(this), riskConfig, oracle, clearinghouse);
        riskConfig.setDynamicRisk(address(risk));
        risk.setInputs(
            ETH_FEED,
            DynamicRisk.FeedInputs(
                REALISED, VOLATILITY, DEPTH, 6000, 50_000, 50_000, 10_000, 1_000_000, 1_000_000
            )
        );
        _refresh();

        account = _trader(alice, 17_000e6);
        vm.prank(alice);
        clearinghouse.openRow(account, STAKED);
        _counter(2e18);
        short = _trader(bob, 200_000e6);
        bidder = _deposit(carol, usdc, 200_000e6);
        _trade(account, short, 45e18);
        (uint256 mark,) = option.mark(CALL);
        clearinghouse.trade(CALL, account, short, 1e18, mark);
        assertEq(_start(account), 0, "healthy");
        _price(1680e18);
        oracle.set(STAKED_FEED, 1680e18);
    }

    function _listOther() private {
        riskConfig.setUnderlying(STAKED_FEED, IRiskConfig.Underlying(2000, 1200, 5000, 2000));
        riskConfig.setAsset(
            STAKED,
            IRiskConfig.Asset(OTHER, 1, staked, 18, uint16(STAKED_FEED), false, 8000, 9000, 1000e18, 1e18)
        );
        riskConfig.setSilence(IRiskConfig.Silence(2 hours, 6 hours, 10 hours));
        riskConfig.setLivenessFeed(OTHER, OTHER_TIME);
        oracle.set(OTHER_TIME, block.timestamp * WAD);
        _hear();
    }

    function _listCall() private {
        option = new Option(address(this), oracle, riskConfig);
        riskConfig.setGrid(IRiskConfig.Grid(4000, 3000, 100, 8000, 4000, 2000));
        riskConfig.setInstrument(
            CALL, IRiskConfig.Instrument(address(option), uint16(ETH_FEED), 1000e18, 1000e18, 500)
        );
        option.list(
            CALL, true, 2200e18, uint40(block.timestamp + 30 days), uint16(ETH_FEED), FIXING, VOLATILITY
        );
    }

    /// A message of the other chain arrives that was sent now.
    function _hear() private {
        vm.mockCall(
            address(hubGateway),
            abi.encodeCall(IHubGateway.lastSpokeTime, (OTHER)),
            abi.encode(block.timestamp)
        );
    }

    function _counter(uint128 value) private {
        vm.prank(address(hubGateway));
        clearinghouse.receiveCounter(OTHER, 1, uint64(block.timestamp), staked, account, value);
    }

    function _refresh() private {
        uint256[] memory ids = new uint256[](2);
        (ids[0], ids[1]) = (PERP, CALL);
        risk.refresh(ETH_FEED, ids);
    }

    function _watch() private returns (ILedger.Liveness liveness) {
        uint256[] memory ids = new uint256[](1);
        ids[0] = STAKED;
        clearinghouse.watch(ids);
        (liveness,,) = clearinghouse.livenessOf(STAKED);
    }

    /* WAYS OUT */

    /// Money comes in, positions get smaller, and a stranger takes a part over.
    modifier thenNothingIsBlocked() {
        _;
        assertLt(_health(account).mm, 0, "liquidatable");
        _repay();
        _reduce();
        _liquidate();
    }

    function _repay() private {
        uint256 before = clearinghouse.freeCash(account);
        _deposit(alice, usdc, 100e6);
        assertEq(clearinghouse.freeCash(account), before + 100e18, "repay");
    }

    function _reduce() private {
        _trade(short, account, 1e18);
        assertEq(_size(account), 44e18, "reduce");
        (uint256 mark,) = option.mark(CALL);
        clearinghouse.trade(CALL, short, account, 0.5e18, mark);
        assertEq(clearinghouse.position(account, CALL).size, 0.5e18, "reduce the option");
    }

    function _liquidate() private {
        assertEq(_start(account), 1, "start");
        (uint256 taken,,) = _bid(carol, account, 0.1e18);
        assertEq(taken, 0.1e18);
        assertEq(_size(bidder), 4.4e18, "liquidate");
    }

    /* EACH INPUT AT ITS WORST */

    function test_byNothing() public thenNothingIsBlocked {}

    /// A wider interval never liquidates: MM takes its favourable end. So it is of a lower price.
    function test_byConfidence() public thenNothingIsBlocked {
        _price(1600e18);
        oracle.setConfidence(ETH_FEED, 0.02e18);
        oracle.setConfidence(STAKED_FEED, 1e18);
    }

    function test_byAValueThatIsParked() public thenNothingIsBlocked {
        oracle.setParked(ETH_FEED, 1);
        oracle.setParked(STAKED_FEED, 1e36);
    }

    function test_byTheAgeOfAllPrices() public thenNothingIsBlocked {
        _age();
        IMarginEngine.Health memory h = _health(account);
        assertFalse(h.fresh || h.inputsFresh);
    }

    function _age() private {
        vm.warp(block.timestamp + 7 days);
        oracle.setStale(ETH_FEED);
        oracle.setStale(STAKED_FEED);
        oracle.setStale(VOLATILITY);
    }

    function test_byVolatility() public thenNothingIsBlocked {
        _shake();
        assertEq(riskConfig.currentUnderlying(ETH_FEED).shockIm, 10_000, "all of the price");
    }

    function _shake() private {
        oracle.set(REALISED, 100e18);
        oracle.set(VOLATILITY, 10e18);
        _refresh();
    }

    /// Where nothing is bid, 45 ETH are more than the market is deep many times over.
    function test_byDepthAndSize() public thenNothingIsBlocked {
        _empty();
        assertEq(riskConfig.currentUnderlying(ETH_FEED).thinnessIm, (1 << 27) - 1);
    }

    function _empty() private {
        oracle.set(DEPTH, 0);
        _refresh();
    }

    function test_byOpenInterest() public thenNothingIsBlocked {
        _crowd();
    }

    function _crowd() private {
        DynamicRisk.FeedInputs memory i = risk.inputs(ETH_FEED);
        i.openInterest = 1;
        risk.setInputs(ETH_FEED, i);
        _refresh();
        for (uint256 id = PERP; id <= CALL; ++id) {
            IRiskConfig.Instrument memory instrument = riskConfig.instrument(id);
            instrument.maxOpenInterest = 1;
            riskConfig.setInstrument(id, instrument);
        }
    }

    function test_byMessagesThatAreLate() public thenNothingIsBlocked {
        vm.warp(block.timestamp + 7 days);
        oracle.set(OTHER_TIME, block.timestamp * WAD);
        assertEq(uint256(_watch()), uint256(ILedger.Liveness.Quiet));
    }

    function test_byAChainThatIsSilent() public thenNothingIsBlocked {
        _silence();
    }

    /// The other chain stands, and all that its claims counted for has faded.
    function _silence() private {
        vm.warp(block.timestamp + 7 hours);
        oracle.set(OTHER_TIME, (block.timestamp - 7 hours) * WAD);
        assertEq(uint256(_watch()), uint256(ILedger.Liveness.Suspect));
        vm.warp(block.timestamp + 10 hours);
    }

    function test_byARegression() public thenNothingIsBlocked {
        _regress();
    }

    function _regress() private {
        vm.warp(block.timestamp + 1);
        _counter(0);
        assertEq(clearinghouse.suspicions(OTHER), 1);
    }

    function test_byWhatAVaultLacks() public thenNothingIsBlocked {
        vm.prank(address(hubGateway));
        clearinghouse.receiveTotals(OTHER, 1, uint64(block.timestamp), staked, 2e18, 0, 2e18);
    }

    function test_byAPause() public thenNothingIsBlocked {
        clearinghouse.pauseNewRisk(uint64(block.timestamp + 3 days));
    }

    function test_byADepeg() public thenNothingIsBlocked {
        oracle.set(USDC_FEED, 0.5e18);
    }

    function test_byAllOfThemTogether() public thenNothingIsBlocked {
        _shake();
        _empty();
        _crowd();
        _regress();
        _silence();
        _age();
        clearinghouse.pauseNewRisk(uint64(block.timestamp + 3 days));
        oracle.set(USDC_FEED, 0.5e18);
    }

    /// Nobody's cash counts for IM then, so nobody bids; the auction opens all the same, and the backstop takes the account after its window.
    function test_byTheAgeOfTheSettlementTokensPrice() public {
        _fundWith(200_000e6);
        oracle.setStale(USDC_FEED);
        _repay();
        _reduce();
        assertEq(_start(account), 1);
        vm.expectPartialRevert(LiquidationAuction.BidderUnsafe.selector);
        _bid(carol, account, 0.1e18);
        vm.warp(block.timestamp + WINDOW);
        backstop.takeOver(account);
        assertGt(_size(backstopAccount), 0);
    }

    /* INTERVALS WIDER THAN A SHOCK */

    /// Until it is closed MM counts a position at the favourable end of its interval, and less afterwards, though nothing was given away.
    modifier whereAPriceIsUnsure() {
        Perp perp = new Perp(address(clearinghouse), oracle, riskConfig);
        Future future = new Future(address(this), oracle, riskConfig);
        _listStaked(STAKED_PERP, address(perp));
        _listStaked(STAKED_FUTURE, address(future));
        _listStaked(STAKED_CALL, address(option));
        uint40 expiry = uint40(block.timestamp + 30 days);
        future.list(STAKED_FUTURE, expiry, uint16(STAKED_FEED), FIXING);
        option.list(STAKED_CALL, true, 1700e18, expiry, uint16(STAKED_FEED), FIXING, VOLATILITY);
        _price(2000e18);
        _;
    }

    function _listStaked(uint256 id, address module) private {
        riskConfig.setInstrument(
            id, IRiskConfig.Instrument(module, uint16(STAKED_FEED), 1_000_000e18, 1000e18, 500)
        );
    }

    function _doubt() private returns (int256 mm) {
        _price(1600e18);
        oracle.setConfidence(STAKED_FEED, 0.3e18);
        IMarginEngine.Health memory h = _health(account);
        assertLt(h.mm, 0, "unhealthy");
        assertGt(h.equity, 0, "and solvent");
        return h.mm;
    }

    /// By the oracle's price. @return mm Afterwards.
    function _sell(uint256 id, uint256 size) private returns (int256 mm) {
        (uint256 mark,) = Perp(riskConfig.instrument(id).module).mark(id);
        clearinghouse.trade(id, short, account, size, mark);
        return _health(account).mm;
    }

    function _buy(uint256 id, uint256 size) private returns (int256 mm) {
        (uint256 mark,) = Perp(riskConfig.instrument(id).module).mark(id);
        clearinghouse.trade(id, account, short, size, mark);
        return _health(account).mm;
    }

    function test_aLinePastItsShockIsClosed() public whereAPriceIsUnsure {
        _buy(STAKED_PERP, 5e18);
        int256 mm = _doubt();
        assertLt(_sell(STAKED_PERP, 2e18), mm);
        _sell(STAKED_PERP, 3e18);
        assertEq(_start(account), 1, "start");
    }

    function test_aShortPastItsShockIsClosed() public whereAPriceIsUnsure {
        _sell(STAKED_PERP, 5e18);
        int256 mm = _doubt();
        assertLt(_buy(STAKED_PERP, 5e18), mm);
    }

    function test_aCurvePastItsShockIsClosed() public whereAPriceIsUnsure {
        _buy(STAKED_CALL, 5e18);
        int256 mm = _doubt();
        assertLt(_sell(STAKED_CALL, 2e18), mm);
        _sell(STAKED_CALL, 3e18);
    }

    /// Of a hedge either leg may go first: what is left counts by its favourable end, and is closed by what it is at a sure price.
    function test_aHedgePastItsShockIsClosed() public whereAPriceIsUnsure {
        _buy(STAKED_FUTURE, 5e18);
        _sell(STAKED_PERP, 5e18);
        int256 mm = _doubt();
        int256 open = _buy(STAKED_PERP, 5e18);
        assertGt(open, mm);
        assertLt(_sell(STAKED_FUTURE, 5e18), open);
    }

    /// More than covers the claim of two, of which 1.8 are credited; then what covers it.
    function test_aShortOverAClaimPastItsShockIsClosed() public whereAPriceIsUnsure {
        _sell(STAKED_PERP, 3e18);
        int256 mm = _doubt();
        assertLt(_buy(STAKED_PERP, 1.2e18), mm);
        _buy(STAKED_PERP, 1.8e18);
    }

    /// By neither measure: the interval is narrower than the shock, and the other leg was what covered it.
    function test_aHedgeWithinItsShockIsNot() public whereAPriceIsUnsure {
        _buy(STAKED_FUTURE, 5e18);
        _sell(STAKED_PERP, 5e18);
        _doubt();
        oracle.setConfidence(STAKED_FEED, 0.05e18);
        (uint256 mark,) = Perp(riskConfig.instrument(STAKED_PERP).module).mark(STAKED_PERP);
        vm.expectPartialRevert(LedgerBase.RiskNotReduced.selector);
        clearinghouse.trade(STAKED_PERP, account, short, 5e18, mark);
    }

    /// Nobody becomes liquidatable by an own trade: who is healthy by the interval alone waits, or puts in more.
    function test_whoIsHealthyByItsIntervalStaysSo() public whereAPriceIsUnsure {
        _deposit(alice, usdc, 10_000e6);
        _buy(STAKED_PERP, 20e18);
        _price(1450e18);
        oracle.setConfidence(STAKED_FEED, 0.3e18);
        assertGt(_health(account).mm, 0);
        vm.expectPartialRevert(LedgerBase.RiskNotReduced.selector);
        clearinghouse.trade(STAKED_PERP, short, account, 20e18, 1680e18);
    }
}
