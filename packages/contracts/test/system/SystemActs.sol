// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IClearinghouse} from "../../src/interfaces/IClearinghouse.sol";
import {Accounts} from "../../src/libraries/Accounts.sol";
import {IdList} from "../../src/libraries/IdList.sol";
import {TestToken} from "../../src/mocks/TestToken.sol";
import {VenueGateway} from "../../src/spoke/VenueGateway.sol";
import {FickleVenue} from "../spoke/FickleVenue.sol";
import {SystemLosses} from "./SystemLosses.sol";

/// @notice What people, relayers, chains and a remote venue do with collateral and messages: nothing here is a lie but the venue's.
abstract contract SystemActs is SystemLosses {
    uint256 internal constant TRADERS = 3;
    uint256 internal constant BIDDER = 6;
    address internal constant REDIRECTED = address(0x300);

    /* COLLATERAL */

    function deposit(uint256 seed, uint256 n, uint256 amount) external {
        uint256 id = _assetOf(seed);
        if (!_takesDeposits(id)) id = _replaced ? id + 4 : id - 4;
        Standing memory s = _bystander(n % USERS, ACCOUNTS);
        _deposit(id, n % USERS, _bound(amount, 1, _listed[id].settlement ? 10_000e6 : 5e18));
        _unmoved(s);
    }

    function _deposit(uint256 id, uint256 n, uint256 amount) internal onChain(_listed[id].chain) {
        Listed memory a = _listed[id];
        a.token.mint(address(this), amount);
        a.token.approve(address(a.vault), amount);
        a.vault.deposit(_account(n), address(a.token), amount);
    }

    function withdraw(uint256 seed, uint256 n, uint256 amount, uint256 where) external {
        // The bidder keeps what he needs to bid.
        n %= BIDDER;
        Standing memory s = _bystander(n, ACCOUNTS);
        // The first asset from there on of which there is something.
        for (uint256 i; i < ASSETS; ++i) {
            uint256 id = _assetOf(seed % ASSETS + i);
            if (_mostOf(id, _account(n)) == 0) continue;
            _withdraw(id, n, amount, where % 2 == 0);
            break;
        }
        _unmoved(s);
    }

    /// @dev 6.10: whoever owes nothing is held back by nothing, as far as there is backing.
    function _withdraw(uint256 id, uint256 n, uint256 amount, bool toVenue) internal returns (uint256) {
        Listed memory a = _listed[id];
        bytes32 account = _account(n);
        uint256 most = _mostOf(id, account);
        if (most == 0) return 0;
        amount = amount == type(uint256).max ? most : _bound(amount, 1, most);
        address to = toVenue && a.chain == A ? address(venue.gateway()) : _recipient(n);
        uint256 cash = hub.totalBacking();
        (uint256 suspect, uint256 healthy) = _composition();
        vm.prank(Accounts.owner(account));
        try hub.withdraw(account, id, to, uint128(amount)) {
            ++_calls["withdraw"];
            if (a.settlement && hub.totalBacking() != cash) _holds4_inKind(id, suspect, healthy);
            return amount;
        } catch {
            // Claims may be short or under regression, and who trades may owe something.
            assertTrue(!a.settlement || n < TRADERS || n == BIDDER, "10: a debt-free account is held back");
            return 0;
        }
    }

    function _mostOf(uint256 id, bytes32 account) private view returns (uint256) {
        return _listed[id].settlement ? _leavable(id, account) : hub.row(account, id).claim;
    }

    /// @dev Token units that whoever owes nothing must get of a settlement token: what he left with in kind there, and of his cash as far as it is
    /// backed; of which a part goes in kind while another chain is suspect.
    function _leavable(uint256 id, bytes32 account) private view returns (uint256 most) {
        uint256 unit = _listed[id].unit;
        uint256 free = hub.freeCash(account);
        uint256 suspects = hub.suspectAssets();
        if (suspects != 0 && !IdList.contains(suspects, id)) {
            (uint256 suspect, uint256 healthy) = _composition();
            uint256 rounding = IdList.length(suspects) * unit;
            free = free <= rounding ? 0 : (free - rounding) * healthy / (healthy + suspect);
            if (free > healthy) free = healthy;
        }
        (uint256 held, bool short) = _payable(id);
        // Nobody leaves by there before the others have borne their part.
        if (short && IdList.contains(suspects, id)) return 0;
        most = free / unit < held ? free / unit : held;
        if (short) return most;
        (uint256 kept,) = hub.keptOf(account, id);
        most += kept;
    }

    /// @return held Token units of cash's backing at a vault, less its part of what is missing.
    function _payable(uint256 id) private view returns (uint256 held, bool short) {
        (int256 net,, uint128 written, uint128 shortfall,) = hub.vaulted(id);
        (, uint256 pot) = hub.keptOf(bytes32(0), id);
        int256 booked = net - int256(uint256(written)) - int256(pot);
        short = shortfall > written;
        if (booked <= 0) return (0, short);
        held = uint256(booked);
        if (!short) return (held, short);
        uint256 all = held + pot;
        uint256 lack = shortfall - written;
        held = all <= lack ? 0 : (all - lack) * held / all;
    }

    /// @dev Cash's backing at suspect chains, be it short, and at all others (WAD).
    function _composition() private view returns (uint256 suspect, uint256 healthy) {
        healthy = hub.totalBacking();
        for (uint256 list = hub.suspectAssets(); list != 0; list >>= 12) {
            uint256 id = list & IdList.MAX_ID;
            suspect += hub.backing(id);
            healthy -= hub.backing(id);
        }
    }

    /// @dev 6.4: cash that left as it should leaves what is left composed as it was: the last one gets for a unit what the first one got.
    function _holds4_inKind(uint256 id, uint256 suspect, uint256 healthy) private {
        uint256 suspects = hub.suspectAssets();
        if (suspects == 0 || IdList.contains(suspects, id)) return;
        ++_calls["inKind"];
        (uint256 suspectLeft, uint256 healthyLeft) = _composition();
        uint256 fair = suspect * healthyLeft / healthy;
        assertApproxEqAbs(suspectLeft, fair, 8e12, "4: the first to leave gets another share");
    }

    function transfer(uint256 from, uint256 to, uint256 amount) external {
        // The thief among his own, traders among themselves.
        (from, to) = from % 2 == 0
            ? (THIEF + to % 2, THIEF + 1 - to % 2)
            : (to % TRADERS, (to % TRADERS + 1 + amount % 2) % TRADERS);
        uint256 cash = hub.freeCash(_account(from));
        Standing memory s = _bystander(from, to);
        vm.prank(Accounts.owner(_account(from)));
        try hub.transferCash(_account(from), _account(to), _bound(amount, 0, cash)) {
            ++_calls["transfer"];
        } catch {}
        _unmoved(s);
    }

    /// @dev Cash that the account doesn't have, against its claims.
    function borrow(uint256 seed, uint256 n, uint256 amount) external {
        // The last has claims rather than cash.
        n = n % 4 < TRADERS ? n % 4 : TRADERS - 1;
        uint256[4] memory ids = [USDC_H, USDC_A, USDC_B, USDC_H];
        (uint256 id, bytes32 account) = (ids[seed % 4], _account(n));
        uint256 before = hub.lending().debt;
        Standing memory s = _bystander(n, ACCOUNTS);
        (uint256 free, uint256 more) = (hub.freeCash(account) / 1e12, _bound(amount, 1, 8000e6));
        // As much as it may.
        for (uint256 i; i < 10; i += 2) {
            vm.prank(Accounts.owner(account));
            try hub.withdraw(account, id, _recipient(n), uint128(free + (more >> i))) {
                break;
            } catch {}
        }
        IClearinghouse.Lent memory lent = hub.lending();
        if (lent.debt > before) {
            ++_calls["borrow"];
            assertLt(hub.cash(account), 0, "1: debt that nobody owes");
            assertLe(lent.debt, lent.limit, "5: more than a share of backing is lent");
        }
        _unmoved(s);
    }

    /// @dev Anybody pays for anybody: the first debtor from there on.
    function repay(uint256 n, uint256 amount) external {
        n %= TRADERS;
        for (uint256 i; i < TRADERS && hub.cash(_account(n)) >= 0; ++i) {
            n = (n + 1) % TRADERS;
        }
        int256 held = hub.cash(_account(n));
        if (held >= 0) return;
        Standing memory s = _bystander(n, BIDDER);
        vm.prank(Accounts.owner(_account(BIDDER)));
        try hub.transferCash(_account(BIDDER), _account(n), _bound(amount, 1, uint256(-held) + 1000e18)) {
            ++_calls["repay"];
        } catch {}
        _unmoved(s);
    }

    /* MESSAGES */

    function sendCounters(uint256 seed, uint256 n, uint256 all) external {
        uint256 id = _assetOf(seed);
        if (!_isOpen(id)) return;
        _pass(n % 3);
        _sendCounters(id, n % ACCOUNTS, all % 2 == 0);
    }

    function sendReleases(uint256 seed, uint256 n, uint256 all) external {
        uint256 id = _assetOf(seed);
        if (!_isOpen(id)) return;
        _pass(n % 3);
        _sendReleases(id, n, all % 2 == 0);
    }

    /// @dev Late, out of order, again: most often one of the last, and what is never chosen is lost.
    function deliver(uint256 i) external {
        uint256 count = _packets.length;
        if (count == 0) return;
        uint256 recent = count < 8 ? count : 8;
        _deliver(i % 4 == 0 ? (i / 4) % count : count - 1 - (i / 4) % recent);
    }

    /// @dev The first payee from there on for whom something waits.
    function push(uint256 seed, uint256 payee) external {
        uint256 id = _assetOf(seed);
        Listed memory a = _listed[id];
        uint256 count = _payees[a.chain].length;
        for (uint256 i; i < count; ++i) {
            Payee memory p = _payees[a.chain][(payee % count + i) % count];
            (uint128 owed,) = a.vault.released(p.account, address(a.token), p.recipient);
            if (owed <= a.vault.paidOut(p.account, address(a.token), p.recipient)) continue;
            return _push(id, (payee % count + i) % count);
        }
    }

    function _push(uint256 id, uint256 payee) internal onChain(_listed[id].chain) {
        Listed memory a = _listed[id];
        Payee memory p = _payees[a.chain][payee];
        if (a.vault.pay(p.account, address(a.token), p.recipient) == 0) return;
        ++_calls["paid"];
    }

    function redirect(uint256 seed, uint256 n, uint256 back) external onChain(_listed[_assetOf(seed)].chain) {
        Listed memory a = _listed[_assetOf(seed)];
        address who = _recipient(n % USERS);
        vm.prank(who);
        a.vault.redirect(address(a.token), back % 2 == 0 ? who : REDIRECTED);
    }

    /// @dev Everything that anyone may do about a row after its delay: the first that is under regression from there on, if there is one.
    function settle(uint256 seed, uint256 n, uint256 late) external {
        if (late % 2 == 0) _pass(1 hours);
        (seed, n) = (seed % ASSETS, n % ACCOUNTS);
        uint256 rows = ASSETS * ACCOUNTS;
        uint256 at = seed * ACCOUNTS + n;
        for (uint256 i; i < rows; ++i) {
            uint256 next = (at + i) % rows;
            if (hub.row(_account(next % ACCOUNTS), 1 + next / ACCOUNTS).regressedSince == 0) continue;
            at = next;
            break;
        }
        _settle(1 + at / ACCOUNTS, at % ACCOUNTS);
        // Winners have settled, so that there is profit for losses to take.
        for (uint256 i; seed % 2 == 0 && i < 2 * TRADERS; ++i) {
            hub.settlePnl(_account(i % TRADERS), PERP);
        }
        for (uint256 id = 1; id <= ASSETS; ++id) {
            (,, uint128 written, uint128 shortfall,) = hub.vaulted(id);
            if (written != shortfall) _repair(id);
        }
    }

    /// @dev Chains that stand still, or seem to, or are not spoken of.
    function pass(uint256 time, uint256 seed) external {
        _pass(_bound(time, 1, 12 hours));
        for (uint256 c = A; c <= B; ++c) {
            uint256 bits = seed >> (8 * c);
            if (bits & 3 != 0) oracle.set(ETH_FEED + c, block.timestamp * WAD);
            else if (bits & 12 != 0) oracle.set(ETH_FEED + c, oracle.price(ETH_FEED + c).price);
        }
        if (seed & 3 != 0) _watch();
    }

    function _watch() internal {
        uint256[] memory ids = new uint256[](ASSETS);
        for (uint256 id = 1; id <= ASSETS; ++id) {
            ids[id - 1] = id;
        }
        _calls["watch"] += hub.watch(ids);
        if (hub.suspectAssets() != 0) ++_calls["suspect"];
    }

    function replaceVault(uint256 seed) external {
        if (_replaced || seed % 4 != 0) return;
        _replace();
        ++_calls["replace"];
    }

    /* A REMOTE VENUE */

    /// @dev It takes what it is offered, or refuses in any of its manners; what it refused for a day is deposited again.
    function offer(uint256 seed, uint256 n, uint256 manner) external {
        uint256 id = seed % 2 == 0 ? USDC_A : WETH_A;
        if (_replaced && seed % 4 > 1) id += 4;
        // So little that it is paid at once.
        uint256 amount = 1 + manner % (_listed[id].settlement ? 400e6 : 0.4e18);
        // The first from there on who may.
        for (uint256 i; manner % 3 != 0 && i < BIDDER; ++i) {
            uint256 who = (n % BIDDER + i) % BIDDER;
            if (_withdraw(id, who, amount, true) == 0) continue;
            _fetch(id, _account(who), address(venue.gateway()));
            break;
        }
        _offer(id, n, manner / 4);
    }

    /// @dev A release is sent, arrives, and is paid.
    function _fetch(uint256 id, bytes32 account, address recipient) internal {
        uint256 c = _listed[id].chain;
        for (uint256 i; i < _payees[c].length; ++i) {
            if (_payees[c][i].account != account || _payees[c][i].recipient != recipient) continue;
            _sendReleases(id, i, false);
            if (c != H) _deliverLast();
            return _push(id, i);
        }
    }

    function _offer(uint256 id, uint256 n, uint256 manner) private onChain(A) {
        (uint32 epoch, address token) = (_listed[id].epoch, address(_listed[id].token));
        VenueGateway g = venue.gateway();
        for (uint256 i; i < USERS; ++i) {
            bytes32 account = _account((n % USERS + i) % USERS);
            if (g.pending(epoch, account, token) == 0) continue;
            venue.setManner(
                manner % 2 == 0 ? FickleVenue.Manner(1 + manner / 2 % 5) : FickleVenue.Manner.Take
            );
            if (venue.manner() != FickleVenue.Manner.Take) ++_calls["fickle"];
            if (g.offer(epoch, account, token)) ++_calls["allocated"];
            else ++_calls["refusedByVenue"];
            assertLe(g.outstanding(token), g.registry().cap(address(g), token), "4: a venue beyond its cap");
            return;
        }
    }

    /// @dev To any account, whoever allocated it.
    function giveBack(uint256 seed, uint256 n, uint256 amount) external onChain(A) {
        TestToken token = seed % 2 == 0 ? _chains[A].usdc : _chains[A].weth;
        uint256 held = token.balanceOf(address(venue));
        if (held == 0) return;
        venue.give(_account(n % USERS), token, _bound(amount, 1, held));
        ++_calls["givenBack"];
    }

    /* HELPERS */

    function _assetOf(uint256 seed) internal pure returns (uint256) {
        return 1 + seed % ASSETS;
    }

    function _recipient(uint256 n) internal pure returns (address) {
        return address(uint160(0x200 + n));
    }
}
