// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Test} from "forge-std/Test.sol";
import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {AuctionMath} from "../../../src/hub/AuctionMath.sol";
import {Backstop} from "../../../src/hub/Backstop.sol";
import {Clearinghouse} from "../../../src/hub/Clearinghouse.sol";
import {InsuranceFund} from "../../../src/hub/InsuranceFund.sol";
import {LedgerBase} from "../../../src/hub/ledger/LedgerBase.sol";
import {LiquidationAuction} from "../../../src/hub/LiquidationAuction.sol";
import {RiskConfig} from "../../../src/hub/RiskConfig.sol";
import {IMarginEngine} from "../../../src/interfaces/IMarginEngine.sol";
import {IRiskConfig} from "../../../src/interfaces/IRiskConfig.sol";
import {IHubGateway, ISpokeGateway} from "../../../src/interfaces/IGateways.sol";
import {Accounts} from "../../../src/libraries/Accounts.sol";
import {MarginEngine} from "../../../src/margin/MarginEngine.sol";
import {Perp} from "../../../src/margin/Perp.sol";
import {HubGateway} from "../../../src/messaging/HubGateway.sol";
import {SpokeGateway} from "../../../src/messaging/SpokeGateway.sol";
import {TestToken} from "../../../src/mocks/TestToken.sol";
import {SignerEpochs} from "../../../src/oracle/SignerEpochs.sol";
import {ICollateralVault} from "../../../src/interfaces/ICollateralVault.sol";
import {CollateralVault} from "../../../src/spoke/CollateralVault.sol";
import {LiquidationExecutor} from "../../../src/spoke/LiquidationExecutor.sol";
import {OracleDouble} from "./OracleDouble.sol";
import {CLEARINGHOUSE_PARTS, newClearinghouse} from "../newClearinghouse.sol";
import {auctionTerms} from "./auctionTerms.sol";

