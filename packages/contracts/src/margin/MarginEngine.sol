// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {IClearinghouse} from "../interfaces/IClearinghouse.sol";
import {IInstrument} from "../interfaces/IInstrument.sol";
import {IMarginEngine} from "../interfaces/IMarginEngine.sol";
import {IPriceOracle} from "../interfaces/IPriceOracle.sol";
import {IRiskConfig} from "../interfaces/IRiskConfig.sol";
import {IdList} from "../libraries/IdList.sol";
import {WadMath} from "../libraries/WadMath.sol";
import {CLASSES, FeedRisk} from "./FeedRisk.sol";
import {Holdings} from "./Holdings.sol";
import {Losses} from "./Losses.sol";
import {PriceAverages} from "./PriceAverages.sol";
import {Scenarios} from "./Scenarios.sol";

/// @title MarginEngine
/// @notice Per underlying: value V and worst loss L over spot scenarios, of positions and credited claims together. Across underlyings of a
/// risk class the losses add as √((1−ρ)ΣL² + ρ(ΣL)²), those of classes in full; and what it costs to sell more than a market is deep.
///
/// IM takes the lower V and the higher L of both ends of the price interval (widened to a parked value); MM the higher V and the lower L
/// of the stored interval, with its own, milder credit, shocks and ρ. Hence mm >= im.
///
/// Its only state are moving averages of prices (PriceAverages), which bound the profit that IM counts.
/// @dev One call each for the account's rows, their parameters and the prices, and one a module.
contract MarginEngine is IMarginEngine, PriceAverages {
    using FeedRisk for uint256;
    using FixedPointMathLib for uint256;
    using FixedPointMathLib for int256;
    using IdList for uint256;
    using Losses for Losses.Sums;
    using WadMath for int256;

    uint256 internal constant WAD = 1e18;
    uint256 internal constant BPS = 10_000;
    /// @dev Held back from IM per underlying (wei): more than all roundings of one, so that they cannot lift IM above MM.
    int256 internal constant ROUNDING = 16;
    /// @dev WAD token units.
    uint256 internal constant MAX_CLAIM = (1 << 120) - 1;

    IClearinghouse public immutable clearinghouse;
    IPriceOracle public immutable oracle;
    IRiskConfig public immutable riskConfig;
    uint256 internal immutable _settlementFeed;

    /// @dev What is valued: an account's rows, or a portfolio that somebody made up. WAD.
    struct Book {
        int256 cash;
        uint256 warming;
        uint256 impairedCash;
        /// IdLists.
        uint256 assets;
        uint256 instruments;
        /// In the order of `assets`; the part of each that IM leaves out.
        uint256[] claims;
        uint256[] impaired;
        /// In the order of `instruments`.
        IInstrument.Holding[] holdings;
        /// Of RiskConfig.marginParameters for both lists.
        uint256[] parameters;
        bool portfolioSet;
        /// Some instrument of it is.
        bool curved;
        /// Prices count as if they were sure.
        bool atMid;
    }

    /// @dev One underlying of the book. Claims are WAD token units, full and scaled by credit.
    struct Exposure {
        uint256 feed;
        /// As FeedRisk.
        uint256 risk;
        uint256 claims;
        uint256 claimsIm;
        uint256 claimsMm;
        /// Σ size of its positions, WAD; and of those in curved instruments.
        int256 size;
        int256 curvedSize;
        /// Some value isn't a straight line in the spot.
        bool curved;
    }

    /// @dev A portfolio's lists differ in length.
    error MalformedPortfolio();
    /// @dev The oracle's or RiskConfig's, of another length than it should be.
    error MalformedAnswer();
    /// @dev A claim, or the part of it that is impaired, has no room in 120 bits, or the part is larger than the whole.
    error InvalidClaim(uint256 assetId);

    constructor(IClearinghouse clearinghouse_, IPriceOracle oracle_, IRiskConfig riskConfig_) {
        clearinghouse = clearinghouse_;
        oracle = oracle_;
        riskConfig = riskConfig_;
        _settlementFeed = riskConfig_.settlementFeed();
    }

    /// @inheritdoc IMarginEngine
    function observe(uint256 feed) external returns (bool) {
        return _observe(oracle, feed);
    }

    /// @inheritdoc IMarginEngine
    function averageOf(uint256 feed) external view returns (uint256) {
        return _averageOf(feed);
    }

    /// @inheritdoc IMarginEngine
    function accountHealth(bytes32 account) external view returns (Health memory) {
        return _health(_read(account));
    }

    /// @inheritdoc IMarginEngine
    function accountsHealth(bytes32[] calldata accounts) external view returns (Health[] memory healths) {
        healths = new Health[](accounts.length);
        for (uint256 n; n < accounts.length; ++n) {
            healths[n] = _health(_read(accounts[n]));
        }
    }

    /// @inheritdoc IMarginEngine
    function isFresh(bytes32 account) external view returns (bool) {
        Book memory book = _read(account);
        // What it is worth matters to nobody: without curves two scenarios do, and the same inputs are read.
        for (uint256 n; n < book.holdings.length; ++n) {
            book.parameters[1 + book.claims.length + n] &= ~(uint256(type(uint16).max) << 80);
        }
        return _health(book).fresh;
    }

    /// @inheritdoc IMarginEngine
    function health(IClearinghouse.Portfolio calldata p) external view returns (Health memory) {
        return _health(_bookOf(p));
    }

    /// @inheritdoc IMarginEngine
    function healthAtMid(IClearinghouse.Portfolio calldata p) external view returns (Health memory) {
        Book memory book = _bookOf(p);
        book.atMid = true;
        return _health(book);
    }

    /// @inheritdoc IMarginEngine
    function valuation(bytes32 account) external view returns (Valuation memory v) {
        Book memory book = _read(account);
        v.account = _health(book);
        v.empty = true;
        for (uint256 n; n < book.holdings.length; ++n) {
            if (book.holdings[n].size != 0) v.empty = false;
        }
        if (book.impairedCash != 0) {
            v.impaired = true;
            if (book.cash > 0) book.cash = FixedPointMathLib.max(book.cash - int256(book.impairedCash), 0);
            book.impairedCash = 0;
        }
        for (uint256 n; n < book.claims.length; ++n) {
            if (book.impaired[n] != 0) {
                v.impaired = true;
                book.claims[n] -= book.impaired[n];
                book.impaired[n] = 0;
            }
            if (book.claims[n] != 0) v.empty = false;
        }
        v.offered = v.impaired ? _health(book) : v.account;
        v.cash = book.cash;
    }

    /// @inheritdoc IMarginEngine
    function portfolio(bytes32 account) external view returns (IClearinghouse.Portfolio memory p) {
        Book memory book = _read(account);
        (p.cash, p.warming, p.portfolioSet) = (book.cash, book.warming, book.portfolioSet);
        p.assetIds = book.assets.toArray();
        p.claims = book.claims;
        uint256 count = p.assetIds.length;
        p.impaired = new uint256[](count + 1);
        for (uint256 n; n < count; ++n) {
            p.impaired[n] = book.impaired[n];
        }
        p.impaired[count] = book.impairedCash;
        p.instrumentIds = book.instruments.toArray();
        count = p.instrumentIds.length;
        p.sizes = new int256[](count);
        p.quotes = new int256[](count);
        for (uint256 n; n < count; ++n) {
            IInstrument.Holding memory h = book.holdings[n];
            p.sizes[n] = h.size;
            p.quotes[n] = WadMath.accrued(h.size, h.quote, h.index, _costIndex(book, n));
        }
    }

    /* BOOK */

    function _read(bytes32 account) internal view returns (Book memory book) {
        uint256[] memory words;
        (
            book.cash,
            book.warming,
            book.impairedCash,
            book.assets,
            book.instruments,
            book.portfolioSet,
            words
        ) = clearinghouse.rows(account);
        if (words.length == 0 && book.warming == 0) return book;
        uint256[] memory parameters = _parameters(book.assets, book.instruments, book.portfolioSet);
        book.parameters = parameters;
        uint256 count = book.assets.length();
        uint256 positions = words.length - count;
        book.claims = new uint256[](count);
        book.impaired = new uint256[](count);
        for (uint256 n; n < count; ++n) {
            uint256 word = words[n];
            if (word == 0) continue;
            unchecked {
                // Exact: a token has at most 18 decimals. What has no room in 120 bits counts for no more than that: a valuation never fails.
                uint256 unit = 10 ** (18 - uint8(parameters[n + 1] >> 48));
                uint256 claim = (uint128(word) * unit).min(MAX_CLAIM);
                book.claims[n] = claim;
                book.impaired[n] = claim.zeroFloorSub((word >> 128) * unit);
            }
        }
        book.holdings = new IInstrument.Holding[](positions);
        uint256 list = book.instruments;
        for (uint256 n; n < positions; ++n) {
            IInstrument.Holding memory h = book.holdings[n];
            uint256 word = words[count + n];
            h.instrumentId = list & IdList.MAX_ID;
            // As the ledger keeps it, the quote stands at an index of 0.
            h.size = int128(uint128(word));
            h.quote = int256(word) >> 128;
            list >>= 12;
        }
    }

    /// @dev Its quotes have all costs up to now.
    function _bookOf(IClearinghouse.Portfolio calldata p) internal view returns (Book memory book) {
        uint256 count = p.assetIds.length;
        if (p.claims.length != count || p.impaired.length != count + 1) revert MalformedPortfolio();
        uint256 positions = p.instrumentIds.length;
        if (p.sizes.length != positions || p.quotes.length != positions) revert MalformedPortfolio();
        (book.cash, book.impairedCash, book.portfolioSet) = (p.cash, p.impaired[count], p.portfolioSet);
        book.warming = p.warming;
        Losses.bounded(p.cash);
        if ((p.impaired[count] | p.warming) >> 150 != 0) revert Losses.OutOfRange();
        (book.assets, book.instruments) = (IdList.from(p.assetIds), IdList.from(p.instrumentIds));
        book.parameters = _parameters(book.assets, book.instruments, book.portfolioSet);
        book.claims = p.claims;
        book.impaired = new uint256[](count);
        for (uint256 n; n < count; ++n) {
            uint256 part = p.impaired[n];
            if (book.claims[n] >> 120 != 0 || part > book.claims[n]) revert InvalidClaim(p.assetIds[n]);
            book.impaired[n] = part;
        }
        book.holdings = new IInstrument.Holding[](positions);
        for (uint256 n; n < positions; ++n) {
            book.holdings[n] = IInstrument.Holding(p.instrumentIds[n], p.sizes[n], p.quotes[n], 0, 0);
            book.holdings[n].index = _costIndex(book, n);
        }
    }

    function _costIndex(Book memory book, uint256 n) internal view returns (int256) {
        return IInstrument(_moduleOf(book, n)).costIndex(book.holdings[n].instrumentId);
    }

    /* HEALTH */

    function _health(Book memory book) internal view returns (Health memory h) {
        int256 warming = int256(book.warming);
        int256 cash = book.cash + warming;
        int256 safeCash = cash - int256(book.impairedCash);
        (h.equity, h.im, h.mm, h.pnl) = (cash, safeCash, cash, warming);
        (h.fresh, h.inputsFresh) = (true, true);
        (Exposure[] memory exposures, address[] memory modules) = _exposures(book);
        uint256 count = exposures.length;
        // Cash alone needs no price.
        if (count == 0 && warming == 0) return h;

        uint256[] memory feeds = new uint256[](count + 1);
        for (uint256 n; n < count; ++n) {
            feeds[n] = exposures[n].feed;
        }
        feeds[count] = _settlementFeed;
        IPriceOracle.Price[] memory prices = _prices(feeds);
        if (book.atMid) {
            for (uint256 n; n <= count; ++n) {
                (prices[n].confidence, prices[n].parked) = (0, 0);
            }
        }

        if (safeCash > 0) {
            IPriceOracle.Price memory par = prices[count];
            h.fresh = par.fresh;
            h.im = par.fresh ? safeCash.mulFloor(int256(_low(par).min(WAD))) : int256(0);
        }
        _addExposures(h, book, exposures, modules, prices);
    }

    /// @dev A price has no dynamic part: each is read where it lies in the answer, without a copy.
    function _prices(uint256[] memory feeds) internal view returns (IPriceOracle.Price[] memory prices) {
        bytes memory answer = _ask(address(oracle), abi.encodeCall(IPriceOracle.prices, (feeds)));
        uint256 count = feeds.length;
        if (answer.length != 0x40 + 0xa0 * count) revert MalformedAnswer();
        assembly ("memory-safe") {
            prices := mload(0x40)
            mstore(prices, count)
            let to := add(prices, 0x20)
            mstore(0x40, add(to, shl(5, count)))
            let from := add(answer, 0x60)
            for { let end := mload(0x40) } lt(to, end) { to := add(to, 0x20) } {
                mstore(to, from)
                from := add(from, 0xa0)
            }
        }
    }

    function _ask(address target, bytes memory call) internal view returns (bytes memory answer) {
        bool ok;
        (ok, answer) = target.staticcall(call);
        if (ok) return answer;
        assembly ("memory-safe") {
            revert(add(answer, 0x20), mload(answer))
        }
    }

    /// @dev RiskConfig's parameters, read where they lie in its answer too.
    function _parameters(uint256 assets, uint256 instruments, bool portfolioSet)
        internal
        view
        returns (uint256[] memory words)
    {
        bytes memory answer = _ask(
            address(riskConfig),
            abi.encodeCall(IRiskConfig.marginParameters, (assets, instruments, portfolioSet))
        );
        assembly ("memory-safe") {
            words := add(answer, 0x40)
        }
        if (answer.length < 0x40 || answer.length != 0x40 + 0x20 * words.length) revert MalformedAnswer();
    }

    /// @dev Adds every underlying to cash, then takes the joint losses, and profit beyond its cap from IM.
    function _addExposures(
        Health memory h,
        Book memory book,
        Exposure[] memory exposures,
        address[] memory modules,
        IPriceOracle.Price[] memory prices
    ) internal view {
        uint256 global = book.parameters[0];
        Losses.Answers memory answers = _answers(book, exposures, modules, prices);
        if (!answers.fresh) (h.fresh, h.inputsFresh) = (false, false);
        Losses.Sums[CLASSES] memory im;
        Losses.Sums[CLASSES] memory mm;
        for (uint256 n; n < exposures.length; ++n) {
            Exposure memory e = exposures[n];
            IPriceOracle.Price memory price = prices[n];
            Scenarios.Interval memory interval = Scenarios.intervalOf(price);
            if (answers.pnl[answers.at] > 0) answers.gains = true;
            _addMid(h, e, price, interval, answers.pnl[answers.at]);
            uint256 class = e.risk.class();
            if (e.curved) {
                answers.naked = _naked(e, price.price, uint16(global >> 240));
                _addCurved(h, e, price.fresh, interval, answers, im[class], mm[class]);
            } else {
                _addLinear(h, e, price, interval, answers, im[class], mm[class]);
            }
            answers.at += answers.count;
        }
        h.im -= 1;
        for (uint256 n; n < CLASSES; ++n) {
            if (im[n].sum != 0) h.im -= int256(im[n].joint((global >> (28 * n)) & FeedRisk.MASK));
            if (mm[n].sum != 0) h.mm -= int256(mm[n].joint((global >> (28 * n + 14)) & FeedRisk.MASK));
        }
        int256 cap = int256(uint256(uint96(global >> 112)));
        int256 steady = answers.gains ? _steady(h.pnl, book, exposures, prices, answers) : h.pnl;
        h.im -= h.pnl - steady.min(cap);
    }

    /// @dev Of `pnl`, that in which an underlying's profit counts at the lower of the mark and the average, and a loss at the mark. By underlying,
    /// so that what hedges one another is one; and not over all, or a spike in one would count where another has just lost as much.
    function _steady(
        int256 pnl,
        Book memory book,
        Exposure[] memory exposures,
        IPriceOracle.Price[] memory prices,
        Losses.Answers memory answers
    ) internal view returns (int256) {
        uint256 count = exposures.length;
        uint256[] memory spots;
        for (uint256 n; n < count; ++n) {
            int256 atMark = answers.pnl[n * answers.count];
            if (atMark <= 0) continue;
            uint256 mid = prices[n].price;
            uint256 average = _averageOf(exposures[n].feed);
            if (average == 0 || average == mid) continue;
            if (exposures[n].curved) {
                if (spots.length == 0) spots = new uint256[](count);
                spots[n] = average;
                continue;
            }
            // A straight line is known by two of its points.
            int256 atZero = answers.pnl[n * answers.count + Scenarios.ZERO];
            int256 slope = atMark - atZero;
            Losses.bounded(slope);
            pnl -= _beyond(atMark, atZero + (slope * int256(average)).rawSDiv(int256(mid)));
        }
        if (spots.length == 0) return pnl;
        (int256[] memory steady,) = Holdings.pnl(book.holdings, _modules(book), 1, spots, new uint256[](0));
        for (uint256 n; n < count; ++n) {
            if (spots[n] != 0) pnl -= _beyond(answers.pnl[n * answers.count], steady[n]);
        }
        return pnl;
    }

    /// @dev Of a profit, what doesn't count.
    function _beyond(int256 profit, int256 steady) internal pure returns (int256) {
        return profit - FixedPointMathLib.clamp(steady, 0, profit);
    }

    function _moduleOf(Book memory book, uint256 n) internal pure returns (address) {
        return address(uint160(book.parameters[book.claims.length + 1 + n] >> 96));
    }

    /// @dev Of each holding, as asking uses the list up.
    function _modules(Book memory book) internal pure returns (address[] memory modules) {
        modules = new address[](book.holdings.length);
        for (uint256 n; n < modules.length; ++n) {
            modules[n] = _moduleOf(book, n);
        }
    }

    /// @dev Asks the modules.
    function _answers(
        Book memory book,
        Exposure[] memory exposures,
        address[] memory modules,
        IPriceOracle.Price[] memory prices
    ) internal view returns (Losses.Answers memory a) {
        uint256 count = Scenarios.countOf(book.curved, book.portfolioSet);
        uint256 global = book.parameters[0];
        a.count = count;
        a.spots = new uint256[](exposures.length * count);
        for (uint256 n; n < exposures.length; ++n) {
            Exposure memory e = exposures[n];
            uint256 mid = prices[n].price;
            if (mid >> 127 != 0) revert Losses.OutOfRange();
            if (e.curved) Scenarios.fill(a.spots, n * count, count, prices[n], e.risk);
            else a.spots[n * count] = mid;
        }
        uint256[] memory factors = Scenarios.volatilities(count, uint16(global >> 208), uint16(global >> 224));
        (a.pnl, a.fresh) = Holdings.pnl(book.holdings, modules, count, a.spots, factors);
    }

    /// @dev One per feed that the book has a claim or a position in; and the module of each holding, which learns its underlying's place.
    function _exposures(Book memory book)
        internal
        pure
        returns (Exposure[] memory list, address[] memory modules)
    {
        uint256[] memory parameters = book.parameters;
        uint256 claims = book.claims.length;
        uint256 positions = book.holdings.length;
        modules = new address[](positions);
        if (claims + positions == 0) return (list, modules);
        unchecked {
            uint256 feeds = parameters.length - 1 - claims - positions;
            list = _places(feeds);
            // Of each feed of the parameters, its place in the list, from 1.
            uint256[] memory places = new uint256[](feeds);
            for (uint256 n; n < claims; ++n) {
                uint256 claim = book.claims[n];
                if (claim == 0) continue;
                uint256 word = parameters[n + 1];
                Exposure memory e = list[_at(list, places, parameters, uint16(word))];
                e.claims += claim;
                e.claimsIm += (claim - book.impaired[n]) * uint16(word >> 16) / BPS;
                e.claimsMm += claim * uint16(word >> 32) / BPS;
            }
            for (uint256 n; n < positions; ++n) {
                uint256 word = parameters[claims + n + 1];
                IInstrument.Holding memory h = book.holdings[n];
                h.underlying = _at(list, places, parameters, uint16(word));
                Exposure memory e = list[h.underlying];
                modules[n] = address(uint160(word >> 96));
                e.size += h.size;
                if (uint16(word >> 80) == 0) continue;
                (book.curved, e.curved) = (true, true);
                e.curvedSize += h.size;
            }
        }
    }

    /// @dev An empty list with room for so many: exposures are made as they are met.
    function _places(uint256 most) internal pure returns (Exposure[] memory list) {
        assembly ("memory-safe") {
            list := mload(0x40)
            mstore(list, 0)
            mstore(0x40, add(list, add(32, shl(5, most))))
        }
    }

    /// @dev Place in the list of the exposure to a feed of the parameters, which lie at their end.
    function _at(Exposure[] memory list, uint256[] memory places, uint256[] memory parameters, uint256 place)
        internal
        pure
        returns (uint256 index)
    {
        // The place is RiskConfig's, below the number of feeds.
        unchecked {
            assembly ("memory-safe") {
                index := mload(add(add(places, 32), shl(5, place)))
            }
            if (index != 0) return index - 1;
            index = list.length;
            uint256 word = parameters[parameters.length - places.length + place];
            Exposure memory e = Exposure(uint16(word), word >> 16, 0, 0, 0, 0, 0, false);
            assembly ("memory-safe") {
                mstore(add(add(places, 32), shl(5, place)), add(index, 1))
                mstore(list, add(index, 1))
                mstore(add(list, add(32, shl(5, index))), e)
            }
        }
    }

    /// @dev Lowest value that the oracle leaves possible (WAD): of the interval and of what is parked.
    function _low(IPriceOracle.Price memory price) internal pure returns (uint256) {
        uint256 end = price.price.mulWad(WAD.zeroFloorSub(price.confidence));
        return price.parked == 0 ? end : end.min(price.parked);
    }

    /* LOSSES */

    /// @dev What needs no scenario; and claims that the price is too unsure for leave IM.
    function _addMid(
        Health memory h,
        Exposure memory e,
        IPriceOracle.Price memory price,
        Scenarios.Interval memory interval,
        int256 pnl
    ) internal pure {
        uint256 mid = price.price;
        h.notional += e.size.abs().mulWad(mid);
        unchecked {
            // Claims of 125 bits, a price of 127, PnL of 192.
            h.pnl += pnl;
            h.equity += pnl + int256(e.claims * mid / WAD);
        }
        if (!price.fresh) h.fresh = false;
        if (!price.fresh || Losses.isUnsure(interval, e.risk)) e.claimsIm = 0;
    }

    function _addLinear(
        Health memory h,
        Exposure memory e,
        IPriceOracle.Price memory price,
        Scenarios.Interval memory interval,
        Losses.Answers memory answers,
        Losses.Sums memory im,
        Losses.Sums memory mm
    ) internal pure {
        unchecked {
            // What is left where the underlying is worth nothing.
            int256 atZero = answers.pnl[answers.at + Scenarios.ZERO];
            int256 slope = answers.pnl[answers.at] - atZero;
            Losses.bounded(atZero);
            uint256 risk = e.risk;
            int256 slopeIm = slope + int256(e.claimsIm * price.price / WAD);
            int256 slopeMm = slope + int256(e.claimsMm * price.price / WAD);
            uint256 shock = price.fresh ? risk.shockIm() : 2 * risk.shockIm();
            (int256 value, uint256 loss) = Losses.adverse(slopeIm, interval, shock, risk);
            h.im += atZero + value - ROUNDING;
            im.add(loss);
            (value, loss) = Losses.favourable(slopeMm, interval, risk);
            h.mm += atZero + value;
            mm.add(loss);
            _addDepth(h, slopeIm.abs(), slopeMm.abs(), interval, risk);
        }
    }

    /// @dev What it costs to sell more than the market is deep. MM's size counts for IM too: so IM never holds back less, and impairing a claim,
    /// which leaves less of it to sell, never helps. @param sizeIm Of the net position (WAD quote).
    function _addDepth(
        Health memory h,
        uint256 sizeIm,
        uint256 sizeMm,
        Scenarios.Interval memory interval,
        uint256 risk
    ) internal pure {
        if (risk >> 74 == 0) return;
        unchecked {
            uint256 size = (sizeIm.max(sizeMm) * interval.imHigh + (WAD - 1)) / WAD;
            h.im -= int256(Losses.impactUp(size, risk.thinnessIm()));
            h.mm -= int256(Losses.impact(sizeMm * interval.low / WAD, risk.thinnessMm()));
        }
    }

    /// @dev What is held back for the net short position in curved instruments. @param share Bps of spot.
    function _naked(Exposure memory e, uint256 mid, uint256 share) internal pure returns (uint256) {
        return e.curvedSize < 0 ? (uint256(-e.curvedSize).mulWadUp(mid) * share).divUp(BPS) : 0;
    }

    function _addCurved(
        Health memory h,
        Exposure memory e,
        bool fresh,
        Scenarios.Interval memory interval,
        Losses.Answers memory answers,
        Losses.Sums memory im,
        Losses.Sums memory mm
    ) internal pure {
        uint256 risk = e.risk;
        (int256 value, uint256 loss) = Losses.adverse(answers, e.claimsIm, interval, fresh ? 1 : 2, risk);
        h.im += value - ROUNDING;
        im.add(loss);
        (value, loss) = Losses.favourable(answers, e.claimsMm, interval, risk);
        h.mm += value;
        mm.add(loss);
        if (risk >> 74 == 0) return;
        _addDepth(
            h,
            Losses.gridSlope(answers, e.claimsIm, risk).abs(),
            Losses.gridSlope(answers, e.claimsMm, risk).abs(),
            interval,
            risk
        );
    }
}
