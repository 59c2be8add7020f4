// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Test} from "forge-std/Test.sol";
import {Clearinghouse} from "../../src/hub/Clearinghouse.sol";
import {Accounts} from "../../src/libraries/Accounts.sol";
import {HubFixture} from "./HubFixture.sol";
import {OracleDouble} from "./OracleDouble.sol";

/// @notice Two accounts of one mind, and two others with the fund and its book. All trade with all, at prices that jump as far as they like, settle, are
/// taken over and charged; the coalition takes out what it can.
contract CoalitionHandler is Test {
    Clearinghouse internal immutable hub;
    OracleDouble internal immutable oracle;
    address internal immutable venue;
    address internal immutable gateway;
    address internal immutable backstop;
    /// The coalition's first, then the others'; then fund and backstop.
    address[6] public actors;
    uint256 internal constant ETH = 1;

    /// WAD.
    uint256 public deposited;
    uint256 public withdrawn;
    uint256 public othersDeposited;
    uint256 public othersWithdrawn;
    /// WAD; what cuts of warming profit have rounded off at most.
    uint256 public roundings;
    mapping(bytes32 action => uint256) public calls;
    uint128[4] internal _counters;

    constructor(Clearinghouse hub_, OracleDouble oracle_, address venue_, address[6] memory actors_) {
        (hub, oracle, venue, actors) = (hub_, oracle_, venue_, actors_);
        (gateway, backstop) = (hub_.gateway(), hub_.backstop());
    }

    function account(uint256 n) public view returns (bytes32) {
        return Accounts.main(actors[n]);
    }

    function deposit(uint256 who, uint256 amount) external {
        who %= 4;
        amount = bound(amount, 1e6, 100_000e6);
        _counters[who] += uint128(amount);
        vm.warp(block.timestamp + 1);
        address token = hub.riskConfig().asset(1).token;
        vm.prank(gateway);
        hub.receiveCounter(101, 1, uint64(block.timestamp), token, account(who), _counters[who]);
        if (who < 2) deposited += amount * 1e12;
        else othersDeposited += amount * 1e12;
    }

    function withdraw(uint256 who, uint256 share) external {
        who %= 4;
        hub.warm(account(who));
        uint128 amount = uint128(hub.freeCash(account(who)) * bound(share, 1, 100) / 100 / 1e12);
        vm.prank(actors[who]);
        try hub.withdraw(account(who), 1, actors[who], amount) {
            ++calls["withdraw"];
        } catch {
            return;
        }
        if (who < 2) withdrawn += uint256(amount) * 1e12;
        else othersWithdrawn += uint256(amount) * 1e12;
    }

    function transfer(uint256 from, uint256 share) external {
        from %= 2;
        uint256 amount = hub.freeCash(account(from)) * bound(share, 0, 100) / 100;
        vm.prank(actors[from]);
        try hub.transferCash(account(from), account(1 - from), amount) {} catch {}
    }

    function trade(uint256 buyer, uint256 seller, uint256 size, uint256 offset) external {
        uint256 mid = oracle.price(ETH).price;
        vm.prank(venue);
        try hub.trade(
            1,
            account(buyer % 4),
            account((buyer % 4 + 1 + seller % 3) % 4),
            bound(size, 1, 1_000_000e36 / mid),
            mid * bound(offset, 9810, 10_190) / 10_000
        ) {
            ++calls["trade"];
        } catch {}
    }

    /// @dev A spike of any size, or a small step.
    function movePrice(uint256 seed) external {
        uint256 mid = oracle.price(ETH).price;
        mid = seed % 3 == 0 ? mid * bound(seed, 10, 2400) / 100 : mid * bound(seed, 95, 105) / 100;
        oracle.set(ETH, bound(mid, 10e18, 100_000e18));
    }

    function settle(uint256 who) external {
        if (hub.settlePnl(account(who % 6), 1) != 0) ++calls["settle"];
    }

    function wait_(uint256 time) external {
        vm.warp(block.timestamp + bound(time, 1, 8 hours));
    }

    function warm(uint256 who) external {
        (, uint256 ripe,) = hub.warming(account(who % 4));
        hub.warm(account(who % 4));
        if (ripe != 0) ++calls["warm"];
    }

    function takeShare(uint256 from, uint256 fraction) external {
        vm.prank(backstop);
        try hub.transferFraction(account(from % 4), account(5), bound(fraction, 0, 1e18), 0) {
            ++calls["take"];
        } catch {}
    }

    function socialise(uint256 who, uint256 amount) external {
        (uint256 total,,,) = hub.warmings();
        vm.prank(backstop);
        if (hub.socialise(account(who % 4), bound(amount, 0, 50_000e18)) != 0) ++calls["socialise"];
        (uint256 left, uint256 index,,) = hub.warmings();
        // A cut rounds off less than a unit of the index, of every share.
        if (left != total) roundings += left / index + 1;
    }

    function deleverage(uint256 who, uint256 share) external {
        int256 size = hub.position(account(who % 4), ETH).size;
        uint256 most = uint256(size > 0 ? size : -size);
        vm.prank(backstop);
        if (hub.deleverage(account(who % 4), ETH, share % 2 == 0 ? most : bound(share, 0, most)) != 0) {
            ++calls["deleverage"];
        }
    }
}

