// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {SafeCastLib} from "solady/utils/SafeCastLib.sol";
import {IClearinghouse} from "../../interfaces/IClearinghouse.sol";
import {IRiskConfig} from "../../interfaces/IRiskConfig.sol";
import {Accounts} from "../../libraries/Accounts.sol";
import {IdList} from "../../libraries/IdList.sol";
import {Backing} from "./Backing.sol";
import {Control} from "./Control.sol";

/// @notice Counters of vaults become immature credit, then claims or cash; withdrawals raise the counter that goes back.
abstract contract Collateral is Backing, Control {
    using IdList for uint256;
    using FixedPointMathLib for int256;
    using FixedPointMathLib for uint256;
    using SafeCastLib for uint256;

    /// @dev Shares that one token buys at most.
    uint256 internal constant MOST_SHARES_A_TOKEN = 1000;

    error RowAlreadyOpen();
    /// @notice Shares of the asset: one token each, unless something is missing at its vault.
    error InsufficientClaim(uint256 free, uint256 needed);
    /// @notice Token decimals.
    error InsufficientBacking(uint256 assetId, uint256 backing, uint256 needed);

    /* COUNTERS */

    /// @inheritdoc IClearinghouse
    function receiveCounter(
        uint32 eid,
        uint32 epoch,
        uint64 time,
        address token,
        bytes32 account,
        uint128 depositedIn
    ) external onlyGateway {
        if (!_accept(eid, epoch, time)) return;
        Counter storage c = counters[eid][epoch][account][token];
        if (time < c.time || (time == c.time && depositedIn <= c.value)) return;
        c.value = depositedIn;
        c.time = time;
        emit CounterReceived(eid, epoch, account, token, depositedIn, time);

        uint256 assetId = riskConfig.assetIdOf(eid, epoch, token);
        if (assetId == 0) return;
        IRiskConfig.Asset memory a = _asset(assetId);
        _sync(account, assetId, a, depositedIn);
        _mature(account, assetId, a);
    }

    /// @inheritdoc IClearinghouse
    function creditedTotal(uint256 assetId) external view returns (uint128) {
        return _saturate(_creditedTotals[assetId]);
    }

    /// @dev Brings the row to its newest counter.
    function _sync(bytes32 account, uint256 assetId, IRiskConfig.Asset memory a, uint128 target) internal {
        Row storage r = _rows[account][assetId];
        uint128 before = _regressed(r);
        _creditedTotals[assetId] = _creditedTotals[assetId] - r.target + target;
        r.target = target;
        if (target > r.credited) {
            uint128 gain = target - r.credited;
            r.credited = target;
            uint128 own = gain - _repayLien(account, assetId, gain);
            r.immature += own;
            emit Booked(account, assetId, own);
        } else {
            uint128 lack = uint128(uint256(r.credited - target).min(r.immature));
            r.immature -= lack;
            r.credited -= lack;
        }
        _noteRegression(account, assetId, a, r, before);
    }

    /// @dev A counter that comes back after its regression was booked first makes good what others paid: `repair` hands it on.
    function _repayLien(bytes32 account, uint256 assetId, uint128 gain) internal returns (uint128 repaid) {
        uint128 owed = lien[account][assetId];
        if (owed == 0) return 0;
        repaid = uint128(uint256(owed).min(gain));
        lien[account][assetId] = owed - repaid;
        _vaulted[assetId].returned += repaid;
        emit Returned(assetId, repaid);
    }

    /* ROWS */

    /// @inheritdoc IClearinghouse
    function openRow(bytes32 account, uint256 assetId) external onlyController(account) {
        IRiskConfig.Asset memory a = _asset(assetId);
        if (_rows[account][assetId].open) revert RowAlreadyOpen();
        _openRow(account, assetId, a.settlement, _global().maxRows);
    }

    /// @inheritdoc IClearinghouse
    function assetsOf(bytes32 account) external view returns (uint256[] memory) {
        return _accounts[account].assets.toArray();
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
        if (!(a.settlement || r.open)) return 0;
        uint256 total;
        uint256 held;
        if (!a.settlement) {
            (total, held,) = _shares(assetId);
            // Shares worth less than a thousandth are not sold: their number would soon fit no slot.
            if (total > MOST_SHARES_A_TOKEN * held) return 0;
        }
        amount = _take(assetId, a, _maturable(account, a, r.immature));
        if (amount == 0) return 0;
        r.immature -= amount;
        if (a.settlement) {
            uint256 wad = _toWad(amount, a);
            _credit(account, wad);
            _shift(assetId, a, int256(uint256(amount)), 0, int256(wad));
        } else {
            _shift(assetId, a, int256(uint256(amount)), 0, 0);
            // After a loss a token buys more than one share, and is worth a token still.
            uint256 claim = held == total ? amount : uint256(amount).mulDiv(total, held);
            r.claim += claim.toUint128();
            _vaulted[assetId].claims += claim.toUint120();
        }
        emit Matured(account, assetId, amount);
    }

    /* VIEWS OF VAULTS */

    /// @inheritdoc IClearinghouse
    function lostBacking() external view returns (int256) {
        return _lostBacking;
    }

    /// @inheritdoc IClearinghouse
    function released(bytes32 account, address recipient, uint256 assetId) external view returns (uint128) {
        return _released[account][recipient][assetId];
    }

    /* INTERNAL */

    function _saturate(uint256 x) internal pure returns (uint128) {
        return uint128(x.min(type(uint128).max));
    }
}
