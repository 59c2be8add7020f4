// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {IClearinghouse} from "../../interfaces/IClearinghouse.sol";
import {IRiskConfig} from "../../interfaces/IRiskConfig.sol";
import {Accounts} from "../../libraries/Accounts.sol";
import {Bucket} from "../../libraries/Bucket.sol";
import {IdList} from "../../libraries/IdList.sol";
import {LedgerBase} from "./LedgerBase.sol";

/// @notice Counters of vaults become immature credit, then claims or cash; withdrawals raise the counter that goes back.
abstract contract Collateral is LedgerBase {
    using Bucket for Bucket.State;
    using IdList for uint256;
    using FixedPointMathLib for uint256;

    struct Counter {
        /// Token decimals.
        uint128 value;
        /// Seconds; the spoke's block time at which it had this value.
        uint64 time;
    }

    struct Totals {
        uint128 totalIn;
        uint128 totalOut;
        uint128 shortfall;
        uint64 time;
    }

    /// @notice A message may be this far ahead of the hub's clock (seconds). A forged time beyond it would lock out honest ones.
    uint64 public constant MAX_SKEW = 15 minutes;

    mapping(
        uint32 eid => mapping(uint32 epoch => mapping(bytes32 account => mapping(address token => Counter)))
    ) public counters;
    mapping(uint32 eid => mapping(uint32 epoch => mapping(address token => Totals))) public totals;
    mapping(uint32 eid => uint32) internal _openedEpochs;
    /// @notice Rows under regression plus vault totals with a shortfall: nothing of the chain matures while there is one.
    mapping(uint32 eid => uint256) public suspicions;

    mapping(bytes32 account => mapping(uint256 assetId => Row)) internal _rows;
    mapping(uint256 assetId => uint256) internal _creditedTotals;
    mapping(uint256 assetId => Bucket.State) internal _buckets;
    /// @notice What of a booked regression others paid for (token decimals): first lien on the row, should its counter come back.
    mapping(bytes32 account => mapping(uint256 assetId => uint128)) public lien;
    /// @notice Claims of an asset lost to regressions, which all its holders share (token decimals).
    mapping(uint256 assetId => uint256) public lostClaims;

    /// @inheritdoc IClearinghouse
    mapping(bytes32 account => mapping(address recipient => mapping(uint256 assetId => uint128))) public
        released;
    /// @inheritdoc IClearinghouse
    mapping(uint32 eid => uint256) public backing;
    /// @inheritdoc IClearinghouse
    uint256 public lostBacking;

    event EpochOpened(uint32 indexed eid, uint32 epoch);
    event TotalsReceived(
        uint32 indexed eid,
        uint32 epoch,
        address indexed token,
        uint128 totalIn,
        uint128 totalOut,
        uint128 shortfall,
        uint64 time
    );

    error EpochOutOfOrder();
    error RowAlreadyOpen();
    error InsufficientClaim(uint256 free, uint256 needed);
    error InsufficientBacking(uint32 eid, uint256 backing, uint256 needed);
    error NothingToBook();

    modifier onlyGateway() {
        _require(msg.sender == gateway);
        _;
    }

    /* COUNTERS */

    /// @notice Newest epoch of a spoke whose counters are accepted. The first is open from the start.
    function lastEpoch(uint32 eid) public view returns (uint32) {
        return _openedEpochs[eid] + 1;
    }

    /// @notice Accepts a new vault of a chain, after its predecessor has been sealed. Epochs add up.
    function openEpoch(uint32 eid, uint32 epoch) external onlyOwner {
        if (epoch != lastEpoch(eid) + 1) revert EpochOutOfOrder();
        ++_openedEpochs[eid];
        emit EpochOpened(eid, epoch);
    }

    /// @inheritdoc IClearinghouse
    function receiveCounter(
        uint32 eid,
        uint32 epoch,
        uint64 time,
        address token,
        bytes32 account,
        uint128 depositedIn
    ) external onlyGateway {
        if (!_acceptable(eid, epoch, time)) return;
        Counter storage c = counters[eid][epoch][account][token];
        if (time < c.time || (time == c.time && depositedIn <= c.value)) return;
        c.value = depositedIn;
        c.time = time;
        emit CounterReceived(eid, epoch, account, token, depositedIn, time);

        uint256 assetId = riskConfig.assetIdOf(eid, token);
        if (assetId == 0) return;
        IRiskConfig.Asset memory a = _asset(assetId);
        _sync(account, assetId, a);
        _mature(account, assetId, a);
    }

    /// @inheritdoc IClearinghouse
    function receiveTotals(
        uint32 eid,
        uint32 epoch,
        uint64 time,
        address token,
        uint128 totalIn,
        uint128 totalOut,
        uint128 shortfall
    ) external onlyGateway {
        if (!_acceptable(eid, epoch, time)) return;
        Totals storage t = totals[eid][epoch][token];
        if (time < t.time) return;
        if (time == t.time) {
            // Each field's larger value: the same whatever the order, and a shortfall is never lost.
            if (totalIn <= t.totalIn && totalOut <= t.totalOut && shortfall <= t.shortfall) return;
            totalIn = uint128(FixedPointMathLib.max(totalIn, t.totalIn));
            totalOut = uint128(FixedPointMathLib.max(totalOut, t.totalOut));
            shortfall = uint128(FixedPointMathLib.max(shortfall, t.shortfall));
        }
        if (t.shortfall == 0 && shortfall != 0) ++suspicions[eid];
        if (t.shortfall != 0 && shortfall == 0) --suspicions[eid];
        totals[eid][epoch][token] = Totals(totalIn, totalOut, shortfall, time);
        emit TotalsReceived(eid, epoch, token, totalIn, totalOut, shortfall, time);
    }

    /// @inheritdoc IClearinghouse
    function creditedTotal(uint256 assetId) external view returns (uint128) {
        return _saturate(_creditedTotals[assetId]);
    }

    function _acceptable(uint32 eid, uint32 epoch, uint64 time) internal view returns (bool) {
        return epoch != 0 && epoch <= lastEpoch(eid) && time <= block.timestamp + MAX_SKEW;
    }

    /// @dev Brings the row to the sum of its newest counters. Sums saturate, so that no message can revert its batch.
    function _sync(bytes32 account, uint256 assetId, IRiskConfig.Asset memory a) internal {
        Row storage r = _rows[account][assetId];
        uint256 sum;
        for (uint32 epoch = lastEpoch(a.eid); epoch > 0; --epoch) {
            sum += counters[a.eid][epoch][account][a.token].value;
        }
        uint128 target = _saturate(sum);
        uint128 before = _regressed(r);
        _creditedTotals[assetId] = _creditedTotals[assetId] - r.target + target;
        r.target = target;
        if (target > r.credited) {
            uint128 gain = target - r.credited;
            r.credited = target;
            uint128 own = gain - _repayLien(account, assetId, a, gain);
            r.immature += own;
            emit Booked(account, assetId, own);
        } else {
            uint128 lack = uint128(uint256(r.credited - target).min(r.immature));
            r.immature -= lack;
            r.credited -= lack;
        }
        _noteRegression(account, assetId, a, r, before);
    }

    /// @dev A counter that comes back after its regression was booked first makes good what others paid.
    function _repayLien(bytes32 account, uint256 assetId, IRiskConfig.Asset memory a, uint128 gain)
        internal
        returns (uint128 repaid)
    {
        uint128 owed = lien[account][assetId];
        if (owed == 0) return 0;
        repaid = uint128(uint256(owed).min(gain));
        lien[account][assetId] = owed - repaid;
        if (a.settlement) {
            Row storage r = _rows[Accounts.main(fund)][assetId];
            r.immature = _saturate(uint256(r.immature) + repaid);
        } else {
            lostClaims[assetId] -= repaid;
        }
    }

    /// @dev Keeps counts in step with the row's regressed amount, which was `before`.
    function _noteRegression(
        bytes32 account,
        uint256 assetId,
        IRiskConfig.Asset memory a,
        Row storage r,
        uint128 before
    ) internal {
        uint128 current = _regressed(r);
        if (current == before) return;
        AccountState storage state = _accounts[account];
        if (before == 0) {
            r.regressedSince = uint64(block.timestamp);
            ++suspicions[a.eid];
            ++state.regressedRows;
        } else if (current == 0) {
            r.regressedSince = 0;
            --suspicions[a.eid];
            --state.regressedRows;
        }
        if (a.settlement) state.regressedCash = state.regressedCash - _toWad(before, a) + _toWad(current, a);
        if (current > before) emit Regressed(account, assetId, current - before);
    }

    /* ROWS */

    /// @inheritdoc IClearinghouse
    function openRow(bytes32 account, uint256 assetId) external onlyController(account) {
        IRiskConfig.Asset memory a = _asset(assetId);
        if (_rows[account][assetId].open) revert RowAlreadyOpen();
        _openRow(account, assetId, a.settlement, _global().maxRows);
    }

    /// @inheritdoc IClearinghouse
    function row(bytes32 account, uint256 assetId) external view returns (Row memory) {
        return _rows[account][assetId];
    }

    /// @inheritdoc IClearinghouse
    function assetsOf(bytes32 account) external view returns (uint256[] memory) {
        return _accounts[account].assets.toArray();
    }

    /// @dev Settlement tokens become cash: their rows need no place in the list that margin reads.
    function _openRow(bytes32 account, uint256 assetId, bool settlement, uint256 cap) internal {
        _rows[account][assetId].open = true;
        if (!settlement) {
            _requireRoom(account, cap);
            _accounts[account].assets = _accounts[account].assets.add(assetId);
        }
        emit RowOpened(account, assetId);
    }

    /* MATURING */

    /// @inheritdoc IClearinghouse
    function mature(bytes32 account, uint256 assetId) external returns (uint128 amount) {
        return _mature(account, assetId, _asset(assetId));
    }

    /// @dev Cash needs no row: it is one number whoever sent it. A claim does.
    function _mature(bytes32 account, uint256 assetId, IRiskConfig.Asset memory a)
        internal
        returns (uint128 amount)
    {
        Row storage r = _rows[account][assetId];
        if (r.immature == 0 || suspicions[a.eid] != 0 || !(a.settlement || r.open)) return 0;
        amount = _buckets[assetId].take(r.immature, a.matureCap, a.matureRate);
        if (amount == 0) return 0;
        r.immature -= amount;
        if (a.settlement) {
            uint256 wad = _toWad(amount, a);
            backing[a.eid] += wad;
            _credit(account, wad);
        } else {
            r.claim += amount;
        }
        emit Matured(account, assetId, amount);
    }

    /* REGRESSIONS */

    /// @notice A lack that neither claim nor cash covers stays a lien on the row. Of a claim it is every holder's loss on that vault; of cash,
    /// what the chain still backs is paid by the fund, then by lost backing, and what others had already withdrawn there is their vault's shortage.
    /// @inheritdoc IClearinghouse
    function bookRegression(bytes32 account, uint256 assetId) external {
        Row storage r = _rows[account][assetId];
        uint64 since = r.regressedSince;
        if (since == 0 || block.timestamp < uint256(since) + _global().regressionDelay) {
            revert NothingToBook();
        }
        IRiskConfig.Asset memory a = _asset(assetId);
        uint128 lack = _regressed(r);
        r.credited = r.target;
        _noteRegression(account, assetId, a, r, lack);

        uint128 fromClaim;
        uint256 fromCash;
        uint256 lost;
        uint128 unpaid;
        if (a.settlement) {
            uint256 due = _toWad(lack, a);
            (fromCash, lost) = _bookCash(account, a.eid, due);
            unpaid = uint128((due - fromCash).divUp(10 ** (18 - a.decimals)));
        } else {
            fromClaim = uint128(uint256(lack).min(r.claim));
            r.claim -= fromClaim;
            unpaid = lack - fromClaim;
            lostClaims[assetId] += unpaid;
        }
        lien[account][assetId] = _saturate(uint256(lien[account][assetId]) + unpaid);
        emit RegressionBooked(account, assetId, fromClaim, fromCash, lost);
    }

    /// @dev Removes `due` from the account and, as far as it goes, from the chain's backing; keeps the ledger's identity.
    function _bookCash(bytes32 account, uint32 eid, uint256 due)
        internal
        returns (uint256 fromCash, uint256 lost)
    {
        bytes32 reserve = Accounts.main(fund);
        fromCash = due.min(uint256(uint128(_accounts[account].cash)));
        _accounts[account].cash -= int128(uint128(fromCash));
        uint256 gone = due.min(backing[eid]);
        backing[eid] -= gone;
        if (fromCash >= gone) {
            // Others withdrew what this chain had: what the account pays beyond its backing is the fund's, for their sake.
            _credit(reserve, fromCash - gone);
        } else {
            uint256 short = gone - fromCash;
            uint256 fromFund = short.min(uint256(uint128(_accounts[reserve].cash)));
            _accounts[reserve].cash -= int128(uint128(fromFund));
            lost = short - fromFund;
            lostBacking += lost;
        }
    }

    /// @dev What the vaults say no longer and the ledger still holds (token decimals).
    function _regressed(Row storage r) internal view returns (uint128) {
        return r.credited > r.target ? r.credited - r.target : 0;
    }

    /// @dev Matured claim that isn't under regression (token decimals).
    function _freeClaim(Row storage r) internal view returns (uint128) {
        return uint128(uint256(r.claim).zeroFloorSub(_regressed(r)));
    }

    /* WITHDRAWALS */

    /// @inheritdoc IClearinghouse
    function withdraw(bytes32 account, uint256 assetId, address recipient, uint128 amount)
        external
        onlyOwnerOf(account)
    {
        _release(account, assetId, recipient, amount);
        // Who owes nothing is held back by no price.
        if (_owes(account)) _requireMargin(account, true);
    }

    /// @inheritdoc IClearinghouse
    function releaseTo(bytes32 account, uint256 assetId, address recipient, uint128 amount) external {
        _require(msg.sender == backstop && account == Accounts.main(backstop));
        _release(account, assetId, recipient, amount);
        Row storage r = _rows[account][assetId];
        if (r.claim != 0) return;
        // Whoever is liquidated chooses what the backstop gets rows of: one that is sold leaves its place to the next.
        r.open = false;
        _accounts[account].assets = _accounts[account].assets.remove(assetId);
    }

    function _release(bytes32 account, uint256 assetId, address recipient, uint128 amount) internal {
        if (amount == 0 || recipient == address(0)) revert ZeroValue();
        IRiskConfig.Asset memory a = _asset(assetId);
        if (a.settlement) {
            uint256 wad = _toWad(amount, a);
            _debit(account, wad);
            uint256 held = backing[a.eid];
            if (wad > held) revert InsufficientBacking(a.eid, held, wad);
            backing[a.eid] = held - wad;
        } else {
            Row storage r = _rows[account][assetId];
            uint128 free = _freeClaim(r);
            if (amount > free) revert InsufficientClaim(free, amount);
            r.claim -= amount;
        }
        uint128 total = released[account][recipient][assetId] + amount;
        released[account][recipient][assetId] = total;
        emit Released(account, assetId, recipient, amount, total);
    }

    /* INTERNAL */

    function _asset(uint256 assetId) internal view returns (IRiskConfig.Asset memory a) {
        a = riskConfig.asset(assetId);
        if (a.token == address(0)) revert UnknownAsset(assetId);
    }

    /// @dev Exact: a token has at most 18 decimals.
    function _toWad(uint128 amount, IRiskConfig.Asset memory a) internal pure returns (uint256) {
        return uint256(amount) * 10 ** (18 - a.decimals);
    }

    function _saturate(uint256 x) internal pure returns (uint128) {
        return uint128(x.min(type(uint128).max));
    }
}
