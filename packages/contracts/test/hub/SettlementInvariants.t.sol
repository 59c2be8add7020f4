// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Test} from "forge-std/Test.sol";
import {Clearinghouse} from "../../src/hub/Clearinghouse.sol";
import {IClearinghouse} from "../../src/interfaces/IClearinghouse.sol";
import {DatedFixture} from "../margin/DatedFixture.sol";
import {OracleDouble} from "./OracleDouble.sol";

/// @notice Trades a future at random, lets it expire at some point, and settles, liquidates and charges losses before and after.
contract SettlementHandler is Test {
    Clearinghouse internal immutable hub;
    OracleDouble internal immutable oracle;
    address internal immutable venue;
    address internal immutable backstop;
    uint256 internal immutable future;
    uint256 internal immutable expiry;
    uint256 internal immutable feed;
    uint256 internal immutable fixingFeed;
    bytes32[4] public accounts;
    mapping(bytes32 action => uint256) public calls;

    constructor(
        Clearinghouse hub_,
        OracleDouble oracle_,
        address venue_,
        uint256 future_,
        uint256 expiry_,
        uint256[2] memory feeds,
        bytes32[4] memory accounts_
    ) {
        (hub, oracle, venue, backstop) = (hub_, oracle_, venue_, hub_.backstop());
        (future, expiry, feed, fixingFeed) = (future_, expiry_, feeds[0], feeds[1]);
        accounts = accounts_;
    }

    function trade(uint256 buyer, uint256 seller, uint256 size, uint256 offset) external {
        uint256 mid = oracle.price(feed).price;
        vm.prank(venue);
        try hub.trade(
            future,
            accounts[buyer % 3],
            accounts[(buyer % 3 + 1 + seller % 2) % 3],
            bound(size, 1, 300e18),
            mid * bound(offset, 9810, 10_190) / 10_000
        ) {
            ++calls["trade"];
        } catch {}
    }

    function movePrice(uint256 move) external {
        uint256 price = oracle.price(feed).price * bound(move, 70, 140) / 100;
        oracle.set(feed, bound(price, 100e18, 20_000e18));
    }

    /// @dev Rarely at first, so that there is something to expire.
    function expire(uint256 seed) external {
        if (block.timestamp < expiry && (calls["trade"] < 3 || seed % 2 == 0)) return;
        if (block.timestamp < expiry) vm.warp(expiry);
        oracle.set(fixingFeed, oracle.price(feed).price);
    }

    function settleExpired(uint256 account) external {
        try hub.settleExpired(accounts[account % 4], future) {
            ++calls["settle"];
        } catch {}
    }

    function settlePnl(uint256 account) external {
        hub.settlePnl(accounts[account % 4], future);
    }

    function takeShare(uint256 from, uint256 fraction) external {
        vm.prank(backstop);
        hub.transferFraction(accounts[from % 3], accounts[3], bound(fraction, 0, 1e18), 0);
    }

    function socialise(uint256 account, uint256 amount) external {
        vm.prank(backstop);
        if (hub.socialise(accounts[account % 4], bound(amount, 0, 50_000e18)) != 0) ++calls["socialise"];
    }

    function deleverage(uint256 account, uint256 most) external {
        int256 size = hub.position(accounts[account % 4], future).size;
        // All of it as often as a part.
        if (most % 2 == 0) most = uint256(size > 0 ? size : -size);
        vm.prank(backstop);
        if (hub.deleverage(accounts[account % 4], future, bound(most, 0, 300e18)) != 0) {
            ++calls["deleverage"];
        }
    }
}

