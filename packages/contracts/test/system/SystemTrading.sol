// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {AuctionMath} from "../../src/hub/AuctionMath.sol";
import {IMarginEngine} from "../../src/interfaces/IMarginEngine.sol";
import {IRiskConfig} from "../../src/interfaces/IRiskConfig.sol";
import {Accounts} from "../../src/libraries/Accounts.sol";
import {SystemActs} from "./SystemActs.sol";

/// @notice Traders at prices that jump, who liquidates them (invariant 7, act by act), and the fund with its book (8).
abstract contract SystemTrading is SystemActs {
    address internal constant LP = address(0x400);
    /// @dev Roundings of a liquidation, WAD.
    int256 private constant ROUNDED = 1e12;

    /// @dev Of the price of an account's auction: when it opened last, and the share asked then or since.
    mapping(uint256 n => uint256) private _openedAt;
    mapping(uint256 n => uint256) private _askedFor;
    mapping(uint256 n => bool) private _wasOpen;

    function trade(uint256 buyer, uint256 seller, uint256 size, uint256 offset) external {
        uint256 mid = oracle.price(ETH_FEED).price;
        (buyer, seller) = (buyer % 3, (buyer % 3 + 1 + seller % 2) % 3);
        // Most often who is long buys.
        if (offset % 4 != 0 && hub.position(_account(buyer), PERP).size < 0) {
            (buyer, seller) = (seller, buyer);
        }
        int256 equity = engine.accountHealth(_account(buyer)).equity;
        size = _bound(size, 0.1e18, 1e18 + (equity > 0 ? uint256(8 * equity) * WAD / mid : 0));
        mid = mid * _bound(offset, 9900, 10_100) / 10_000;
        Standing memory s = _bystander(buyer, seller);
        // As much as they may, so that some are soon in danger.
        for (uint256 i; i < 4; ++i) {
            try hub.trade(PERP, _account(buyer), _account(seller), size >> i, mid) {
                ++_calls["trade"];
                break;
            } catch {}
        }
        _unmoved(s);
    }

    /// @dev A step, or a crash or rally, after which everybody whose margin it broke is auctioned.
    /// Some bidder is quick.
    function movePrice(uint256 step, uint256 confidence, uint256 fraction) external {
        uint256 price = oracle.price(ETH_FEED).price;
        if (step % 8 == 0) price = price * _bound(step, 60, 160) / 100;
        else if (step % 8 == 1) (price, fraction) = (_against(confidence), fraction & ~uint256(1));
        else price = price * _bound(step, 890, 1120) / 1000;
        oracle.set(ETH_FEED, _bound(price, 300e18, 12_000e18), _bound(confidence, 0, 0.01e18), 0, true);
        bytes32[] memory accounts = new bytes32[](TRADERS);
        bool[TRADERS] memory broken;
        for (uint256 n; n < TRADERS; ++n) {
            accounts[n] = _account(n);
            broken[n] = engine.accountHealth(accounts[n]).mm < 0;
        }
        _calls["start"] += auction.updateAndStart("", accounts);
        for (uint256 n; n < TRADERS; ++n) {
            assertEq(
                auction.auction(accounts[n]).startedAt != 0, broken[n], "7: where, and only where, MM < 0"
            );
        }
        _holds7_prices();
        for (uint256 n; n < TRADERS && fraction % 2 == 0; ++n) {
            if (broken[n]) _bid(n, fraction);
        }
    }

    /// @dev The price turns against a trader of whom nothing is in doubt: he has a tenth left, or owes as much.
    function _against(uint256 seed) private returns (uint256) {
        uint256 n = seed % TRADERS;
        for (uint256 i; i < TRADERS && hub.position(_account(n), PERP).size == 0; ++i) {
            n = (n + 1) % TRADERS;
        }
        for (uint256 id = USDC_A; id <= ASSETS; ++id) {
            if (!_isOpen(id)) continue;
            _sendCounters(id, n, false);
            _deliverLast();
        }
        _pass(1 hours + 1);
        for (uint256 c = A; c <= B; ++c) {
            oracle.set(ETH_FEED + c, block.timestamp * WAD);
        }
        _watch();
        for (uint256 id = USDC_A; id <= ASSETS; ++id) {
            _settle(id, n);
        }
        return _without(n, seed / TRADERS % 2 == 0 ? 9 : 11);
    }

    /// @return Where an account has lost so many tenths of its equity.
    function _without(uint256 n, uint256 tenths) private view returns (uint256) {
        uint256 price = oracle.price(ETH_FEED).price;
        int256 size = hub.position(_account(n), PERP).size;
        int256 equity = engine.accountHealth(_account(n)).equity;
        if (size == 0 || equity <= 0) return price;
        uint256 step = 1 + uint256(equity) * WAD / uint256(size > 0 ? size : -size) * tenths / 10;
        if (size < 0) return price + step;
        return step < price ? price - step : price / 2;
    }

    /// @dev 6.7: within an hour of its last opening the price of an account doesn't rise, and it is never zero.
    function _holds7_prices() private {
        for (uint256 n; n < TRADERS; ++n) {
            uint256 startedAt = auction.auction(_account(n)).startedAt;
            bool open = startedAt != 0;
            if (open) {
                uint256 share = auction.shareAt(block.timestamp - startedAt);
                assertGt(share, 0, "7: given away");
                bool recent = _openedAt[n] != 0 && block.timestamp - _openedAt[n] <= 1 hours;
                if (recent) assertLe(share, _askedFor[n], "7: the price rises");
                _askedFor[n] = share;
                if (!_wasOpen[n]) _openedAt[n] = block.timestamp;
            }
            _wasOpen[n] = open;
        }
    }

    function bid(uint256 n, uint256 fraction) external {
        n = _opened(n);
        if (auction.auction(_account(n)).startedAt != 0) _bid(n, fraction);
    }

    function _bid(uint256 n, uint256 fraction) private {
        bytes32 account = _account(n);
        Standing memory s = _bystander(n, BIDDER);
        IMarginEngine.Valuation memory v = engine.valuation(account);
        uint256 fundCash = uint256(hub.cash(_account(FUND)));
        vm.prank(Accounts.owner(_account(BIDDER)));
        try auction.bid(account, _account(BIDDER), _bound(fraction, 0.1e18, WAD), type(uint256).max) returns (
            uint256 taken, uint256 payment, uint256 fromFund
        ) {
            ++_calls["bid"];
            uint256 fee = payment * auction.feeShare() / WAD;
            assertEq(
                uint256(hub.cash(_account(FUND))) + fromFund, fundCash + fee, "8: the fund's payment and fee"
            );
            assertTrue(v.offered.equity <= 0 || payment != 0, "7: taken for nothing");
            _holds7_liquidation(n, v, taken, fromFund);
        } catch {}
        _unmoved(s);
        _holds7_prices();
    }

    /// @dev 6.7, and 6.8 of what the fund paid.
    function _holds7_liquidation(uint256 n, IMarginEngine.Valuation memory v, uint256 taken, uint256 fromFund)
        private
    {
        assertLt(v.account.mm, 0, "7: liquidated without need");
        if (v.offered.equity <= 0) {
            ++_calls["insolvent"];
            uint256 most = uint256(-v.offered.equity) + v.offered.notional / 100;
            assertLe(fromFund, most + uint256(ROUNDED), "8: the fund paid more than deficit and bonus");
            return;
        }
        ++_calls["solvent"];
        assertEq(fromFund, 0, "8: a solvent account costs the fund nothing");
        // The whole of it went: what stays behind is what can't be taken.
        if (taken == WAD || v.impaired) return;
        IMarginEngine.Health memory left = engine.accountHealth(_account(n));
        int256 before = AuctionMath.bufferMargin(v.account.equity, v.account.mm, 1500);
        int256 current = AuctionMath.bufferMargin(left.equity, left.mm, 1500);
        assertLe(current, ROUNDED, "7: past the buffer");
        assertGe(current + ROUNDED, before * int256(WAD - taken) / int256(WAD), "7: the buffer ratio falls");
    }

    function takeOver(uint256 n, uint256 late) external {
        if (late % 4 == 1) return _abandon(late, n);
        if (late % 4 == 0) _pass(WINDOW);
        _takeOver(_opened(n));
    }

    function _takeOver(uint256 n) private {
        Standing memory s = _bystander(n, ACCOUNTS);
        IMarginEngine.Valuation memory v = engine.valuation(_account(n));
        uint256 fundCash = hub.freeCash(_account(FUND));
        // What comes along, and what its book has of it.
        uint256 debt = _owed(_account(n)) + _owed(_account(8));
        Borne memory before = _borne();
        bytes32 sides = _sidesOf();
        // A deficit beyond the fund is the other side's.
        bool shared = v.offered.equity < -int256(fundCash);
        try backstop.takeOver(_account(n)) {
            ++_calls["takenOver"];
            assertLt(v.account.mm, 0, "7: taken without need");
            uint256 paid = fundCash - hub.freeCash(_account(FUND));
            if (v.offered.equity <= 0) {
                assertLe(
                    paid, uint256(-v.offered.equity) + debt, "8: the fund paid more than deficit and debt"
                );
            }
            _holds8_debt(before, v.cash);
            if (shared) ++_calls["shared"];
        } catch {
            shared = false;
        }
        if (sides != _sidesOf()) ++_calls["closed"];
        if (!shared) _unmovedBy(s, sides != _sidesOf());
        _holds7_prices();
    }

    function _owed(bytes32 account) private view returns (uint256) {
        int256 held = hub.cash(account);
        return held < 0 ? uint256(-held) : 0;
    }

    /// @dev A crash or rally that nobody bids into: what neither fund nor caps can carry closes against the other side.
    function _abandon(uint256 move, uint256 capped) private {
        uint256 price = oracle.price(ETH_FEED).price;
        price = _bound(price * _bound(move, 40, 250) / 100, 300e18, 12_000e18);
        oracle.set(ETH_FEED, price, 0, 0, true);
        bytes32[] memory accounts = new bytes32[](TRADERS);
        for (uint256 n; n < TRADERS; ++n) {
            accounts[n] = _account(n);
        }
        _calls["start"] += auction.updateAndStart("", accounts);
        _holds7_prices();
        _pass(WINDOW);
        IRiskConfig.Instrument memory i = config.instrument(PERP);
        uint128 cap = i.backstopCap;
        i.backstopCap = capped % 2 == 0 ? 0 : cap;
        config.setInstrument(PERP, i);
        for (uint256 n; n < TRADERS; ++n) {
            if (auction.auction(accounts[n]).startedAt != 0) _takeOver(n);
        }
        i.backstopCap = cap;
        config.setInstrument(PERP, i);
    }

    /// @dev The first trader from n on whose auction is open.
    function _opened(uint256 n) private view returns (uint256) {
        n %= TRADERS;
        for (uint256 i; i < TRADERS && auction.auction(_account(n)).startedAt == 0; ++i) {
            n = (n + 1) % TRADERS;
        }
        return n;
    }

    function settlePnl(uint256 n) external {
        n %= ACCOUNTS;
        Standing memory s = _bystander(n, ACCOUNTS);
        if (hub.settlePnl(_account(n), PERP) != 0) ++_calls["settled"];
        hub.warm(_account(n));
        _unmoved(s);
    }

    /* THE FUND AND ITS BOOK */

    function bookkeeping(uint256 what, uint256 c) external {
        if (what % 4 == 0) {
            // The price turns against its book, and somebody gives the fund what covers that.
            oracle.set(ETH_FEED, _bound(_without(8, 11), 300e18, 12_000e18));
            _deposit(USDC_H, FUND, 2000e6);
            _sendCounters(USDC_H, FUND, false);
        }
        Standing memory s = _bystander(ACCOUNTS, ACCOUNTS);
        if (what % 2 == 0) {
            if (backstop.cover() != 0) ++_calls["covered"];
            if (backstop.sweep() != 0) ++_calls["swept"];
        } else {
            uint256[3] memory ids = [WETH_A, WETH_B, NEXT_WETH];
            // The first from there on of which it has something.
            for (uint256 i; i < 3 && hub.row(_account(8), ids[c % 3]).claim == 0; ++i) {
                c = c % 3 + 1;
            }
            if (backstop.releaseCollateral(ids[c % 3]) != 0) ++_calls["lot"];
            if (what % 4 == 1 && (ids[c % 3] != NEXT_WETH || _replaced)) {
                _fetch(ids[c % 3], _account(8), address(_chains[_listed[ids[c % 3]].chain].executor));
            }
        }
        _unmoved(s);
    }

    function sellLot(uint256 c, uint256 amount) external {
        // On the other chain, where nothing is for sale on this one.
        c %= 2;
        if (_chains[A + c].weth.balanceOf(address(_chains[A + c].executor)) == 0) c = 1 - c;
        _sellLot(A + c, amount);
    }

    function _sellLot(uint256 c, uint256 amount) private onChain(c) {
        Spoke memory chain = _chains[c];
        (uint128 left, uint64 startedAt) = chain.executor.lots(address(chain.weth));
        if (left == 0 || block.timestamp > startedAt + 1 hours) {
            if (chain.weth.balanceOf(address(chain.executor)) == 0) return;
            chain.executor.open(address(chain.weth));
            (left,) = chain.executor.lots(address(chain.weth));
        }
        amount = _bound(amount, 1, left);
        uint256 proceeds = chain.executor.quote(address(chain.weth), amount);
        chain.usdc.mint(address(this), proceeds);
        chain.usdc.approve(address(chain.executor), proceeds);
        chain.executor.buy(address(chain.weth), amount, proceeds);
        ++_calls["sold"];
    }

    function fundFlow(uint256 what, uint256 amount) external {
        _resume();
        vm.startPrank(LP);
        if (what % 8 == 2 && fund.balanceOf(LP) != 0) {
            fund.cancelRedeem();
            uint256 until = fund.requestRedeem(fund.balanceOf(LP));
            if (amount % 4 == 0) _pass(until - block.timestamp);
        }
        Standing memory s = _bystander(ACCOUNTS, ACCOUNTS);
        if (what % 4 < 2 && fund.maxDeposit(LP) != 0) {
            amount = _bound(amount, 1e6, 2000e6);
            _chains[H].usdc.mint(LP, amount);
            _chains[H].usdc.approve(address(fund), amount);
            // Refused while it can't become cash at once.
            try fund.deposit(amount, LP) {
                ++_calls["funded"];
            } catch {}
        }
        uint256 ripe = fund.maxRedeem(LP);
        if (auction.insolventCount() != 0) assertEq(ripe, 0, "8: an exit while a loss is known");
        if (ripe != 0) {
            try fund.redeem(ripe, LP, LP) {
                ++_calls["redeemed"];
            } catch {}
        }
        vm.stopPrank();
        _unmoved(s);
    }
}
