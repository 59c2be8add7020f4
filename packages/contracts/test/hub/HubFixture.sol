// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Test} from "forge-std/Test.sol";
import {Clearinghouse} from "../../src/hub/Clearinghouse.sol";
import {LedgerBase} from "../../src/hub/ledger/LedgerBase.sol";
import {RiskConfig} from "../../src/hub/RiskConfig.sol";
import {IRiskConfig} from "../../src/interfaces/IRiskConfig.sol";
import {IClearinghouse} from "../../src/interfaces/IClearinghouse.sol";
import {Accounts} from "../../src/libraries/Accounts.sol";
import {MarginEngine} from "../../src/margin/MarginEngine.sol";
import {Perp} from "../../src/margin/Perp.sol";
import {CLEARINGHOUSE_PARTS, newClearinghouse} from "./newClearinghouse.sol";
import {OracleDouble} from "./OracleDouble.sol";

/// @notice The hub as it is deployed, except that prices and counters are put in by hand.
/// Two spokes; USDC on both, WETH on the first, WBTC and SOL on the second; three perpetuals.
abstract contract HubFixture is Test {
    uint32 internal constant A = 101;
    uint32 internal constant B = 102;
    uint256 internal constant USDC_A = 1;
    uint256 internal constant USDC_B = 2;
    uint256 internal constant WETH = 3;
    uint256 internal constant WBTC = 4;
    uint256 internal constant SOL = 5;
    uint256 internal constant ETH_PERP = 1;
    uint256 internal constant BTC_PERP = 2;
    uint256 internal constant SOL_PERP = 3;
    uint256 internal constant FEED_USDC = 0;
    uint256 internal constant FEED_ETH = 1;
    uint256 internal constant FEED_BTC = 2;
    uint256 internal constant FEED_SOL = 3;
    uint128 internal constant USDC_CAP = 10_000_000e6;

    address internal gateway = makeAddr("gateway");
    address internal auction = makeAddr("auction");
    address internal backstop = makeAddr("backstop");
    address internal fund = makeAddr("fund");
    address internal venue = makeAddr("venue");
    address internal alice = makeAddr("alice");
    address internal bob = makeAddr("bob");
    bytes32 internal aliceAccount = Accounts.main(alice);
    bytes32 internal bobAccount = Accounts.main(bob);
    bytes32 internal fundAccount = Accounts.main(fund);
    bytes32 internal backstopAccount = Accounts.main(backstop);

    OracleDouble internal oracle;
    RiskConfig internal config;
    MarginEngine internal engine;
    Perp internal perp;
    Clearinghouse internal hub;

    function setUp() public virtual {
        vm.warp(1_700_000_000);
        oracle = new OracleDouble();
        config = new RiskConfig(address(this), FEED_USDC);
        address predicted =
            vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 2 + CLEARINGHOUSE_PARTS);
        engine = new MarginEngine(IClearinghouse(predicted), oracle, config);
        perp = new Perp(predicted, oracle, config);
        hub = newClearinghouse(
            address(this), LedgerBase.Modules(gateway, auction, backstop, fund, engine, oracle, config)
        );
        assertEq(address(hub), predicted, "predicted address");

        oracle.set(FEED_USDC, 1e18);
        oracle.set(FEED_ETH, 2000e18);
        oracle.set(FEED_BTC, 40_000e18);
        oracle.set(FEED_SOL, 100e18);
        config.setGlobal(IRiskConfig.Global(5000, 3000, 1_000_000e18, 1500, 12, 1 hours));
        config.setUnderlying(FEED_ETH, IRiskConfig.Underlying(1000, 600, 5000, 2000));
        config.setUnderlying(FEED_BTC, IRiskConfig.Underlying(800, 500, 5000, 1500));
        config.setUnderlying(FEED_SOL, IRiskConfig.Underlying(2000, 1200, 6000, 2500));
        _list(A, "usdc", 6, FEED_USDC, true, 10_000, 10_000, USDC_CAP);
        _list(B, "usdc", 6, FEED_USDC, true, 10_000, 10_000, USDC_CAP);
        _list(A, "weth", 18, FEED_ETH, false, 8000, 9000, 1000e18);
        _list(B, "wbtc", 8, FEED_BTC, false, 8000, 9000, 100e8);
        _list(B, "sol", 9, FEED_SOL, false, 6000, 7500, 10_000e9);
        _listPerp(FEED_ETH);
        _listPerp(FEED_BTC);
        _listPerp(FEED_SOL);
        hub.setVenue(venue, true);
        _approve(alice);
        _approve(bob);
    }

    function token(uint256 assetId) internal view returns (address) {
        return config.asset(assetId).token;
    }

    /// @dev The vault's counter for the account as of now.
    function counter(uint256 assetId, bytes32 account, uint128 value) internal {
        counterAt(assetId, account, value, uint64(block.timestamp));
    }

    function counterAt(uint256 assetId, bytes32 account, uint128 value, uint64 time) internal {
        IRiskConfig.Asset memory a = config.asset(assetId);
        vm.prank(gateway);
        hub.receiveCounter(a.eid, 1, time, a.token, account, value);
    }

    function fundCash(bytes32 account, uint256 usdc) internal {
        counter(USDC_A, account, uint128(usdc * 1e6));
    }

    /// @dev Cash, and profit that isn't cash yet.
    function money(bytes32 account) internal view returns (int256) {
        (uint256 amount,,) = hub.warming(account);
        return hub.cash(account) + int256(amount);
    }

    /// @dev Warming profit of all accounts, roundings included.
    function warmingTotal() internal view returns (int256) {
        (uint256 total,,,) = hub.warmings();
        return int256(total);
    }

    function openRow(address who, uint256 assetId) internal {
        vm.prank(who);
        hub.openRow(Accounts.main(who), assetId);
    }

    function trade(uint256 instrumentId, bytes32 buyer, bytes32 seller, uint256 size, uint256 price)
        internal
    {
        vm.prank(venue);
        hub.trade(instrumentId, buyer, seller, size, price);
    }

    function _approve(address who) internal {
        vm.prank(who);
        hub.approveVenue(Accounts.main(who), venue, type(uint256).max);
    }

    function _list(
        uint32 eid,
        string memory name,
        uint8 decimals,
        uint256 feed,
        bool settlement,
        uint16 creditIm,
        uint16 creditMm,
        uint128 cap
    ) internal {
        config.setAsset(
            config.assetCount() + 1,
            IRiskConfig.Asset(
                eid,
                1,
                makeAddr(name),
                decimals,
                uint16(feed),
                settlement,
                creditIm,
                creditMm,
                cap,
                cap / 100_000
            )
        );
    }

    /// @dev Shocks and tails that MM has reached, too.
    function setShocks(uint256 feed, IRiskConfig.Underlying memory u) internal {
        config.setUnderlying(feed, u);
        while (!_isReached(feed, u)) {
            vm.warp(block.timestamp + config.MAX_ELAPSED());
            config.setUnderlying(feed, u);
        }
    }

    function _isReached(uint256 feed, IRiskConfig.Underlying memory u) private view returns (bool) {
        IRiskConfig.CurrentUnderlying memory now_ = config.currentUnderlying(feed);
        return now_.shockMm == u.shockMm && now_.tailShock == u.tailShock && now_.tailDamping == u.tailDamping;
    }

    function _listPerp(uint256 feed) internal {
        config.setInstrument(
            config.instrumentCount() + 1,
            IRiskConfig.Instrument(address(perp), uint16(feed), 100_000e18, 1000e18, 200)
        );
    }
}
