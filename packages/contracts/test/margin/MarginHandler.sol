// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Test} from "forge-std/Test.sol";
import {RiskConfig} from "../../src/hub/RiskConfig.sol";
import {Clearinghouse} from "../../src/hub/Clearinghouse.sol";
import {IClearinghouse} from "../../src/interfaces/IClearinghouse.sol";
import {IInstrument} from "../../src/interfaces/IInstrument.sol";
import {IMarginEngine} from "../../src/interfaces/IMarginEngine.sol";
import {IRiskConfig} from "../../src/interfaces/IRiskConfig.sol";
import {IdList} from "../../src/libraries/IdList.sol";
import {Accounts} from "../../src/libraries/Accounts.sol";
import {MarginEngine} from "../../src/margin/MarginEngine.sol";
import {OracleDouble} from "../hub/OracleDouble.sol";

/// @notice Traders, strangers, vaults, prices and the owner act at random; after each act it is compared what changed for whom.
///
/// An act of people runs in `people`, which holds it to DESIGN §6.6. Prices, time and parameters are others', and may make anyone unhealthy.
contract MarginHandler is Test {
    /// @dev Wei. Settling rounds a PnL down, a transfer an odd size.
    int256 internal constant DUST = 100;
    uint256 internal constant TRADERS = 4;
    uint256 internal constant NOBODY = TRADERS;

    Clearinghouse internal immutable hub;
    MarginEngine internal immutable engine;
    RiskConfig internal immutable config;
    OracleDouble internal immutable oracle;
    address internal immutable gateway;
    address internal immutable venue;
    address internal immutable owner;

    address[TRADERS] public traders;
    uint256[] internal _feeds;
    mapping(uint256 assetId => uint128) internal _deposited;
    mapping(uint256 assetId => uint256) internal _missing;
    mapping(bytes32 act => uint256) public calls;

    struct Seen {
        IMarginEngine.Health health;
        /// Of what one holds: assets, claims, instruments, sizes.
        bytes32 rows;
    }

    constructor(
        Clearinghouse hub_,
        address venue_,
        uint256[] memory feeds_,
        address[TRADERS] memory traders_
    ) {
        (hub, venue, _feeds, traders) = (hub_, venue_, feeds_, traders_);
        (engine, config) = (MarginEngine(address(hub.marginEngine())), RiskConfig(address(hub.riskConfig())));
        (oracle, gateway, owner) = (OracleDouble(address(hub.oracle())), hub.gateway(), msg.sender);
    }

    function account(uint256 trader) public view returns (bytes32) {
        return Accounts.main(traders[trader]);
    }

    /* PEOPLE */

    function trade(uint256 instrument, uint256 buyer, uint256 seller, uint256 size, uint256 offset) external {
        instrument = 1 + instrument % config.instrumentCount();
        buyer %= TRADERS;
        seller = (buyer + 1 + seller % (TRADERS - 1)) % TRADERS;
        (uint256 mark,) = IInstrument(config.instrument(instrument).module).mark(instrument);
        // In quote units of what a unit of spot is worth: many small ones, and some that margin refuses.
        uint256 spot = oracle.price(config.instrument(instrument).feed).price;
        size = bound(size, 1e12, (offset % 2 == 0 ? 100_000e36 : 4_000_000e36) / spot);
        uint256 price = mark * bound(offset, 9905, 10_095) / 10_000;
        Seen[] memory before = _see();
        vm.prank(venue);
        try hub.trade(instrument, account(buyer), account(seller), size, price) {
            ++calls["trade"];
        } catch {}
        _hold(before, buyer, seller);
    }

    function withdraw(uint256 asset, uint256 trader, uint256 amount) external {
        (asset, trader) = (_asset(asset), trader % TRADERS);
        IRiskConfig.Asset memory a = config.asset(asset);
        uint256 most =
            a.settlement ? hub.freeCash(account(trader)) / 1e12 : hub.row(account(trader), asset).claim;
        if (most == 0) return;
        // All of it now and then, and nearly all.
        uint128 wanted = uint128(amount % 3 == 0 ? most - amount % (most / 20 + 1) : bound(amount, 1, most));
        Seen[] memory before = _see();
        vm.prank(traders[trader]);
        try hub.withdraw(account(trader), asset, traders[trader], wanted) {
            ++calls["withdraw"];
        } catch {}
        _hold(before, trader, NOBODY);
    }

    function transferCash(uint256 from, uint256 to, uint256 amount) external {
        (from, to) = (from % TRADERS, (from % TRADERS + 1 + to % (TRADERS - 1)) % TRADERS);
        Seen[] memory before = _see();
        vm.prank(traders[from]);
        try hub.transferCash(account(from), account(to), bound(amount, 1, 100_000e18)) {
            ++calls["transfer"];
        } catch {}
        _hold(before, from, to);
    }

    function choosePortfolioSet(uint256 trader, bool on) external {
        trader %= TRADERS;
        Seen[] memory before = _see();
        vm.prank(traders[trader]);
        try hub.setPortfolioMargin(account(trader), on) {
            ++calls["set"];
        } catch {}
        _hold(before, trader, NOBODY);
    }

    /// @dev A stranger settles for somebody, who gets or pays what there was already.
    function settle(uint256 instrument, uint256 trader) external {
        trader %= TRADERS;
        instrument = _instrumentOf(instrument, trader);
        Seen[] memory before = _see();
        try hub.settlePnl(account(trader), instrument) {
            ++calls["settle"];
        } catch {}
        _hold(before, NOBODY, NOBODY);
    }

    function settleExpired(uint256 instrument, uint256 trader) external {
        trader %= TRADERS;
        instrument = _instrumentOf(instrument, trader);
        Seen[] memory before = _see();
        try hub.settleExpired(account(trader), instrument) {
            ++calls["expire"];
        } catch {}
        _hold(before, trader, NOBODY);
        _same(
            trader,
            before[trader].health.mm,
            engine.accountHealth(account(trader)).mm,
            "settlement at the fixing"
        );
    }

    /// @dev Of funding and coupons, and whatever else a stranger may call for an account. A deposit that waited matures: more MM, never less.
    function touch(uint256 instrument, uint256 asset, uint256 trader) external {
        instrument = 1 + instrument % config.instrumentCount();
        trader %= TRADERS;
        Seen[] memory before = _see();
        IInstrument(config.instrument(instrument).module).accrue(instrument);
        hub.mature(account(trader), _asset(asset));
        _hold(before, trader, NOBODY);
        assertGe(
            engine.accountHealth(account(trader)).mm,
            before[trader].health.mm - DUST - int256(_roundings(trader)),
            "touching lowers MM"
        );
    }

    /* VAULTS */

    function deposit(uint256 asset, uint256 trader, uint256 amount) external {
        (asset, trader) = (_asset(asset), trader % TRADERS);
        uint128 more = uint128(bound(amount, 1, config.asset(asset).matureCap / 20));
        Seen[] memory before = _see();
        _deliver(asset, trader, _counter(asset, trader) + more);
        // A gift to whom it is for: it never makes anyone worse off.
        _hold(before, trader, NOBODY);
        IMarginEngine.Health memory h = engine.accountHealth(account(trader));
        assertGe(h.mm, before[trader].health.mm - DUST, "a deposit worsens MM");
        ++calls["deposit"];
    }

    /// @dev The vault takes back what it had said, or finds some missing: a claim of the trader, or of everybody, is impaired.
    function impair(uint256 asset, uint256 trader, uint256 share, bool shortfall) external {
        (asset, trader) = (_asset(asset), trader % TRADERS);
        share = bound(share, 0, 40);
        // A second message of one second would count for less.
        vm.warp(block.timestamp + 1);
        // Else a deposit that waited matures with the message.
        hub.mature(account(trader), asset);
        Seen[] memory before = _see();
        uint256[TRADERS] memory worth;
        for (uint256 n; n < TRADERS; ++n) {
            worth[n] = _worthOf(n);
        }
        uint256 missing = uint256(_deposited[asset]) * share / 100;
        bool worse = !shortfall || missing >= _missing[asset];
        if (shortfall) _announce(asset, missing);
        else _deliver(asset, trader, uint128(uint256(_counter(asset, trader)) * (100 - share) / 100));
        for (uint256 n; n < TRADERS; ++n) {
            IMarginEngine.Health memory h = engine.accountHealth(account(n));
            // It fades along a ramp of an hour or more that begins at a whole second, chosen so that what has faded stays so: a second too
            // early at most, of all that is impaired by then.
            int256 rounding = int256(_roundings(n));
            int256 second = int256(worth[n] / 1 hours) + rounding;
            assertGe(h.mm, before[n].health.mm - second, "impairing lowers MM at once");
            if (!worse) continue;
            assertLe(h.im, before[n].health.im + rounding, "impairing raises IM");
            assertLe(h.mm, before[n].health.mm + rounding, "impairing raises MM");
        }
        ++calls["impair"];
    }

    function _announce(uint256 asset, uint256 missing) private {
        IRiskConfig.Asset memory a = config.asset(asset);
        vm.prank(gateway);
        hub.receiveTotals(a.eid, 1, uint64(block.timestamp), a.token, _deposited[asset], 0, uint128(missing));
        _missing[asset] = missing;
    }

    /// @dev Worth of four of each claim's smallest units: a share of it, what has faded, what the vault lost and what is left are rounded each.
    function _roundings(uint256 trader) internal view returns (uint256 worth) {
        uint256[] memory assets = hub.portfolio(account(trader)).assetIds;
        for (uint256 n; n < assets.length; ++n) {
            IRiskConfig.Asset memory a = config.asset(assets[n]);
            worth += 4 * oracle.price(a.feed).price / 10 ** a.decimals + 1;
        }
    }

    /// @dev Worth of all claims and cash, at mid: no more can be impaired.
    function _worthOf(uint256 trader) internal view returns (uint256 worth) {
        IClearinghouse.Portfolio memory p = hub.portfolio(account(trader));
        for (uint256 n; n < p.assetIds.length; ++n) {
            IRiskConfig.Asset memory a = config.asset(p.assetIds[n]);
            worth += hub.row(account(trader), p.assetIds[n]).claim * oracle.price(a.feed).price / 10
            ** a.decimals;
        }
        if (p.cash > 0) worth += uint256(p.cash);
    }

    /* WHAT MAY MAKE UNHEALTHY */

    /// @dev Nobody takes a position, and it closes against the other side. Others' rows change by that, and who loses a hedge has less margin: what
    /// everybody has stays the same.
    function deleverage(uint256 instrument, uint256 trader, uint256 share) external {
        trader %= TRADERS;
        instrument = _instrumentOf(instrument, trader);
        int256 size = hub.position(account(trader), instrument).size;
        Seen[] memory before = _see();
        vm.prank(hub.backstop());
        uint256 most = uint256(size > 0 ? size : -size) * (1 + share % 4) / 4;
        if (hub.deleverage(account(trader), instrument, most) != 0) ++calls["deleverage"];
        for (uint256 n; n < TRADERS; ++n) {
            int256 equity = engine.accountHealth(account(n)).equity;
            // A unit of size (1e-18) at any price.
            assertApproxEqAbs(equity, before[n].health.equity, 1e7, "closed at the mark");
        }
    }

    function movePrice(uint256 which, uint256 move, uint256 confidence, uint256 parked, uint256 stale)
        external
    {
        uint256 feed = _feeds[which % _feeds.length];
        uint256 price = bound(oracle.price(feed).price * bound(move, 88, 114) / 100, 1e16, 1_000_000e18);
        oracle.set(
            feed,
            price,
            // Now and then wider than any shock.
            confidence % 3 == 0 ? confidence % (confidence % 5 == 0 ? 0.5e18 : 0.03e18) : 0,
            parked % 5 == 0 ? price * (80 + parked % 40) / 100 : 0,
            stale % 6 != 0
        );
    }

    function wait_(uint256 time) external {
        vm.warp(block.timestamp + bound(time, 1, 12 hours));
    }

    /// @dev Parameters at random, in bounds or not: RiskConfig says which.
    function retune(uint256 seed) external {
        vm.startPrank(owner);
        if (seed % 4 == 0) _retuneFeed(uint256(keccak256(abi.encode(seed, 1))));
        else if (seed % 4 == 1) _retuneCredit(uint256(keccak256(abi.encode(seed, 2))));
        else if (seed % 4 == 2) _retuneGrid(uint256(keccak256(abi.encode(seed, 3))));
        else _retuneGlobal(uint256(keccak256(abi.encode(seed, 4))));
        vm.stopPrank();
    }

    function _retuneFeed(uint256 r) private {
        uint256 feed = _feeds[r % _feeds.length];
        IRiskConfig.Underlying memory u = config.underlying(feed);
        (u.shockIm, u.shockMm) = (uint16((r >> 8) % 3000), uint16((r >> 24) % 2000));
        (u.tailShock, u.tailDamping) = (uint16((r >> 40) % 60_000), uint16((r >> 56) % 10_500));
        try config.setUnderlying(feed, u) {
            ++calls["underlying"];
        } catch {
            ++calls["refused"];
        }
    }

    function _retuneCredit(uint256 r) private {
        uint256 asset = _asset(r);
        IRiskConfig.Asset memory a = config.asset(asset);
        (a.creditIm, a.creditMm) = (uint16((r >> 8) % 10_500), uint16((r >> 24) % 10_500));
        try config.setAsset(asset, a) {
            ++calls["asset"];
        } catch {
            ++calls["refused"];
        }
    }

    function _retuneGrid(uint256 r) private {
        IRiskConfig.Grid memory g = config.grid();
        (g.volatilityUp, g.volatilityDown) = (uint16(r % 10_000), uint16((r >> 16) % 10_500));
        (g.nakedShort, g.portfolioShock) = (uint16((r >> 32) % 1000), uint16((r >> 48) % 10_500));
        (g.portfolioRhoIm, g.portfolioRhoMm) = (uint16((r >> 64) % 10_500), uint16((r >> 80) % 10_500));
        try config.setGrid(g) {
            ++calls["grid"];
        } catch {
            ++calls["refused"];
        }
    }

    function _retuneGlobal(uint256 r) private {
        IRiskConfig.Global memory g = config.global();
        (g.rhoIm, g.rhoMm, g.bufferBps) =
        (uint16(r % 10_500), uint16((r >> 16) % 10_500), uint16((r >> 32) % 10_500));
        g.profitCapIm = uint128((r >> 48) % 1_000_000e18);
        g.maxRows = uint16((r >> 240) % 40);
        try config.setGlobal(g) {
            ++calls["global"];
        } catch {
            ++calls["refused"];
        }
    }

    /* INTERNAL */

    function _asset(uint256 seed) internal view returns (uint256) {
        return 1 + seed % config.assetCount();
    }

    /// @dev One that the trader has something of, if there is one.
    function _instrumentOf(uint256 seed, uint256 trader) internal view returns (uint256) {
        uint256[] memory ids = hub.instrumentsOf(account(trader));
        return ids.length == 0 ? 1 : ids[seed % ids.length];
    }

    /// @dev What the vault said last, to whom the fixture gave something too.
    function _counter(uint256 asset, uint256 trader) internal view returns (uint128 value) {
        IRiskConfig.Asset memory a = config.asset(asset);
        (value,) = hub.counters(a.eid, 1, account(trader), a.token);
    }

    function _deliver(uint256 asset, uint256 trader, uint128 value) internal {
        IRiskConfig.Asset memory a = config.asset(asset);
        uint128 before = _counter(asset, trader);
        if (value > before) _deposited[asset] += value - before;
        vm.prank(gateway);
        hub.receiveCounter(a.eid, 1, uint64(block.timestamp), a.token, account(trader), value);
    }

    function _see() internal view returns (Seen[] memory seen) {
        seen = new Seen[](TRADERS);
        for (uint256 n; n < TRADERS; ++n) {
            (,,, uint256 assets, uint256 instruments,, uint256[] memory words) = hub.rows(account(n));
            // A claim in shares: what they are worth at a vault with a loss moves by a smallest unit when others leave.
            uint256 row;
            bytes32 rows = bytes32(assets);
            for (; assets != 0; assets >>= 12) {
                rows ^= keccak256(abi.encode(row++, hub.row(account(n), assets & IdList.MAX_ID).claim));
            }
            // Of a position the size, without its quote. One that others have closed is no row once it is settled, which anyone may do.
            for (; instruments != 0; instruments >>= 12) {
                uint256 size = uint128(words[row++]);
                if (size != 0) rows ^= keccak256(abi.encode(instruments & IdList.MAX_ID, size, "size"));
            }
            seen[n] = Seen(engine.accountHealth(account(n)), rows);
        }
    }

    /// @dev DESIGN §6.6. Who acts may change his own MM, but no healthy account gets unhealthy by it; for all others MM stays, and what they hold.
    function _hold(Seen[] memory before, uint256 first, uint256 second) internal view {
        Seen[] memory now_ = _see();
        for (uint256 n; n < TRADERS; ++n) {
            if (before[n].health.mm >= 0) {
                assertGe(now_[n].health.mm, -DUST, "healthy, and unhealthy by an act");
            }
            if (n == first || n == second) continue;
            _same(n, before[n].health.mm, now_[n].health.mm, "a stranger moved MM");
            assertEq(now_[n].rows, before[n].rows, "a stranger changed rows");
        }
    }

    /// @dev What a stranger takes from a vault with a loss moves what a share of it is worth by a smallest unit.
    function _same(uint256 trader, int256 a, int256 b, string memory what) internal view {
        if (a - b > DUST || b - a > DUST) assertApproxEqAbs(a, b, uint256(DUST) + _roundings(trader), what);
    }
}
