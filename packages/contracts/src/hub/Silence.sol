// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {IHubGateway, ILocalChain} from "../interfaces/IGateways.sol";
import {IPriceOracle} from "../interfaces/IPriceOracle.sol";
import {IRiskConfig} from "../interfaces/IRiskConfig.sol";
import {IdList} from "../libraries/IdList.sol";
import {Backing} from "./ledger/Backing.sol";
import {LedgerBase} from "./ledger/LedgerBase.sol";

/// @title Silence
/// @notice The part of the Clearinghouse that knows of chains which aren't heard of, and counts what is in doubt. The Clearinghouse runs it on
/// its own state by delegatecall. By itself it owns nothing and decides nothing.
///
/// What is in doubt leaves initial margin and liquidation at once. From maintenance margin it fades in a straight line, so that nothing that
/// happens to a chain makes an account liquidatable at once:
/// - what is under regression, until it is booked (regressionDelay);
/// - what claims have lost at their vault, within as long;
/// - all claims on a chain of which neither messages nor the liveness feed have told for mmGrace, within mmRamp.
contract Silence is Backing {
    using FixedPointMathLib for uint256;
    using IdList for uint256;

    uint256 internal constant WAD = 1e18;

    constructor(Modules memory modules) Ownable(address(1)) LedgerBase(modules) {}

    /* LIVENESS */

    /// @dev What is heard again is back in maintenance margin at once: fading spares holders a fall at once, and to go on with it once the chain
    /// is known to be there would liquidate the healthy.
    function watch(uint256[] calldata assetIds) external returns (uint256 changed) {
        for (uint256 n; n < assetIds.length; ++n) {
            uint256 assetId = assetIds[n];
            Vaulted storage v = _vaulted[assetId];
            IRiskConfig.Asset memory a = _asset(assetId);
            (Liveness liveness, uint256 ramp) = _judge(a.eid, v.liveness);
            (uint32 from, uint32 until) = liveness == Liveness.Suspect ? (v.fadeFrom, v.fadeUntil) : (0, 0);
            if (from == 0 && ramp != 0) {
                (from, until) = (uint32(block.timestamp), uint32(block.timestamp + ramp));
            }
            if (liveness == v.liveness && from == v.fadeFrom) continue;
            ++changed;
            (v.liveness, v.fadeFrom, v.fadeUntil) = (liveness, from, until);
            if (a.settlement) _noteSuspect(assetId, liveness == Liveness.Suspect);
            if (liveness != Liveness.Live) _mark(assetId);
            else if (!v.flawed && _lost(assetId) == 0) _unmark(assetId);
            emit LivenessChanged(assetId, liveness, from, until);
        }
    }

    /// @dev More than the list can hold at once are paid first come, first served.
    function _noteSuspect(uint256 assetId, bool suspect) internal {
        uint256 list = _suspectAssets;
        if (suspect == list.contains(assetId)) return;
        if (!suspect) _suspectAssets = list.remove(assetId);
        else if (list.length() < IdList.CAPACITY) _suspectAssets = list.add(assetId);
    }

    /// @notice As of the last `watch`.
    function livenessOf(uint256 assetId)
        external
        view
        returns (Liveness liveness, uint32 fadeFrom, uint32 fadeUntil)
    {
        Vaulted storage v = _vaulted[assetId];
        return (v.liveness, v.fadeFrom, v.fadeUntil);
    }

    /// @dev Suspect needs a fresh report that says so: where none comes, it is the oracle that is silent, which makes a chain quiet, and leaves
    /// a suspect one suspect. A feed that never had a value says nothing.
    /// @return liveness @return ramp Seconds; not 0 once maintenance margin's credit is to fade.
    function _judge(uint32 eid, Liveness before) internal view returns (Liveness liveness, uint256 ramp) {
        (IRiskConfig.Silence memory s, bool hasFeed, uint256 feed) = riskConfig.silenceOf(eid);
        if (s.grace == 0 || ILocalChain(gateway).localEid() == eid) return (Liveness.Live, 0);
        uint256 heard = IHubGateway(gateway).lastSpokeTime(eid);
        // Nothing of it is here yet.
        if (heard == 0) return (Liveness.Live, 0);
        uint256 silent = block.timestamp.zeroFloorSub(heard);
        bool speaks = silent <= s.grace;
        IPriceOracle.Price memory told;
        if (hasFeed) told = oracle.price(feed);
        if (told.price == 0) return (speaks ? Liveness.Live : Liveness.Quiet, 0);

        uint256 block_ = told.price / WAD;
        bool stands = block.timestamp.zeroFloorSub(block_) > s.grace;
        if (speaks || !stands) return (speaks && !stands ? Liveness.Live : Liveness.Quiet, 0);
        uint256 stood = told.fresh ? told.observedAt.zeroFloorSub(block_) : 0;
        if (before != Liveness.Suspect && stood <= s.grace) return (Liveness.Quiet, 0);
        return (Liveness.Suspect, silent.min(stood) > s.mmGrace ? s.mmRamp : 0);
    }

    function keptOf(bytes32 account, uint256 assetId) external view returns (uint256 kept, uint256 all) {
        all = _vaulted[assetId].pot;
        Pot[] storage pots = _pots[assetId];
        for (uint256 n; n < pots.length; ++n) {
            uint256 shares = _kept[account][assetId][n];
            if (shares != 0) kept += shares.mulDiv(pots[n].held, pots[n].shares);
        }
    }

    /* VIEWS OF VAULTS */

    function row(bytes32 account, uint256 assetId) external view returns (Row memory) {
        return _rows[account][assetId];
    }

    function backing(uint256 assetId) external view returns (uint256) {
        return _positive(_booked(_vaulted[assetId])) * 10 ** (18 - riskConfig.asset(assetId).decimals);
    }

    function totalBacking() external view returns (uint128) {
        return _totalBacking;
    }

    function suspectAssets() external view returns (uint256) {
        return _suspectAssets;
    }

    function vaulted(uint256 assetId)
        external
        view
        returns (int256 net, uint256 claims, uint128 written, uint128 shortfall, uint128 returned)
    {
        Vaulted storage v = _vaulted[assetId];
        return (v.net, v.claims, v.written, v.shortfall, v.returned);
    }

    /* LIQUIDATION */

    /// @dev The receiver's rows may be as many as in any liquidation.
    function transferSuspended(bytes32 from, bytes32 to, uint256 fraction) external onlyLiquidation {
        if (from == to) revert SameAccount();
        uint256 cap = 2 * uint256(_global().maxRows);
        for (uint256 list = _accounts[from].assets; list != 0; list >>= 12) {
            uint256 assetId = list & IdList.MAX_ID;
            if (_vaulted[assetId].liveness == Liveness.Live) continue;
            Row storage r = _rows[from][assetId];
            uint128 moved = uint128(uint256(_freeClaim(assetId, r)).mulWad(fraction.min(WAD)));
            if (moved == 0) continue;
            Row storage received = _rows[to][assetId];
            if (!received.open) _openRow(to, assetId, false, cap);
            r.claim -= moved;
            received.claim += moved;
            emit SuspendedTransferred(from, to, assetId, moved);
        }
    }

    /* WHAT COUNTS */

    /// @notice Word of an asset in `rows`, of one of which something is in doubt or lost.
    function claimWord(bytes32 account, uint256 assetId) external view returns (uint256) {
        Row storage r = _rows[account][assetId];
        Vaulted storage v = _vaulted[assetId];
        (uint256 total, uint256 held, uint256 healthy) = _shares(assetId);
        uint256 delay = _global().regressionDelay;
        uint256 regressed = _sharesFor(assetId, _regressed(r)).min(r.claim);
        uint256 whole = r.claim - _faded(regressed, r.regressedSince, delay);
        whole = whole.mulDiv(total - _faded(total - healthy, v.lostSince, delay), total);
        if (v.fadeFrom != 0) {
            whole = whole.mulDiv(uint256(v.fadeUntil).zeroFloorSub(block.timestamp), v.fadeUntil - v.fadeFrom);
        }
        uint256 offered;
        if (v.liveness == Liveness.Live) {
            offered = r.claim - regressed;
            // As many shares as change hands, then what they are worth.
            if (healthy < held) offered = offered.mulDiv(healthy, held);
            offered = offered.mulDiv(held, total);
        }
        // Never all of what is in doubt: liquidation tells by the difference that something stays behind.
        bool doubted = regressed != 0 || v.liveness != Liveness.Live || _isShort(v);
        if (doubted) whole = whole.max((offered + 1).min(r.claim));
        return whole | (offered << 128);
    }

    /// @notice An account's cash as `rows` gives it, while something of it is under regression.
    function countedCash(bytes32 account) external view returns (int256 counted, uint256 regressed) {
        AccountState storage state = _accounts[account];
        (counted, regressed) = (_cash(account), state.regressedCash);
        // Its regression takes no more than there is.
        uint256 faded =
            _faded(regressed.min(_positive(counted)), state.regressedAt, _global().regressionDelay);
        return (counted - int256(faded), regressed - faded);
    }

    /// @dev Rounded up: what a larger impairment had faded before, it has still.
    function _faded(uint256 impaired, uint256 since, uint256 delay) internal view returns (uint256) {
        return impaired == 0 ? 0 : impaired.mulDivUp((block.timestamp - since).min(delay), delay);
    }
}
