// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IClearinghouse} from "../../src/interfaces/IClearinghouse.sol";
import {IMarginEngine} from "../../src/interfaces/IMarginEngine.sol";
import {Accounts} from "../../src/libraries/Accounts.sol";
import {HubHandler} from "./HubHandler.sol";
import {SilenceFixture} from "./SilenceFixture.sol";

/// @notice DESIGN §6: 1, the counters of 3, in kind of 4, 5, and IM <= MM, after random acts of everyone.
contract HubInvariantsTest is SilenceFixture {
    HubHandler internal handler;

    function setUp() public override {
        super.setUp();
        address[6] memory actors = [alice, bob, makeAddr("carol"), makeAddr("dave"), fund, backstop];
        handler = new HubHandler(hub, oracle, gateway, auction, venue, actors);
        for (uint256 n; n < 6; ++n) {
            _approve(actors[n]);
            openRow(actors[n], WETH);
            openRow(actors[n], WBTC);
            if (n % 2 == 0) openRow(actors[n], SOL);
            if (n < 4) handler.deposit(2, n, 100e18, false);
            // Something to trade with from the first act on.
            handler.deposit(n % 2, n, 500_000e6, false);
        }
        hub.setLending(5000, 4000, 100, 2000, 10_000);
        bytes4[] memory acts = new bytes4[](26);
        acts[0] = HubHandler.deposit.selector;
        acts[1] = HubHandler.regress.selector;
        acts[2] = HubHandler.deliver.selector;
        acts[3] = HubHandler.deliverAll.selector;
        acts[4] = HubHandler.mature.selector;
        acts[5] = HubHandler.bookRegression.selector;
        acts[6] = HubHandler.withdraw.selector;
        acts[7] = HubHandler.settle.selector;
        acts[8] = HubHandler.movePrice.selector;
        acts[9] = HubHandler.wait_.selector;
        acts[10] = HubHandler.takeShare.selector;
        acts[11] = HubHandler.socialise.selector;
        // Trades more often: the other acts need positions to act on.
        for (uint256 n = 12; n < 17; ++n) {
            acts[n] = HubHandler.trade.selector;
        }
        acts[17] = HubHandler.movePrice.selector;
        acts[18] = acts[19] = HubHandler.pass.selector;
        acts[20] = acts[21] = HubHandler.borrow.selector;
        acts[22] = HubHandler.give.selector;
        acts[23] = HubHandler.accrue.selector;
        acts[24] = HubHandler.deleverage.selector;
        acts[25] = HubHandler.miss.selector;
        targetSelector(FuzzSelector(address(handler), acts));
        targetContract(address(handler));
    }

    function invariant_ledger() public view {
        _cashEqualsBacking();
        _positionsAreZeroSum();
        _counters();
        assertLe(handler.withdrawn(), handler.deposited(), "5: all accounts as one coalition");
    }

    /// @dev §6.3: one honest message restores what any loss, replay or forgery left.
    function afterInvariant() public {
        handler.deliverAll();
        emit log_named_uint("trade", handler.calls("trade"));
        emit log_named_uint("book", handler.calls("book"));
        emit log_named_uint("withdraw", handler.calls("withdraw"));
        emit log_named_uint("transfer", handler.calls("transfer"));
        emit log_named_uint("socialise", handler.calls("socialise"));
        emit log_named_uint("deleverage", handler.calls("deleverage"));
        emit log_named_uint("watch", handler.calls("watch"));
        emit log_named_uint("in kind", handler.calls("in kind"));
        emit log_named_uint("borrow", handler.calls("borrow"));
        emit log_named_uint("repay", handler.calls("repay"));
        emit log_named_uint("accrue", handler.calls("accrue"));
        emit log_named_uint("written off", handler.calls("written off"));
        (, uint256 index) = hub.totalCash();
        emit log_named_uint("cash index", index);
        _counters();
        _cashEqualsBacking();
    }

    function _cashEqualsBacking() internal view {
        (uint256 total,) = hub.totalCash();
        uint256 debt = hub.lending().debt;
        uint256 sum;
        uint256 owed;
        for (uint256 n; n < 6; ++n) {
            int256 cash = hub.cash(handler.account(n));
            if (cash > 0) sum += uint256(cash);
            else owed += uint256(-cash);
        }
        assertGe(hub.cash(fundAccount), 0, "8: the fund owes nothing");
        // Cash is rounded down and debt up, by less than a unit of an index at each change of one.
        assertLe(sum, total, "cash adds up");
        assertApproxEqAbs(sum, total, 1e10, "cash adds up");
        assertGe(owed, debt, "debt adds up");
        assertApproxEqAbs(owed, debt, 1e10, "debt adds up");
        int256 held = int256(total) - int256(debt) + warmingTotal();
        for (uint256 id = 1; id <= 3; ++id) {
            held += int256(hub.pnlPool(id));
        }
        assertEq(hub.totalBacking(), hub.backing(USDC_A) + hub.backing(USDC_B), "total backing");
        assertEq(
            held, int256(hub.backing(USDC_A) + hub.backing(USDC_B)) + hub.lostBacking(), "1: cash is backed"
        );
    }

    function _positionsAreZeroSum() internal view {
        int256[4] memory quotes;
        uint256[4] memory longs;
        uint256[4] memory shorts;
        for (uint256 n; n < 6; ++n) {
            IClearinghouse.Portfolio memory p = hub.portfolio(handler.account(n));
            for (uint256 k; k < p.instrumentIds.length; ++k) {
                uint256 id = p.instrumentIds[k];
                quotes[id] += p.quotes[k];
                if (p.sizes[k] > 0) longs[id] += uint256(p.sizes[k]);
                else shorts[id] += uint256(-p.sizes[k]);
            }
            IMarginEngine.Health memory h = engine.health(p);
            assertLe(h.im, h.mm, "11: IM <= MM");
        }
        for (uint256 id = 1; id <= 3; ++id) {
            (uint256 long, uint256 short) = hub.openInterest(id);
            assertEq(long, short, "open interest");
            (int256 houseSize, int256 houseQuote) = hub.houseRow(id);
            if (houseSize > 0) longs[id] += uint256(houseSize);
            else shorts[id] += uint256(-houseSize);
            // A wei for each position and each change of one since something was closed.
            uint256 rest = _everClosed(id) ? 1000 : 0;
            assertLe(longs[id], long, "1: longs");
            assertLe(shorts[id], short, "1: shorts");
            assertApproxEqAbs(longs[id], long, rest, "1: longs");
            assertApproxEqAbs(shorts[id], short, rest, "1: shorts");
            int256 pool = int256(hub.pnlPool(id));
            // That many wei of size at any price.
            assertLe(quotes[id] + houseQuote, pool + int256(rest * 1e6), "quotes are funded by the pool");
            // A wei an accrual, and below a unit of the index per base unit a socialised loss.
            assertGt(quotes[id] + houseQuote, pool - 1e9, "only roundings");
        }
    }

    function _everClosed(uint256 id) internal view returns (bool) {
        (uint256 scaleLong, uint256 generationLong) = hub.sideOf(id, true);
        (uint256 scaleShort, uint256 generationShort) = hub.sideOf(id, false);
        return scaleLong + scaleShort != 2e36 || generationLong + generationShort != 0;
    }

    function _counters() internal view {
        uint256[2] memory suspicions;
        for (uint256 id = 1; id <= 5; ++id) {
            uint256 total;
            for (uint256 n; n < 6; ++n) {
                IClearinghouse.Row memory r = hub.row(handler.account(n), id);
                (, uint128 expected) = handler.newest(id, n);
                assertEq(r.target, expected, "3: the newest counts");
                assertGe(r.credited, r.target, "all of it is booked");
                assertEq(r.regressedSince != 0, r.credited > r.target, "regressions are marked");
                if (r.regressedSince != 0) ++suspicions[config.asset(id).eid - A];
                total += r.target;
            }
            assertEq(hub.creditedTotal(id), total, "credited total");
        }
        assertEq(hub.suspicions(A), suspicions[0]);
        assertEq(hub.suspicions(B), suspicions[1]);
        for (uint256 n; n < 6; ++n) {
            bytes32 account = handler.account(n);
            uint256 expected = _lack(account, USDC_A) + _lack(account, USDC_B);
            IClearinghouse.Portfolio memory p = hub.portfolio(account);
            assertEq(
                p.cash - int256(p.impaired[p.impaired.length - 1]),
                hub.cash(account) - int256(expected),
                "regressed cash"
            );
        }
    }

    function _lack(bytes32 account, uint256 id) internal view returns (uint256) {
        IClearinghouse.Row memory r = hub.row(account, id);
        return uint256(r.credited - r.target) * 1e12;
    }
}
