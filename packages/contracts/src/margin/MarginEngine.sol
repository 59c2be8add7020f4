// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {IClearinghouse} from "../interfaces/IClearinghouse.sol";
import {IInstrument} from "../interfaces/IInstrument.sol";
import {IMarginEngine} from "../interfaces/IMarginEngine.sol";
import {IPriceOracle} from "../interfaces/IPriceOracle.sol";
import {IRiskConfig} from "../interfaces/IRiskConfig.sol";
import {WadMath} from "../libraries/WadMath.sol";
import {Scenarios} from "./Scenarios.sol";

/// @title MarginEngine
/// @notice The Standard parameter set. Per underlying: value V and worst loss L over spot scenarios, of positions and credited claims together;
/// across underlyings the losses add as √((1−ρ)ΣL² + ρ(ΣL)²).
///
/// IM takes the lower V and the higher L of both ends of the price interval (widened to a parked value); MM the higher V and the lower L
/// of the stored interval, with its own, milder credit, shocks and ρ. Hence mm >= im.
contract MarginEngine is IMarginEngine {
    using FixedPointMathLib for uint256;
    using FixedPointMathLib for int256;
    using WadMath for int256;

    uint256 internal constant WAD = 1e18;
    uint256 internal constant BPS = 10_000;
    /// @dev Held back from IM per underlying (wei): more than all roundings of one, so that they cannot lift IM above MM.
    int256 internal constant ROUNDING = 16;

    IClearinghouse public immutable clearinghouse;
    IPriceOracle public immutable oracle;
    IRiskConfig public immutable riskConfig;

    /// @dev One underlying of the portfolio. Claims are WAD token units, full and scaled by credit.
    struct Exposure {
        uint256 feed;
        uint256 claims;
        uint256 claimsIm;
        uint256 claimsMm;
        /// Σ size of its positions, WAD.
        int256 size;
        uint256[] spots;
        /// PnL of all its positions at each of the spots, WAD.
        int256[] pnl;
    }

    /// @dev The portfolio by underlying, and where each position belongs.
    struct Book {
        Exposure[] exposures;
        uint256[] underlyingOf;
        address[] modules;
    }

    /// @dev Running Σ L and Σ L² (WAD, WAD²).
    struct Losses {
        uint256 sum;
        uint256 squares;
    }

    constructor(IClearinghouse clearinghouse_, IPriceOracle oracle_, IRiskConfig riskConfig_) {
        clearinghouse = clearinghouse_;
        oracle = oracle_;
        riskConfig = riskConfig_;
    }

    /// @inheritdoc IMarginEngine
    function accountHealth(bytes32 account) external view returns (Health memory) {
        return _health(clearinghouse.portfolio(account));
    }

    /// @inheritdoc IMarginEngine
    function accountsHealth(bytes32[] calldata accounts) external view returns (Health[] memory healths) {
        healths = new Health[](accounts.length);
        for (uint256 n; n < accounts.length; ++n) {
            healths[n] = _health(clearinghouse.portfolio(accounts[n]));
        }
    }

    /// @inheritdoc IMarginEngine
    function health(IClearinghouse.Portfolio calldata portfolio) external view returns (Health memory) {
        return _health(portfolio);
    }

    function _health(IClearinghouse.Portfolio memory p) internal view returns (Health memory h) {
        int256 safeCash = p.cash - int256(p.impaired[p.assetIds.length]);
        (h.equity, h.im, h.mm, h.fresh) = (p.cash, safeCash, p.cash, true);
        Book memory book = _book(p);
        uint256 count = book.exposures.length;
        // Cash alone needs no price.
        if (count == 0) return h;

        uint256[] memory feeds = new uint256[](count + 1);
        for (uint256 n; n < count; ++n) {
            feeds[n] = book.exposures[n].feed;
        }
        feeds[count] = riskConfig.settlementFeed();
        IPriceOracle.Price[] memory prices = oracle.prices(feeds);

        if (safeCash > 0) {
            IPriceOracle.Price memory par = prices[count];
            h.fresh = par.fresh;
            h.im = par.fresh ? safeCash.mulFloor(int256(Scenarios.low(par).min(WAD))) : int256(0);
        }
        _addExposures(h, p, book, prices);
    }

    /// @dev Adds every underlying to cash, then takes the joint losses, and profit beyond its cap from IM.
    function _addExposures(
        Health memory h,
        IClearinghouse.Portfolio memory p,
        Book memory book,
        IPriceOracle.Price[] memory prices
    ) internal view {
        uint256[] memory damping = _price(p, book, prices);
        Losses memory im;
        Losses memory mm;
        for (uint256 n; n < book.exposures.length; ++n) {
            Exposure memory e = book.exposures[n];
            if (!prices[n].fresh) (h.fresh, e.claimsIm) = (false, 0);
            h.pnl += e.pnl[Scenarios.MID];
            h.equity += e.pnl[Scenarios.MID] + int256(e.claims.mulWad(prices[n].price));
            h.notional += e.size.abs().mulWad(prices[n].price);
            h.im += _adverse(e, damping[n], im) - ROUNDING;
            h.mm += _favourable(e, damping[n], mm);
        }
        IRiskConfig.Global memory g = riskConfig.global();
        h.im -= int256(_aggregate(im, g.rhoIm)) + 1;
        h.mm -= int256(_aggregate(mm, g.rhoMm));
        int256 cap = int256(uint256(g.profitCapIm));
        if (h.pnl > cap) h.im -= h.pnl - cap;
    }

    /* PORTFOLIO */

    /// @dev One exposure per feed that the portfolio has a claim or a position in.
    function _book(IClearinghouse.Portfolio memory p) internal view returns (Book memory book) {
        Exposure[] memory list = new Exposure[](p.assetIds.length + p.instrumentIds.length);
        uint256 count;
        uint256 k;
        for (uint256 n; n < p.assetIds.length; ++n) {
            if (p.claims[n] == 0) continue;
            IRiskConfig.Asset memory a = riskConfig.asset(p.assetIds[n]);
            (k, count) = _find(list, count, a.feed);
            list[k].claims += p.claims[n];
            list[k].claimsIm += (p.claims[n] - p.impaired[n]) * a.creditIm / BPS;
            list[k].claimsMm += p.claims[n] * a.creditMm / BPS;
        }
        book.underlyingOf = new uint256[](p.instrumentIds.length);
        book.modules = new address[](p.instrumentIds.length);
        for (uint256 n; n < p.instrumentIds.length; ++n) {
            IRiskConfig.Instrument memory i = riskConfig.instrument(p.instrumentIds[n]);
            (k, count) = _find(list, count, i.feed);
            list[k].size += p.sizes[n];
            book.underlyingOf[n] = k;
            book.modules[n] = i.module;
        }
        assembly ("memory-safe") {
            mstore(list, count)
        }
        book.exposures = list;
    }

    function _find(Exposure[] memory list, uint256 count, uint256 feed)
        internal
        pure
        returns (uint256 index, uint256 newCount)
    {
        for (; index < count; ++index) {
            if (list[index].feed == feed) return (index, count);
        }
        list[count].feed = feed;
        return (count, count + 1);
    }

    /// @dev Fills spots and PnL of every exposure; returns their tail dampings (bps).
    function _price(IClearinghouse.Portfolio memory p, Book memory book, IPriceOracle.Price[] memory prices)
        internal
        view
        returns (uint256[] memory damping)
    {
        damping = new uint256[](book.exposures.length);
        for (uint256 n; n < damping.length; ++n) {
            Exposure memory e = book.exposures[n];
            IRiskConfig.Underlying memory u = riskConfig.underlying(e.feed);
            damping[n] = u.tailDamping;
            e.spots = Scenarios.spots(prices[n], u);
        }
        for (uint256 n; n < p.instrumentIds.length; ++n) {
            Exposure memory e = book.exposures[book.underlyingOf[n]];
            int256[] memory values =
                IInstrument(book.modules[n]).pnl(p.instrumentIds[n], p.sizes[n], p.quotes[n], e.spots);
            e.pnl = e.pnl.length == 0 ? values : _sum(e.pnl, values);
        }
        for (uint256 n; n < damping.length; ++n) {
            Exposure memory e = book.exposures[n];
            if (e.pnl.length == 0) e.pnl = new int256[](Scenarios.COUNT);
        }
    }

    function _sum(int256[] memory a, int256[] memory b) internal pure returns (int256[] memory) {
        for (uint256 k; k < Scenarios.COUNT; ++k) {
            a[k] += b[k];
        }
        return a;
    }

    /* LOSSES */

    /// @dev Lower value of both ends; adds the higher loss to `losses`.
    function _adverse(Exposure memory e, uint256 damping, Losses memory losses)
        internal
        pure
        returns (int256)
    {
        (int256 value, uint256 loss) = Scenarios.lossOf(e.spots, e.pnl, e.claimsIm, Scenarios.IM_LOW, damping);
        (int256 valueHigh, uint256 lossHigh) =
            Scenarios.lossOf(e.spots, e.pnl, e.claimsIm, Scenarios.IM_HIGH, damping);
        _add(losses, loss.max(lossHigh));
        return FixedPointMathLib.min(value, valueHigh);
    }

    /// @dev Higher value of both ends; adds the lower loss to `losses`.
    function _favourable(Exposure memory e, uint256 damping, Losses memory losses)
        internal
        pure
        returns (int256)
    {
        (int256 value, uint256 loss) = Scenarios.lossOf(e.spots, e.pnl, e.claimsMm, Scenarios.MM_LOW, damping);
        (int256 valueHigh, uint256 lossHigh) =
            Scenarios.lossOf(e.spots, e.pnl, e.claimsMm, Scenarios.MM_HIGH, damping);
        _add(losses, loss.min(lossHigh));
        return FixedPointMathLib.max(value, valueHigh);
    }

    function _add(Losses memory losses, uint256 loss) internal pure {
        losses.sum += loss;
        losses.squares += loss * loss;
    }

    /// @dev √((1−ρ)ΣL² + ρ(ΣL)²), rounded down; ρ in bps.
    function _aggregate(Losses memory losses, uint256 rho) internal pure returns (uint256) {
        uint256 squared = ((BPS - rho) * losses.squares + rho * losses.sum * losses.sum) / BPS;
        return squared.sqrt();
    }
}