/// The real hub on one chain: ledger, margin, gateways over the local lane, vault and executor. Only prices are set by hand,
/// and the test contract is the venue. ETH at 2,000; IM 20%, MM 12% of notional; buffer 15%.
abstract contract LiquidationBase is Test {
    uint256 internal constant WAD = 1e18;
    uint32 internal constant EID = 40_001;
    uint256 internal constant USDC_FEED = 0;
    uint256 internal constant ETH_FEED = 1;
    uint256 internal constant USDC = 1;
    uint256 internal constant WETH = 2;
    uint256 internal constant THIN_FEED = 2;
    uint256 internal constant THIN = 3;
    uint256 internal constant PERP = 1;
    uint256 internal constant WINDOW = 1 hours;
    uint32 internal constant COOL_DOWN = 10 days;
    uint32 internal constant EXIT_WINDOW = 2 days;

    OracleDouble internal oracle;
    RiskConfig internal riskConfig;
    Clearinghouse internal clearinghouse;
    MarginEngine internal engine;
    LiquidationAuction internal auction;
    Backstop internal backstop;
    InsuranceFund internal fund;
    HubGateway internal hubGateway;
    SpokeGateway internal spokeGateway;
    CollateralVault internal vault;
    LiquidationExecutor internal executor;
    TestToken internal usdc;
    TestToken internal weth;
    TestToken internal thin;

    bytes32 internal fundAccount;
    bytes32 internal backstopAccount;
    address internal alice = makeAddr("alice");
    address internal bob = makeAddr("bob");
    address internal carol = makeAddr("carol");
    address internal lp = makeAddr("lp");

    function setUp() public virtual {
        vm.warp(1_700_000_000);
        usdc = new TestToken("USD Coin", "USDC", 6);
        weth = new TestToken("Wrapped Ether", "WETH", 18);
        oracle = new OracleDouble();
        riskConfig = new RiskConfig(address(this), USDC_FEED);
        address endpoint = deployCode(
            "node_modules/@layerzerolabs/lz-evm-sdk-v2/artifacts/contracts/EndpointV2.sol/EndpointV2.json",
            abi.encode(EID, address(this))
        );
        _deployHub(endpoint);
        executor = new LiquidationExecutor(
            address(this),
            oracle,
            spokeGateway,
            address(usdc),
            backstopAccount,
            LiquidationExecutor.Terms(100, 500, 1 hours)
        );
        _configure();
        _price(2000e18);
    }

    function _deployHub(address endpoint) private {
        uint256 nonce = vm.getNonce(address(this));
        address[8] memory at;
        for (uint256 i; i < 8; ++i) {
            at[i] = vm.computeCreateAddress(address(this), nonce + CLEARINGHOUSE_PARTS + i);
        }
        LedgerBase.Modules memory modules = LedgerBase.Modules({
            gateway: at[2],
            auction: at[5],
            backstop: at[6],
            fund: at[7],
            marginEngine: IMarginEngine(at[1]),
            oracle: oracle,
            riskConfig: riskConfig
        });
        clearinghouse = newClearinghouse(address(this), modules);
        engine = new MarginEngine(clearinghouse, oracle, riskConfig);
        hubGateway = new HubGateway(endpoint, address(this), clearinghouse, riskConfig, 1, 15 minutes);
        vault = new CollateralVault(address(this), at[4], 1, "network", ICollateralVault(address(0)));
        spokeGateway = new SpokeGateway(
            endpoint,
            address(this),
            vault,
            EID,
            1,
            15 minutes,
            SignerEpochs(address(oracle)),
            ISpokeGateway(address(0))
        );
        auction = new LiquidationAuction(
            clearinghouse, engine, oracle, riskConfig, at[7], at[6], auctionTerms(ETH_FEED)
        );
        backstop = new Backstop(clearinghouse, engine, riskConfig, auction, at[7], WINDOW, address(this));
        fund = new InsuranceFund(
            usdc,
            InsuranceFund.Wiring(
                clearinghouse, engine, riskConfig, auction, vault, spokeGateway, hubGateway, address(backstop)
            ),
            EID,
            COOL_DOWN,
            EXIT_WINDOW
        );
        assertEq(address(fund), at[7]);
        fundAccount = fund.account();
        backstopAccount = backstop.account();
    }

    /// @dev Relayers' heartbeats go on meanwhile: after 14 days without one a hub isn't heard on its own chain.
    function _warp(uint256 to) internal {
        while (block.timestamp < to) {
            hubGateway.sendReleases(EID, new IHubGateway.ReleaseKey[](0));
            uint256 next = block.timestamp + 14 days;
            vm.warp(next < to ? next : to);
        }
    }

    /// @dev What the fund gets of a bid's payment (WAD).
    function _feeOf(uint256 payment) internal view returns (uint256) {
        return payment * auction.feeShare() / WAD;
    }

    function _configure() private {
        hubGateway.setPeer(EID, bytes32(uint256(uint160(address(spokeGateway)))));
        spokeGateway.setPeer(EID, bytes32(uint256(uint160(address(hubGateway)))));
        vault.setListed(address(usdc), true);
        vault.setListed(address(weth), true);
        executor.setListing(address(weth), uint16(ETH_FEED));
        backstop.setExecutor(EID, address(executor));
        oracle.set(USDC_FEED, WAD);
        riskConfig.setUnderlying(ETH_FEED, IRiskConfig.Underlying(2000, 1200, 5000, 2000));
        riskConfig.setAsset(
            USDC,
            IRiskConfig.Asset({
                eid: EID,
                epoch: 1,
                token: address(usdc),
                decimals: 6,
                feed: uint16(USDC_FEED),
                settlement: true,
                creditIm: 10_000,
                creditMm: 10_000,
                matureCap: 10_000_000e6,
                matureRate: 10_000e6
            })
        );
        riskConfig.setAsset(
            WETH,
            IRiskConfig.Asset({
                eid: EID,
                epoch: 1,
                token: address(weth),
                decimals: 18,
                feed: uint16(ETH_FEED),
                settlement: false,
                creditIm: 8000,
                creditMm: 9000,
                matureCap: 10_000e18,
                matureRate: 10e18
            })
        );
        Perp perp = new Perp(address(clearinghouse), oracle, riskConfig);
        riskConfig.setInstrument(
            PERP, IRiskConfig.Instrument(address(perp), uint16(ETH_FEED), 1_000_000e18, 1000e18, 500)
        );
        riskConfig.setGlobal(IRiskConfig.Global(5000, 5000, 1_000_000_000e18, 1500, 8, 1 hours));
        clearinghouse.setVenue(address(this), true);
    }

    /* ACTIONS */

    function _price(uint256 value) internal {
        oracle.set(ETH_FEED, value);
        oracle.set(USDC_FEED, WAD);
    }

    function _deposit(address owner, TestToken token, uint256 amount) internal returns (bytes32 account) {
        account = Accounts.main(owner);
        _depositFor(account, token, amount);
    }

    function _depositFor(bytes32 account, TestToken token, uint256 amount) internal {
        token.mint(address(this), amount);
        token.approve(address(vault), amount);
        vault.deposit(account, address(token), amount);
        _report(account, token);
    }

    function _report(bytes32 account, TestToken token) internal {
        ISpokeGateway.CounterKey[] memory keys = new ISpokeGateway.CounterKey[](1);
        keys[0] = ISpokeGateway.CounterKey(account, address(token));
        spokeGateway.sendCounters(keys);
    }

    /// An account with cash that trades here.
    function _trader(address owner, uint256 cash) internal returns (bytes32 account) {
        account = _deposit(owner, usdc, cash);
        vm.prank(owner);
        clearinghouse.approveVenue(account, address(this), type(uint256).max);
    }

    function _trade(bytes32 buyer, bytes32 seller, uint256 size) internal {
        clearinghouse.trade(PERP, buyer, seller, size, oracle.price(ETH_FEED).price);
    }

    function _start(bytes32 account) internal returns (uint256) {
        bytes32[] memory accounts = new bytes32[](1);
        accounts[0] = account;
        return auction.updateAndStart("", accounts);
    }

    function _bid(address bidder, bytes32 account, uint256 fraction)
        internal
        returns (uint256 taken, uint256 payment, uint256 fromFund)
    {
        vm.prank(bidder);
        return auction.bid(account, Accounts.main(bidder), fraction, type(uint256).max);
    }

    function _fundWith(uint256 amount) internal {
        usdc.mint(lp, amount);
        vm.startPrank(lp);
        usdc.approve(address(fund), amount);
        fund.deposit(amount, lp);
        vm.stopPrank();
    }

    /// Gives the account `amount` of another token, worth 1 at first.
    function _thinClaim(address owner, uint256 amount) internal {
        if (riskConfig.assetCount() < THIN) {
            thin = new TestToken("Thin", "THIN", 18);
            vault.setListed(address(thin), true);
            oracle.set(THIN_FEED, WAD);
            riskConfig.setUnderlying(THIN_FEED, IRiskConfig.Underlying(2000, 1200, 5000, 2000));
            riskConfig.setAsset(
                THIN,
                IRiskConfig.Asset(
                    EID, 1, address(thin), 18, uint16(THIN_FEED), false, 8000, 9000, 1_000_000e18, 1e18
                )
            );
        }
        bytes32 account = Accounts.main(owner);
        vm.prank(owner);
        clearinghouse.openRow(account, THIN);
        _depositFor(account, thin, amount);
    }

    /* VIEWS */

    function _health(bytes32 account) internal view returns (IMarginEngine.Health memory) {
        return engine.accountHealth(account);
    }

    function _bufferMargin(bytes32 account) internal view returns (int256) {
        IMarginEngine.Health memory h = _health(account);
        return AuctionMath.bufferMargin(h.equity, h.mm, riskConfig.global().bufferBps);
    }

    function _size(bytes32 account) internal view returns (int256) {
        return clearinghouse.position(account, PERP).size;
    }

    /// DESIGN §6.1 over the accounts named.
    function _assertLedger(bytes32[] memory accounts) internal view {
        (uint256 warming,,,) = clearinghouse.warmings();
        int256 cash = int256(warming);
        (int256 house,) = clearinghouse.houseRow(PERP);
        int256 longs = int256(FixedPointMathLib.max(house, 0));
        int256 shorts = longs - house;
        for (uint256 i; i < accounts.length; ++i) {
            cash += clearinghouse.cash(accounts[i]);
            int256 size = _size(accounts[i]);
            if (size > 0) longs += size;
            else shorts -= size;
        }
        assertEq(
            cash + int256(clearinghouse.pnlPool(PERP)),
            int256(clearinghouse.backing(USDC)) + clearinghouse.lostBacking(),
            "cash and pool are backed"
        );
        (uint256 long, uint256 short) = clearinghouse.openInterest(PERP);
        assertEq(long, short, "open interest");
        // What roundings of closings left is open interest of nobody.
        uint256 rest = _everClosed(true) || _everClosed(false) ? 1e3 : 0;
        assertLe(longs, int256(long), "longs have no more than there is");
        assertLe(shorts, int256(short), "shorts have no more than there is");
        assertApproxEqAbs(uint256(longs), long, rest, "positions sum to zero");
        assertApproxEqAbs(uint256(shorts), short, rest, "positions sum to zero");
    }

    function _everClosed(bool long) internal view returns (bool) {
        (uint256 scale, uint256 generation) = clearinghouse.sideOf(PERP, long);
        return scale != 1e36 || generation != 0;
    }
}
