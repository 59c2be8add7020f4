// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IHubGateway, ISpokeGateway} from "../../src/interfaces/IGateways.sol";
import {CounterMessages} from "../../src/libraries/CounterMessages.sol";
import {SystemFixture} from "./SystemFixture.sol";

/// @notice Messages of the system, honest and forged, and spokes that go back: what a chain's contracts wrote is kept, so that its last transactions
/// can be undone whole, as a reorg does.
abstract contract SystemChains is SystemFixture {
    /// @dev A slot, and what was there before.
    struct Write {
        address account;
        bytes32 slot;
        bytes32 before;
    }

    /// @dev Of a counter, the newest that a message brought to the hub.
    struct Newest {
        uint128 value;
        uint64 time;
    }

    /// @dev Who is paid by a chain's vaults.
    struct Payee {
        bytes32 account;
        address recipient;
    }

    uint256 internal constant ACCOUNTS = 9;
    /// @dev Of them, people.
    uint256 internal constant USERS = 7;

    /// @dev How often something came about.
    mapping(bytes32 act => uint256) internal _calls;

    Packet[] internal _packets;
    /// @dev How often a packet arrived.
    mapping(uint256 packet => uint256) internal _arrivals;
    /// @dev One more than the last packet of a path that arrived, by order of sending.
    mapping(uint32 src => mapping(uint32 dst => uint256)) private _furthest;
    mapping(
        uint32 eid => mapping(uint32 epoch => mapping(bytes32 account => mapping(address token => Newest)))
    ) internal _newest;
    bool internal _replaced;
    mapping(uint256 c => Payee[]) internal _payees;

    mapping(uint256 c => address[]) private _contracts;
    mapping(address account => mapping(bytes32 slot => bytes32)) private _last;
    mapping(uint256 c => Write[]) private _writes;
    /// @dev Where each transaction's writes begin.
    mapping(uint256 c => uint256[]) private _transactions;
    /// @dev Token units that reorgs took from counters which the hub may have credited.
    mapping(uint256 assetId => uint256) internal _undone;
    /// @dev Token units that its vault had paid before a chain's last transaction.
    mapping(uint256 assetId => uint256) private _paid;

    /// @dev Fee and all: the message is in `_packets` then.
    function _beforeSend(uint256 fee) internal virtual;
    function _afterSend() internal virtual;

    /// @dev Delivers a packet, unless nothing is left of it to be delivered. @return Whether it did.
    function _carry(uint256 i) internal virtual returns (bool);

    /// @dev A message that nobody sent, as verifiers that lie deliver it.
    function _carryForged(uint32 from, address sender, uint32 to, address receiver, bytes memory message)
        internal
        virtual;

    /* A CHAIN'S HISTORY */

    /// @dev What follows is a transaction of the chain. The hub's is never undone.
    modifier onChain(uint256 c) {
        if (c != H) vm.record();
        _;
        if (c != H) _note(c);
        _holds2_believed(c);
    }

    /// @dev 6.2: a hub that has credited more than a vault took in, since the chain went back or lies were told of it, is paid nothing.
    function _holds2_believed(uint256 c) private {
        for (uint256 id = 1; id <= ASSETS; ++id) {
            if (_listed[id].chain != c) continue;
            address token = address(_listed[id].token);
            (uint256 totalIn, uint256 totalOut,) = _listed[id].vault.totals(token);
            if (totalOut > _paid[id]) {
                (uint128 credited,) = _listed[id].vault.creditedTotal(token);
                assertGe(totalIn, credited, "2: paid to a hub that believes in more");
            }
            _paid[id] = totalOut;
        }
    }

    /// @dev After the deployment, all of which has been recorded.
    function _startHistory() internal {
        for (uint256 c = A; c <= B; ++c) {
            Spoke storage chain = _chains[c];
            _contracts[c] =
                [address(chain.gateway), address(chain.vault), address(chain.usdc), address(chain.weth)];
            _contracts[c].push(address(chain.executor));
            if (c == A) {
                _contracts[c].push(address(_next));
                _contracts[c].push(address(venue));
                _contracts[c].push(address(venue.gateway()));
            }
            _pushContracts(c, _contracts[c]);
        }
        for (uint256 c = A; c <= B; ++c) {
            _note(c);
            _final(c);
        }
    }

    /// @dev What else belongs to the chain.
    function _pushContracts(uint256 c, address[] storage list) internal virtual {}

    function _note(uint256 c) private {
        _transactions[c].push(_writes[c].length);
        for (uint256 n; n < _contracts[c].length; ++n) {
            address account = _contracts[c][n];
            (, bytes32[] memory slots) = vm.accesses(account);
            for (uint256 s; s < slots.length; ++s) {
                bytes32 before = _last[account][slots[s]];
                bytes32 current = vm.load(account, slots[s]);
                if (current == before) continue;
                _writes[c].push(Write(account, slots[s], before));
                _last[account][slots[s]] = current;
            }
        }
    }

    /// @dev What happened on the chain so far is undone no more.
    function _final(uint256 c) internal {
        delete _writes[c];
        delete _transactions[c];
    }

    /// @dev Undoes the chain's last transactions.
    function _goBack(uint256 c, uint256 transactions) internal returns (uint256 undone) {
        uint256[8] memory before = _deposited(c);
        Write[] storage writes = _writes[c];
        for (; undone < transactions && _transactions[c].length != 0; ++undone) {
            uint256 start = _transactions[c][_transactions[c].length - 1];
            _transactions[c].pop();
            while (writes.length > start) {
                Write memory w = writes[writes.length - 1];
                writes.pop();
                vm.store(w.account, w.slot, w.before);
                _last[w.account][w.slot] = w.before;
            }
        }
        uint256[8] memory current = _deposited(c);
        for (uint256 id = 1; id <= ASSETS; ++id) {
            (, _paid[id],) = _listed[id].vault.totals(address(_listed[id].token));
            _undone[id] += before[id] - current[id];
        }
    }

    function _deposited(uint256 c) private view returns (uint256[8] memory sums) {
        for (uint256 id = 1; id <= ASSETS; ++id) {
            if (_listed[id].chain != c) continue;
            (sums[id],,) = _listed[id].vault.totals(address(_listed[id].token));
        }
    }

    /* MESSAGES */

    /// @dev The asset's vault is one of the chain's.
    function _isOpen(uint256 assetId) internal view returns (bool) {
        return assetId < NEXT_USDC || _replaced;
    }

    /// @dev Of one account and the asset's token, or of all accounts and both tokens of its vault.
    function _sendCounters(uint256 assetId, uint256 n, bool all) internal {
        Listed memory a = _listed[assetId];
        Spoke storage chain = _chains[a.chain];
        ISpokeGateway.CounterKey[] memory keys = new ISpokeGateway.CounterKey[](all ? 2 * ACCOUNTS : 1);
        for (uint256 i; all && i < ACCOUNTS; ++i) {
            keys[2 * i] = ISpokeGateway.CounterKey(_account(i), address(chain.usdc));
            keys[2 * i + 1] = ISpokeGateway.CounterKey(_account(i), address(chain.weth));
        }
        if (!all) keys[0] = ISpokeGateway.CounterKey(_account(n), address(a.token));
        if (a.chain == H) {
            chain.gateway.sendCountersOf(a.epoch, keys);
            return;
        }
        uint256 fee = chain.gateway.quoteCountersOf(a.epoch, keys);
        _beforeSend(fee);
        chain.gateway.sendCountersOf{value: fee}(a.epoch, keys);
        _afterSend();
    }

    /// @dev To one payee of the asset's chain, or to all of them.
    function _sendReleases(uint256 assetId, uint256 payee, bool all) internal {
        uint256 c = _listed[assetId].chain;
        IHubGateway.ReleaseKey[] memory keys = new IHubGateway.ReleaseKey[](all ? _payees[c].length : 1);
        for (uint256 i; i < keys.length; ++i) {
            Payee memory p = _payees[c][all ? i : payee % _payees[c].length];
            keys[i] = IHubGateway.ReleaseKey(p.account, p.recipient, assetId);
        }
        uint32 eid = _chains[c].eid;
        if (c == H) {
            _resume();
            hubGateway.sendReleases(eid, keys);
            return;
        }
        uint256 fee = hubGateway.quoteReleases(eid, keys);
        _beforeSend(fee);
        hubGateway.sendReleases{value: fee}(eid, keys);
        _afterSend();
    }

    /// @dev After two weeks without a word of the hub the gateway of its own chain waits for its owner, who says that it lives.
    function _resume() internal {
        try _chains[H].gateway.resumeHub() {} catch {}
    }

    /// @dev On the chain where it arrives.
    function _deliver(uint256 i) internal returns (bool) {
        Packet storage p = _packets[i];
        return _deliverOn(p.dstEid == HUB ? H : p.dstEid == SPOKE ? A : B, i);
    }

    function _deliverOn(uint256 c, uint256 i) private onChain(c) returns (bool carried) {
        carried = _carry(i);
        if (!carried) {
            ++_calls["refused"];
            return false;
        }
        Packet memory p = _packets[i];
        if (c == H) this.noteCounters(p.srcEid, p.message);
        ++_calls["delivered"];
        if (++_arrivals[i] > 1) ++_calls["duplicated"];
        uint256 furthest = _furthest[p.srcEid][p.dstEid];
        if (i + 1 < furthest) ++_calls["reordered"];
        else _furthest[p.srcEid][p.dstEid] = i + 1;
    }

    function _deliverLast() internal returns (bool) {
        return _deliver(_packets.length - 1);
    }

    /// @dev What the hub must hold now, by the rule alone: the newest time, ties by the larger value, of epochs that are open.
    function noteCounters(uint32 eid, bytes calldata message) external {
        (
            CounterMessages.Header memory header,
            CounterMessages.Totals[] memory totals,
            CounterMessages.CounterRow[] memory rows
        ) = CounterMessages.decodeCounters(message);
        if (header.epoch > hub.lastEpoch(eid) || header.time > block.timestamp + SKEW) return;
        for (uint256 i; i < rows.length; ++i) {
            CounterMessages.CounterRow memory row = rows[i];
            Newest storage newest = _newest[eid][header.epoch][row.account][totals[row.tokenIndex].token];
            if (header.time < newest.time) continue;
            if (header.time == newest.time && row.depositedIn < newest.value) continue;
            (newest.value, newest.time) = (row.depositedIn, header.time);
        }
    }

    /* LIES */

    /// @dev Counters of B's vault, as those tell them who verify B's messages.
    function _forgeCounters(
        CounterMessages.Header memory header,
        CounterMessages.Totals memory totals,
        bytes32 account,
        uint128 depositedIn
    ) internal {
        CounterMessages.Totals[] memory tokens = new CounterMessages.Totals[](1);
        tokens[0] = totals;
        CounterMessages.CounterRow[] memory rows = new CounterMessages.CounterRow[](1);
        rows[0] = CounterMessages.CounterRow(account, 0, depositedIn);
        bytes memory message = CounterMessages.encodeCounters(header, tokens, rows);
        _carryForged(OTHER_SPOKE, address(_chains[B].gateway), HUB, address(hubGateway), message);
        this.noteCounters(OTHER_SPOKE, message);
    }

    /// @dev A release on B that the hub knows nothing of.
    function _forgeRelease(
        uint64 time,
        CounterMessages.Credit memory credit,
        CounterMessages.ReleaseRow memory row
    ) internal onChain(B) {
        CounterMessages.Credit[] memory credits = new CounterMessages.Credit[](1);
        credits[0] = credit;
        CounterMessages.ReleaseRow[] memory rows = new CounterMessages.ReleaseRow[](1);
        rows[0] = row;
        bytes memory message = CounterMessages.encodeReleases(CounterMessages.Header(1, time), credits, rows);
        _carryForged(HUB, address(hubGateway), OTHER_SPOKE, address(_chains[B].gateway), message);
    }

    /* ANOTHER VAULT */

    function _replace() internal {
        _replaced = true;
        _seal();
        _final(A);
        // The hub hears of it before it takes it.
        _sendCounters(NEXT_USDC, 0, false);
        _deliverLast();
        hub.openEpoch(SPOKE, 2);
    }

    function _seal() private onChain(A) {
        _chains[A].vault.seal();
        _chains[A].gateway.openEpoch(_next);
    }

    /// @dev The vault that takes a chain's deposits.
    function _takesDeposits(uint256 assetId) internal view returns (bool) {
        if (_listed[assetId].chain != A) return true;
        return (assetId >= NEXT_USDC) == _replaced;
    }
}