/// @notice DESIGN §6.5: a coalition with only cash and positions withdraws no more than it deposited and others paid.
contract CoalitionInvariantsTest is HubFixture {
    CoalitionHandler internal handler;

    function setUp() public override {
        super.setUp();
        address[6] memory actors = [makeAddr("one"), makeAddr("another"), alice, bob, fund, backstop];
        handler = new CoalitionHandler(hub, oracle, venue, actors);
        for (uint256 n; n < 4; ++n) {
            _approve(actors[n]);
            handler.deposit(n, 100_000e6);
        }
        bytes4[] memory acts = new bytes4[](15);
        acts[0] = CoalitionHandler.deposit.selector;
        acts[1] = CoalitionHandler.withdraw.selector;
        acts[2] = CoalitionHandler.transfer.selector;
        acts[3] = CoalitionHandler.movePrice.selector;
        acts[4] = CoalitionHandler.settle.selector;
        acts[5] = CoalitionHandler.settle.selector;
        acts[6] = CoalitionHandler.wait_.selector;
        acts[7] = CoalitionHandler.warm.selector;
        acts[8] = CoalitionHandler.takeShare.selector;
        acts[9] = CoalitionHandler.socialise.selector;
        acts[14] = CoalitionHandler.deleverage.selector;
        for (uint256 n = 10; n < 14; ++n) {
            acts[n] = CoalitionHandler.trade.selector;
        }
        targetSelector(FuzzSelector(address(handler), acts));
        targetContract(address(handler));
    }

    function invariant_aCoalitionTakesOutWhatItBroughtAndWhatOthersPaid() public view {
        int256 othersHave;
        for (uint256 n = 2; n < 6; ++n) {
            othersHave += money(handler.account(n));
        }
        // In money: what somebody may still win or lose has been paid by nobody.
        int256 paid = int256(handler.othersDeposited()) - int256(handler.othersWithdrawn()) - othersHave;
        assertLe(int256(handler.withdrawn()), int256(handler.deposited()) + paid, "5");
    }

    function invariant_warmingProfitIsWhatAccountsHaveOfIt() public view {
        uint256 sum;
        int256 held = warmingTotal() + int256(hub.pnlPool(ETH_PERP));
        for (uint256 n; n < 6; ++n) {
            (uint256 amount, uint256 ripe,) = hub.warming(handler.account(n));
            assertLe(ripe, amount);
            sum += amount;
            held += hub.cash(handler.account(n));
        }
        assertLe(int256(sum), warmingTotal());
        assertGe(int256(sum + handler.roundings()) + 1e6, warmingTotal(), "but for roundings");
        assertEq(held, int256(hub.backing(USDC_A)), "1: cash is backed");
    }

    function afterInvariant() public {
        emit log_named_uint("trade", handler.calls("trade"));
        emit log_named_uint("settle", handler.calls("settle"));
        emit log_named_uint("warm", handler.calls("warm"));
        emit log_named_uint("withdraw", handler.calls("withdraw"));
        emit log_named_uint("take", handler.calls("take"));
        emit log_named_uint("socialise", handler.calls("socialise"));
        emit log_named_uint("deleverage", handler.calls("deleverage"));
    }
}
