// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Accounts} from "../../src/libraries/Accounts.sol";
import {SystemChecks} from "./SystemChecks.sol";

/// @notice How a run begins, and what an honest round at its end restores.
abstract contract SystemRun is SystemChecks {
    bytes4[] private _acts;

    function setUp() public {
        vm.record();
        _deploySystem();
        _payees[H].push(Payee(_account(7), LP));
        for (uint256 c; c < 3; ++c) {
            for (uint256 n; n < USERS; ++n) {
                _payees[c].push(Payee(_account(n), _recipient(n)));
                if (c == A) _payees[c].push(Payee(_account(n), address(venue.gateway())));
            }
            if (c != H) _payees[c].push(Payee(_account(8), address(_chains[c].executor)));
        }
        _startHistory();
        _open();
        _startedAt = block.timestamp;
        for (uint256 id = 1; id <= ASSETS; ++id) {
            (_first[id],,) = _listed[id].vault.totals(address(_listed[id].token));
        }
        _target();
    }

    function _open() private {
        for (uint256 n; n < USERS; ++n) {
            vm.startPrank(Accounts.owner(_account(n)));
            if (n < TRADERS) hub.approveVenue(_account(n), address(this), type(uint256).max);
            hub.openRow(_account(n), WETH_A);
            hub.openRow(_account(n), WETH_B);
            hub.openRow(_account(n), NEXT_WETH);
            vm.stopPrank();
        }
        for (uint256 n; n < TRADERS; ++n) {
            // The last has claims above all, to borrow against.
            _deposit(USDC_A, n, n == 2 ? 5000e6 : 15_000e6);
            _deposit(n == 0 ? WETH_B : WETH_A, n, n == 2 ? 12e18 : 5e18);
        }
        _deposit(USDC_H, PASSIVE, 5000e6);
        _deposit(USDC_A, PASSIVE, 5000e6);
        _deposit(WETH_B, PASSIVE, 12e18);
        _deposit(USDC_B, PASSIVE, 60_000e6);
        _deposit(USDC_B, THIEF, 1000e6);
        _deposit(USDC_H, BIDDER, 500_000e6);
        _chains[H].usdc.mint(LP, 3000e6);
        vm.startPrank(LP);
        _chains[H].usdc.approve(address(fund), 3000e6);
        fund.deposit(3000e6, LP);
        vm.stopPrank();
        _tellAll();
        hub.trade(PERP, _account(0), _account(1), 30e18, 2000e18);
    }

    function _target() private {
        bytes4[53] memory acts = [
            this.deposit.selector,
            this.deposit.selector,
            this.deposit.selector,
            this.withdraw.selector,
            this.withdraw.selector,
            this.withdraw.selector,
            this.transfer.selector,
            this.sendCounters.selector,
            this.sendCounters.selector,
            this.sendCounters.selector,
            this.sendReleases.selector,
            this.sendReleases.selector,
            this.deliver.selector,
            this.deliver.selector,
            this.deliver.selector,
            this.deliver.selector,
            this.deliver.selector,
            this.push.selector,
            this.redirect.selector,
            this.settle.selector,
            this.settle.selector,
            this.pass.selector,
            this.replaceVault.selector,
            this.offer.selector,
            this.giveBack.selector,
            this.trade.selector,
            this.trade.selector,
            this.trade.selector,
            this.movePrice.selector,
            this.movePrice.selector,
            this.movePrice.selector,
            this.bid.selector,
            this.bid.selector,
            this.bid.selector,
            this.bid.selector,
            this.bid.selector,
            this.withdraw.selector,
            this.trade.selector,
            this.trade.selector,
            this.pass.selector,
            this.takeOver.selector,
            this.takeOver.selector,
            this.settlePnl.selector,
            this.settlePnl.selector,
            this.bookkeeping.selector,
            this.bookkeeping.selector,
            this.sellLot.selector,
            this.sellLot.selector,
            this.fundFlow.selector,
            this.fundFlow.selector,
            this.borrow.selector,
            this.borrow.selector,
            this.repay.selector
        ];
        for (uint256 i; i < acts.length; ++i) {
            _acts.push(acts[i]);
        }
        _acts.push(this.reorg.selector);
        _acts.push(this.vanish.selector);
        _acts.push(this.forgeCounters.selector);
        _acts.push(this.forgeRelease.selector);
        targetSelector(FuzzSelector({addr: address(this), selectors: _acts}));
        targetContract(address(this));
    }

    /// @dev Acts as the fuzzer chooses them, by a seed of ours, to the end.
    function run(uint256 seed, uint256 acts) external {
        for (uint256 i; i < acts; ++i) {
            uint256 r = uint256(keccak256(abi.encode(seed, i)));
            (bool ok, bytes memory reason) = address(this)
                .call(
                    abi.encodeWithSelector(
                        _acts[r % _acts.length], r / 32, _random(r, 1), _random(r, 2), _random(r, 3)
                    )
                );
            assertTrue(ok, vm.toString(reason));
            if (i % 50 == 0) this.check();
        }
        this.afterInvariant();
    }

    /// @dev How often something came about.
    function count(bytes32 kind) external view returns (uint256 times) {
        times = _calls[kind];
        for (uint256 i; kind == "dropped" && i < _packets.length; ++i) {
            if (_arrivals[i] == 0) ++times;
        }
    }

    /// @dev In a call of its own, whose memory is gone after it.
    function check() external view {
        _checkAll();
    }

    function _random(uint256 seed, uint256 n) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, n)));
    }

    /* IN THE END */

    /// @dev 6.3: one honest message each restores everything; 6.2 at finality, to the unit; 6.10: all that can be paid is, and who owes nothing leaves.
    function afterInvariant() public {
        _pass(SKEW + 1);
        for (uint256 round; round < 3; ++round) {
            _tellAll();
            _pass(1 hours + 1);
        }
        _payAll();
        _checkAll();
        uint256 causes = _badDebt;
        for (uint256 id = 1; id <= ASSETS; ++id) {
            if (_isOpen(id)) causes += _checkFinal(id);
        }
        if (_calls["forgedCounters"] != 0) {
            uint256 elapsed = block.timestamp - _startedAt;
            causes += (config.asset(USDC_B).matureCap + config.asset(USDC_B).matureRate * elapsed) * 1e12;
        }
        int256 lost = hub.lostBacking();
        // Of what was lost some may be found, whoever bore it: it is the fund's, or stays for the next loss.
        int256 borne = lost + int256(hub.fundBorne() + _cutOfCash + _cutOfWarming);
        assertLe(borne, int256(causes + _dust), "8: a loss that nothing caused");
        assertGe(borne + int256(hub.overdrawn() + _dust), 0, "8: found what nobody lost");
        _leave();
    }

    /// @dev Every counter arrives, every chain is there, and whatever anyone may do about a row is done.
    function _tellAll() internal {
        uint256[4] memory ids = [USDC_H, USDC_A, USDC_B, NEXT_USDC];
        for (uint256 i; i < 4; ++i) {
            if (!_isOpen(ids[i])) continue;
            // What lies have left of the nonces is used up.
            for (uint256 tries; tries == 0 || (tries < 40 && ids[i] != USDC_H && !_deliverLast()); ++tries) {
                _sendCounters(ids[i], 0, true);
            }
        }
        for (uint256 c = A; c <= B; ++c) {
            oracle.set(ETH_FEED + c, block.timestamp * WAD);
        }
        _watch();
        for (uint256 id = 1; id <= ASSETS; ++id) {
            for (uint256 n; n < ACCOUNTS; ++n) {
                _settle(id, n);
            }
        }
    }

    function _payAll() internal {
        for (uint256 id = 1; id <= ASSETS; ++id) {
            if (!_isOpen(id)) continue;
            for (uint256 tries; tries == 0 || (tries < 40 && id != USDC_H && !_deliverLast()); ++tries) {
                _sendReleases(id, 0, true);
            }
        }
        // What waits, and what followed it meanwhile, each in its turn.
        for (uint256 turn; turn < 4; ++turn) {
            _pass(200 days);
            for (uint256 id = 1; id <= ASSETS; ++id) {
                for (uint256 i; i < _payees[_listed[id].chain].length; ++i) {
                    _push(id, i);
                }
            }
        }
        _tellAll();
    }

    /// @return WAD of cash that its losses explain.
    function _checkFinal(uint256 id) private view returns (uint256) {
        Listed memory a = _listed[id];
        Sums memory s = _sums(id);
        (uint256 totalIn, uint256 totalOut, uint256 short) = a.vault.totals(address(a.token));
        assertEq(s.credited, totalIn, "3: the hub knows every deposit");
        {
            (int256 net,, uint128 written, uint128 told, uint128 returned) = hub.vaulted(id);
            assertEq(told, short, "3: and what is missing");
            assertEq(written, short, "2: what is missing is written off");
            net += int256(s.unpaid) - int256(s.over) + int256(s.immature + returned);
            assertEq(net, int256(totalIn - totalOut), "2: all that lies there is somebody's");
        }
        for (uint256 i; i < _payees[a.chain].length; ++i) {
            _checkPaid(id, a, _payees[a.chain][i]);
        }
        return a.settlement ? (_undone[id] + short + s.over) * a.unit : 0;
    }

    function _checkPaid(uint256 id, Listed memory a, Payee memory p) private view {
        uint256 released = hub.released(p.account, p.recipient, id);
        (uint128 told,) = a.vault.released(p.account, address(a.token), p.recipient);
        uint256 paid = a.vault.paidOut(p.account, address(a.token), p.recipient);
        assertEq(told, released, "3: the vault knows every release");
        // A payout leaves whole.
        if (paid >= released) return;
        uint256 balance = a.token.balanceOf(address(a.vault));
        assertGt(released - paid, balance, "10: not paid though it could be");
    }

    /// @dev 6.10. With nothing lost, all of it.
    function _leave() internal {
        uint256 before = uint256(hub.cash(_account(PASSIVE)));
        uint256 left = before / 1e12;
        uint256 backing;
        for (uint256 id = 1; id <= ASSETS; ++id) {
            if (!_listed[id].settlement || !_isOpen(id)) continue;
            backing += hub.backing(id) / 1e12;
            (uint256 kept,) = hub.keptOf(_account(PASSIVE), id);
            left += kept;
            left -= _withdraw(id, PASSIVE, type(uint256).max, false);
        }
        if (backing >= before / 1e12) assertEq(left, 0, "10: cash that can't leave");
        _payAll();
        _checkAll();
    }
}