/// @notice DESIGN §6.1 through expiry: sizes sum to zero, quotes are funded by the pool, cash is backed, and the house row is worth dust.
contract SettlementInvariantsTest is DatedFixture {
    SettlementHandler internal handler;

    function setUp() public override {
        super.setUp();
        handler = new SettlementHandler(
            hub,
            oracle,
            venue,
            ETH_FUTURE,
            expiry,
            [FEED_ETH, FEED_FIXING],
            [aliceAccount, bobAccount, carolAccount, backstopAccount]
        );
        bytes4[] memory acts = new bytes4[](11);
        acts[0] = SettlementHandler.trade.selector;
        acts[1] = SettlementHandler.trade.selector;
        acts[2] = SettlementHandler.movePrice.selector;
        acts[3] = SettlementHandler.expire.selector;
        acts[4] = SettlementHandler.settleExpired.selector;
        acts[5] = SettlementHandler.settleExpired.selector;
        acts[6] = SettlementHandler.settleExpired.selector;
        acts[7] = SettlementHandler.settlePnl.selector;
        acts[8] = SettlementHandler.takeShare.selector;
        acts[9] = SettlementHandler.socialise.selector;
        acts[10] = SettlementHandler.deleverage.selector;
        targetSelector(FuzzSelector(address(handler), acts));
        targetContract(address(handler));
    }

    function invariant_expiryKeepsTheLedger() public view {
        (int256 size, int256 quote) = hub.houseRow(ETH_FUTURE);
        (bool settled, uint256 price) = future.settlement(ETH_FUTURE);
        // A wei of size for each position and each change of one since something was closed.
        int256 rest = _everClosed() ? int256(1000) : int256(0);
        if (settled) {
            // A wei of value each time that somebody settles, four of which aren't counted; 10^18 of product a wei.
            int256 value = size * int256(price) + quote * 1e18;
            assertGe(value, -rest * 20_000e18, "the house owes nobody");
            int256 most = int256(1e18 * (handler.calls("settle") + handler.calls("deleverage") + 4));
            assertLe(value, most + rest * 20_000e18, "and keeps only roundings");
        } else {
            assertApproxEqAbs(size, 0, uint256(rest));
            assertApproxEqAbs(quote, 0, uint256(rest) * 20_000);
        }
        int256 cash = warmingTotal();
        for (uint256 n; n < 4; ++n) {
            bytes32 account = handler.accounts(n);
            cash += hub.cash(account);
            IClearinghouse.Portfolio memory p = hub.portfolio(account);
            if (p.sizes.length == 0) continue;
            size += p.sizes[0];
            quote += p.quotes[0];
        }
        assertApproxEqAbs(size, 0, uint256(rest), "sizes");
        int256 pool = int256(hub.pnlPool(ETH_FUTURE));
        assertLe(quote, pool + rest * 20_000, "quotes are funded by the pool");
        assertGt(quote, pool - 1e9, "only roundings");
        assertEq(cash + pool, int256(hub.backing(USDC_A)) + hub.lostBacking(), "cash is backed");
        (uint256 long, uint256 short) = hub.openInterest(ETH_FUTURE);
        assertEq(long, short);
    }

    /// Once everybody has come, in any order, nothing is open.
    function afterInvariant() public {
        emit log_named_uint("trade", handler.calls("trade"));
        emit log_named_uint("settle", handler.calls("settle"));
        emit log_named_uint("socialise", handler.calls("socialise"));
        emit log_named_uint("deleverage", handler.calls("deleverage"));
        expireAt(oracle.price(FEED_ETH).price);
        for (uint256 n; n < 4; ++n) {
            hub.settleExpired(handler.accounts(n), ETH_FUTURE);
        }
        (uint256 long, uint256 short) = hub.openInterest(ETH_FUTURE);
        (int256 size,) = hub.houseRow(ETH_FUTURE);
        // A crumb only where a generation has ended.
        (, uint256 generationLong) = hub.sideOf(ETH_FUTURE, true);
        (, uint256 generationShort) = hub.sideOf(ETH_FUTURE, false);
        uint256 crumb = generationLong + generationShort == 0 ? 0 : 1000;
        assertLe(long + short, crumb);
        assertApproxEqAbs(size, 0, crumb);
        invariant_expiryKeepsTheLedger();
    }

    function _everClosed() internal view returns (bool) {
        (uint256 scaleLong, uint256 generationLong) = hub.sideOf(ETH_FUTURE, true);
        (uint256 scaleShort, uint256 generationShort) = hub.sideOf(ETH_FUTURE, false);
        return scaleLong + scaleShort != 2e36 || generationLong + generationShort != 0;
    }
}
