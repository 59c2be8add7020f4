// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {SafeCastLib} from "solady/utils/SafeCastLib.sol";
import {IClearinghouse} from "../interfaces/IClearinghouse.sol";
import {IMarginEngine} from "../interfaces/IMarginEngine.sol";
import {LedgerBase} from "./ledger/LedgerBase.sol";
import {WarmingBook} from "./ledger/WarmingBook.sol";

/// @title Lending
/// @notice The part of the Clearinghouse that moves cash, and has negative cash pay interest to positive cash: code that would not fit into one contract.
/// The Clearinghouse runs it on its own state by delegatecall. By itself it owns nothing and decides nothing.
///
/// Debt grows by e^(rate × time). What it grows by is cash of all who have some, by one index. The rate follows from utilisation, u = debt ÷
/// positive cash, as it was when cash last changed:
///     u <= kink: base + (atKink − base) × u ÷ kink
///     u >  kink: atKink + (full − atKink) × (u − kink) ÷ (1 − kink)
/// So it makes no difference how often interest is accrued, and views have it up to now. Debt is rounded up, cash down, and what that leaves is
/// nobody's.
contract Lending is WarmingBook {
    using FixedPointMathLib for uint256;
    using FixedPointMathLib for int256;
    using SafeCastLib for uint256;

    /// @notice Bounds of what may be lent (bps of Σ backing), and of a rate (bps a year).
    uint16 public constant MAX_SHARE = 5000;
    uint16 public constant MAX_RATE = 10_000;

    uint256 internal constant WAD = 1e18;
    uint256 internal constant BPS = 10_000;
    uint256 internal constant YEAR = 365 days;
    /// @dev An index that is there stays there: interest then ends, and nothing else does.
    uint256 internal constant MAX_INDEX = type(uint72).max;
    /// @dev Of e: beyond it an index is at its end anyway.
    uint256 internal constant MAX_EXPONENT = 9e18;

    /// @dev WAD; more than any position ever gains.
    int256 internal constant LOWERED = 1e32;

    error InvalidLending();

    constructor(Modules memory modules) Ownable(address(1)) LedgerBase(modules) {}

    /// @notice From now on. Only the owner. @param share Most that may be borrowed, bps of Σ backing; 0: nothing. Rates are bps a year, `kink` is bps
    /// of utilisation.
    function setLending(uint16 share, uint16 kink, uint16 baseRate, uint16 kinkRate, uint16 fullRate)
        external
        onlyOwner
    {
        if (share > MAX_SHARE || kink == 0 || kink >= BPS) revert InvalidLending();
        if (baseRate > kinkRate || kinkRate > fullRate || fullRate > MAX_RATE) revert InvalidLending();
        _accrueInterest();
        Loans storage l = _loans;
        l.base = l.debt;
        (l.share, l.kink, l.baseRate, l.kinkRate, l.fullRate) = (share, kink, baseRate, kinkRate, fullRate);
        emit LendingSet(share, kink, baseRate, kinkRate, fullRate);
    }

    /// @notice Nobody needs to: all that changes cash does it first. @return interest WAD that debt has grown by since it was last done.
    function accrueInterest() external returns (uint256 interest) {
        Loans storage l = _loans;
        (uint256 debt, uint256 cashIndex, uint256 debtIndex, uint256 earned) = _accrued();
        interest = debt - l.debt;
        (l.cashIndex, l.debtIndex, l.at) = (uint72(cashIndex), uint72(debtIndex), uint32(block.timestamp));
        if (interest == 0) return 0;
        l.debt = debt.toUint128();
        // What cash doesn't earn is found: it bears what is lost next.
        if (earned != interest) _lostBacking -= int256(interest - earned);
        emit InterestAccrued(interest, earned, cashIndex, debtIndex);
    }

    /// @dev Positive cash earns no higher a rate than debt pays: where so many have left that it is less than debt, the rest of the interest is nobody's.
    function _accrued()
        internal
        view
        returns (uint256 debt, uint256 cashIndex, uint256 debtIndex, uint256 earned)
    {
        Loans storage l = _loans;
        uint256 before = l.debtIndex;
        (debt, cashIndex, debtIndex) = (l.debt, l.cashIndex, before);
        if (debt == 0 || l.at == block.timestamp) return (debt, cashIndex, debtIndex, 0);
        uint256 exponent = _rate() * (block.timestamp - l.at) / YEAR;
        uint256 growth = uint256(int256(exponent.min(MAX_EXPONENT)).expWad());
        debtIndex = before.mulDivUp(growth, WAD).min(MAX_INDEX);
        uint256 interest = debt.mulDiv(debtIndex - before, before);
        uint256 positive = _positiveCash();
        earned = interest.min(positive.mulDiv(debtIndex - before, before));
        if (positive != 0) cashIndex = cashIndex.mulDiv(positive + earned, positive).min(MAX_INDEX);
        debt += interest;
    }

    /// @dev WAD a year.
    function _rate() internal view returns (uint256) {
        Loans storage l = _loans;
        uint256 base = l.base;
        int256 positive = _totalCash() + int256(base);
        uint256 used = positive <= int256(base) ? BPS * WAD : base.mulDiv(BPS * WAD, uint256(positive));
        uint256 kink = uint256(l.kink) * WAD;
        (uint256 low, uint256 rise, uint256 length) = (l.baseRate, l.kinkRate - l.baseRate, kink);
        if (used > kink) {
            (low, rise, length) = (l.kinkRate, l.fullRate - l.kinkRate, BPS * WAD - kink);
            used -= kink;
        }
        return (low * WAD + (rise * WAD).mulDiv(used, length)) / BPS;
    }

    /// @notice Only the owner of `from`.
    function transferCash(bytes32 from, bytes32 to, uint256 amount) external onlyOwnerOf(from) {
        _warm(from);
        _moveCash(from, to, amount);
        if (_owes(from)) _requireMargin(from, true);
    }

    /* VIEWS */

    function cashIndices() external view returns (uint256 cashIndex, uint256 debtIndex) {
        (, cashIndex, debtIndex,) = _accrued();
    }

    function totalCash() external view returns (uint256 total, uint256 index) {
        uint256 earned;
        (, index,, earned) = _accrued();
        total = _positiveCash() + earned;
    }

    /// @dev IM counts a profit in part: as far as it has stood, and up to a cap. Of quotes so low that there is none it counts all. Adding what they
    /// were lowered by leaves IM with the whole of the profit, which then is taken off.
    function marginWithoutProfit(bytes32 account) external view returns (int256) {
        IClearinghouse.Portfolio memory p = marginEngine.portfolio(account);
        int256 lowered = int256(p.quotes.length) * LOWERED;
        for (uint256 n; n < p.quotes.length; ++n) {
            p.quotes[n] -= LOWERED;
        }
        if (lowered == 0) p.warming = 0;
        IMarginEngine.Health memory h = marginEngine.health(p);
        return h.im + lowered - (h.pnl + lowered).max(0);
    }

    function lending() external view returns (Lent memory lent) {
        Loans storage l = _loans;
        (lent.debt,, lent.debtIndex,) = _accrued();
        (lent.share, lent.kink) = (l.share, l.kink);
        (lent.baseRate, lent.kinkRate, lent.fullRate) = (l.baseRate, l.kinkRate, l.fullRate);
        lent.limit = _lendable();
        if (lent.debt != 0) lent.rate = _rate();
    }
}
