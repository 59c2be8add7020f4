// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Test} from "forge-std/Test.sol";
import {Clearinghouse} from "../../src/hub/Clearinghouse.sol";
import {IClearinghouse} from "../../src/interfaces/IClearinghouse.sol";
import {IHubGateway} from "../../src/interfaces/IGateways.sol";
import {IRiskConfig} from "../../src/interfaces/IRiskConfig.sol";
import {Accounts} from "../../src/libraries/Accounts.sol";
import {OracleDouble} from "./OracleDouble.sol";

/// @notice Acts on the hub at random: four traders, the fund and the backstop; a vault per asset whose counters arrive in any order,
/// again and again, and sometimes fall.
contract HubHandler is Test {
    struct Message {
        uint64 time;
        uint128 value;
    }

    Clearinghouse internal immutable hub;
    IRiskConfig internal immutable config;
    OracleDouble internal immutable oracle;
    address internal immutable gateway;
    address internal immutable auction;
    address internal immutable backstop;
    address internal immutable venue;

    address[6] public actors;
    /// What the vault said, when: message n of an asset and actor.
    mapping(uint256 assetId => mapping(uint256 actor => Message[])) internal _sent;
    /// The newest of what was delivered.
    mapping(uint256 assetId => mapping(uint256 actor => Message)) public newest;
    /// The most that the vault ever said (token decimals).
    mapping(uint256 assetId => mapping(uint256 actor => uint128)) internal _highest;
    /// WAD of settlement tokens that left.
    uint256 public withdrawn;
    mapping(bytes32 action => uint256) public calls;

    constructor(
        Clearinghouse hub_,
        OracleDouble oracle_,
        address gateway_,
        address auction_,
        address venue_,
        address[6] memory actors_
    ) {
        (hub, oracle, config) = (hub_, oracle_, hub_.riskConfig());
        (gateway, auction, backstop, venue) = (gateway_, auction_, hub_.backstop(), venue_);
        actors = actors_;
    }

    function account(uint256 actor) public view returns (bytes32) {
        return Accounts.main(actors[actor]);
    }

    function deposited() external view returns (uint256 total) {
        for (uint256 assetId = 1; assetId <= 2; ++assetId) {
            for (uint256 n; n < 6; ++n) {
                total += uint256(_highest[assetId][n]) * 1e12;
            }
        }
    }

    /* COUNTERS */

    function deposit(uint256 assetSeed, uint256 actor, uint256 amount, bool lost) external {
        uint256 assetId = _asset(assetSeed);
        actor %= 6;
        uint128 last = _last(assetId, actor);
        _send(assetId, actor, last + uint128(bound(amount, 1, config.asset(assetId).matureCap / 10)));
        if (!lost) _deliver(assetId, actor, _sent[assetId][actor].length - 1);
    }

    function regress(uint256 assetSeed, uint256 actor, uint256 share, bool lost) external {
        uint256 assetId = _asset(assetSeed);
        actor %= 6;
        uint128 last = _last(assetId, actor);
        if (last == 0 || share % 2 != 0) return;
        _send(assetId, actor, uint128(uint256(last) * (share % 100) / 100));
        if (!lost) _deliver(assetId, actor, _sent[assetId][actor].length - 1);
    }

    /// @dev A replay, or a message that was late.
    function deliver(uint256 assetSeed, uint256 actor, uint256 which) external {
        uint256 assetId = _asset(assetSeed);
        actor %= 6;
        uint256 count = _sent[assetId][actor].length;
        if (count != 0) _deliver(assetId, actor, which % count);
    }

    /// @dev One honest message for everything: what must restore any state.
    function deliverAll() external {
        for (uint256 assetId = 1; assetId <= 5; ++assetId) {
            for (uint256 n; n < 6; ++n) {
                uint256 count = _sent[assetId][n].length;
                if (count != 0) _deliver(assetId, n, count - 1);
            }
        }
    }

    function mature(uint256 assetSeed, uint256 actor) external {
        hub.mature(account(actor % 6), _asset(assetSeed));
    }

    function bookRegression(uint256 assetSeed, uint256 actor) external {
        uint256 assetId = _asset(assetSeed);
        actor %= 6;
        // The first regressed row from here on, so that a random choice isn't in vain.
        for (uint256 n; n < 30; ++n) {
            if (hub.row(account(actor), assetId).regressedSince != 0) break;
            (assetId, actor) = n % 6 == 5 ? (1 + assetId % 5, actor) : (assetId, (actor + 1) % 6);
        }
        vm.warp(block.timestamp + 1 hours);
        try hub.bookRegression(account(actor), assetId) {
            ++calls["book"];
        } catch {}
    }

    /* TRADERS */

    function withdraw(uint256 assetSeed, uint256 actor, uint256 amount) external {
        // Cash more often than claims.
        uint256 assetId = assetSeed % 3 == 0 ? _asset(assetSeed / 3) : 1 + (assetSeed / 3) % 2;
        actor %= 4;
        uint128 wanted = uint128(bound(amount, 1, config.asset(assetId).matureCap / 500));
        (uint256 here, uint256 there) = (hub.backing(assetId), assetId > 2 ? 0 : hub.backing(3 - assetId));
        vm.prank(actors[actor]);
        try hub.withdraw(account(actor), assetId, actors[actor], wanted) {
            ++calls["withdraw"];
        } catch {
            return;
        }
        if (assetId > 2) return;
        withdrawn += uint256(wanted) * 1e12;
        if (hub.suspectAssets() != 3 - assetId) return;
        ++calls["in kind"];
        // §6.4: who leaves next gets of each kind what this one got, but for less than a unit of the token.
        assertApproxEqAbs(
            hub.backing(assetId) * there, here * hub.backing(3 - assetId), here * 1e12, "4: composition"
        );
    }

    /// @dev More than the account has, now and then.
    function borrow(uint256 assetSeed, uint256 actor, uint256 amount) external {
        uint256 assetId = 1 + assetSeed % 2;
        actor %= 4;
        // Whoever has claims, from here on.
        for (uint256 n; n < 4 && hub.assetsOf(account(actor)).length == 0; ++n) {
            actor = (actor + 1) % 4;
        }
        uint256 free = hub.freeCash(account(actor)) / 1e12;
        uint128 wanted = uint128(free + bound(amount, 1, 40_000e6));
        uint256 before = hub.lending().debt;
        vm.prank(actors[actor]);
        try hub.withdraw(account(actor), assetId, actors[actor], wanted) {
            withdrawn += uint256(wanted) * 1e12;
            IClearinghouse.Lent memory lent = hub.lending();
            if (lent.debt > before) {
                ++calls["borrow"];
                assertLe(lent.debt, lent.limit, "a share of backing");
            }
        } catch {}
    }

    /// @dev Anybody pays for anybody.
    function give(uint256 from, uint256 to, uint256 amount) external {
        (from, to) = (from % 6, to % 4);
        for (uint256 n; n < 4 && hub.cash(account(to)) >= 0; ++n) {
            to = (to + 1) % 4;
        }
        int256 owed = hub.cash(account(to));
        vm.prank(actors[from]);
        try hub.transferCash(account(from), account(to), bound(amount, 0, 40_000e18)) {
            if (owed < 0) ++calls["repay"];
        } catch {}
    }

    /// @dev To accrue changes nobody's cash, whenever it is done.
    function accrue(uint256 time) external {
        vm.warp(block.timestamp + bound(time, 1, 30 days));
        int256[6] memory before;
        for (uint256 n; n < 6; ++n) {
            before[n] = hub.cash(account(n));
        }
        if (hub.accrueInterest() != 0) ++calls["accrue"];
        for (uint256 n; n < 6; ++n) {
            assertEq(hub.cash(account(n)), before[n], "views have all interest");
        }
    }

    function trade(uint256 instrument, uint256 buyer, uint256 seller, uint256 size, uint256 offset) external {
        instrument = 1 + instrument % 3;
        uint256 mid = oracle.price(instrument).price;
        // Sizes of up to 200,000 quote units.
        size = bound(size, 1, 200_000e36 / mid);
        vm.prank(venue);
        try hub.trade(
            instrument,
            account(buyer % 4),
            account((buyer % 4 + 1 + seller % 3) % 4),
            size,
            mid * bound(offset, 9810, 10_190) / 10_000
        ) {
            ++calls["trade"];
        } catch {}
    }

    function settle(uint256 instrument, uint256 actor) external {
        hub.settlePnl(account(actor % 6), 1 + instrument % 3);
        ++calls["settle"];
    }

    function movePrice(uint256 feed, uint256 move, uint256 confidence, uint256 parked) external {
        feed = 1 + feed % 3;
        uint256 price = oracle.price(feed).price * bound(move, 85, 118) / 100;
        price = bound(price, 1e18, 1_000_000e18);
        oracle.set(
            feed, price, confidence % 0.02e18, parked % 4 == 0 ? price * (80 + parked % 40) / 100 : 0, true
        );
    }

    function wait_(uint256 time) external {
        vm.warp(block.timestamp + bound(time, 1, 2 hours));
    }

    /* CHAINS */

    /// @dev Both chains may or may not be heard of, and seen by the oracle, which may be silent too; whoever likes says so, or not.
    function pass(uint256 time, uint256 seed) external {
        vm.warp(block.timestamp + bound(time, 1, 4 hours));
        for (uint32 n; n < 2; ++n) {
            uint256 bits = seed >> (8 * n);
            if (bits & 1 != 0) {
                bytes memory call_ = abi.encodeCall(IHubGateway.lastSpokeTime, (101 + n));
                vm.mockCall(gateway, call_, abi.encode(block.timestamp));
            }
            if (bits & 6 == 0) oracle.set(4 + n, block.timestamp * 1e18);
            else if (bits & 6 == 2) oracle.set(4 + n, oracle.price(4 + n).price);
        }
        if (seed >> 16 & 3 == 0) return;
        uint256[] memory ids = new uint256[](5);
        for (uint256 id = 1; id <= 5; ++id) {
            ids[id - 1] = id;
        }
        calls["watch"] += hub.watch(ids);
    }

    /// @dev Some of a token is missing at its vault, or found; in time it is written off.
    function miss(uint256 assetSeed, uint256 amount, uint256 late) external {
        uint256 assetId = _asset(assetSeed);
        vm.warp(block.timestamp + bound(late, 1, 2 hours));
        if (late % 2 == 0) {
            (int256 net,,,,) = hub.vaulted(assetId);
            uint128 missing = net <= 0 || amount % 3 == 0 ? 0 : uint128(bound(amount, 0, uint256(net) / 8));
            IRiskConfig.Asset memory a = config.asset(assetId);
            vm.prank(gateway);
            hub.receiveTotals(a.eid, 1, uint64(block.timestamp), a.token, 0, 0, missing);
        }
        (,, uint128 written, uint128 shortfall,) = hub.vaulted(assetId);
        hub.repair(assetId);
        (,, uint128 now_,,) = hub.vaulted(assetId);
        if (now_ != written && shortfall != written) ++calls["written off"];
    }

    /* LIQUIDATION */

    /// @dev To the Backstop's book: nothing in the system makes the fund a bidder (LiquidationAuction, Books.liquidate).
    function takeShare(uint256 from, uint256 fraction, uint256 payment) external {
        vm.prank(auction);
        try hub.transferFraction(
            account(from % 4), account(5), bound(fraction, 0, 1e18), bound(payment, 0, 1000e18)
        ) {
            ++calls["transfer"];
        } catch {}
    }

    function socialise(uint256 actor, uint256 amount) external {
        vm.prank(backstop);
        if (hub.socialise(account(actor % 4), bound(amount, 0, 20_000e18)) != 0) ++calls["socialise"];
    }

    function deleverage(uint256 instrument, uint256 actor, uint256 share) external {
        instrument = 1 + instrument % 3;
        actor %= 6;
        // The first who holds it from here on.
        for (uint256 n; n < 6 && hub.position(account(actor), instrument).size == 0; ++n) {
            actor = (actor + 1) % 6;
        }
        int256 size = hub.position(account(actor), instrument).size;
        uint256 most = uint256(size > 0 ? size : -size);
        // All of it as often as a part.
        if (share % 2 != 0) most = bound(share, 0, most);
        vm.prank(backstop);
        if (hub.deleverage(account(actor), instrument, most) != 0) ++calls["deleverage"];
    }

    /* INTERNAL */

    function _asset(uint256 seed) internal pure returns (uint256) {
        return 1 + seed % 5;
    }

    function _last(uint256 assetId, uint256 actor) internal view returns (uint128) {
        uint256 count = _sent[assetId][actor].length;
        return count == 0 ? 0 : _sent[assetId][actor][count - 1].value;
    }

    function _send(uint256 assetId, uint256 actor, uint128 value) internal {
        vm.warp(block.timestamp + 1);
        _sent[assetId][actor].push(Message(uint64(block.timestamp), value));
    }

    function _deliver(uint256 assetId, uint256 actor, uint256 index) internal {
        Message memory message = _sent[assetId][actor][index];
        IRiskConfig.Asset memory a = config.asset(assetId);
        vm.prank(gateway);
        hub.receiveCounter(a.eid, 1, message.time, a.token, account(actor), message.value);
        if (message.time > newest[assetId][actor].time) newest[assetId][actor] = message;
        if (message.value > _highest[assetId][actor]) _highest[assetId][actor] = message.value;
    }
}
