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
    using Losses for uint256[4 * CLASSES];

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
    function accountHealth(bytes32 account) external view returns (Health memory h) {
        _value(h, _read(account));
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
        bytes memory answer = _ask(address(clearinghouse), abi.encodeCall(IClearinghouse.rows, (account)));
        uint256[] memory words;
        bool portfolioSet;
        assembly ("memory-safe") {
            // As the answer begins, so does a book.
            mcopy(book, add(answer, 0x20), 0xa0)
            portfolioSet := mload(add(answer, 0xc0))
            words := add(answer, 0x100)
        }
        if (answer.length < 0x100 || answer.length != 0x100 + 0x20 * words.length) revert MalformedAnswer();
        book.portfolioSet = portfolioSet;
        if (words.length == 0 && book.warming == 0) return book;
        book.parameters = _parameters(book.assets, book.instruments, portfolioSet);
        uint256 count = book.assets.length();
        book.claims = new uint256[](count);
        book.impaired = new uint256[](count);
        _readClaims(book, words, count);
        book.holdings = _holdings(words, count, book.instruments);
    }

    function _readClaims(Book memory book, uint256[] memory words, uint256 count) internal pure {
        (uint256[] memory claims, uint256[] memory impaired) = (book.claims, book.impaired);
        uint256[] memory parameters = book.parameters;
        for (uint256 n = 32; n <= 32 * count; n += 32) {
            uint256 word;
            uint256 decimals;
            assembly ("memory-safe") {
                word := mload(add(words, n))
                decimals := byte(25, mload(add(add(parameters, 32), n)))
            }
            if (word == 0) continue;
            unchecked {
                // Exact: a token has at most 18 decimals. What has no room in 120 bits counts for no more than that: a valuation never fails.
                uint256 unit = 10 ** (18 - decimals);
                uint256 claim = (uint128(word) * unit).min(MAX_CLAIM);
                uint256 part = claim.zeroFloorSub((word >> 128) * unit);
                assembly ("memory-safe") {
                    mstore(add(claims, n), claim)
                    mstore(add(impaired, n), part)
                }
            }
        }
    }

    /// @dev As the ledger keeps a position, its quote stands at an index of 0. @param from Of the words, the first position.
    function _holdings(uint256[] memory words, uint256 from, uint256 instruments)
        internal
        pure
        returns (IInstrument.Holding[] memory holdings)
    {
        assembly ("memory-safe") {
            let count := sub(mload(words), from)
            holdings := mload(0x40)
            mstore(holdings, count)
            let at := add(holdings, 0x20)
            let holding := add(at, shl(5, count))
            let word := add(add(words, 0x20), shl(5, from))
            for { let end := holding } lt(at, end) { at := add(at, 0x20) } {
                mstore(at, holding)
                mstore(holding, and(instruments, 0xfff))
                mstore(add(holding, 0x20), signextend(15, mload(word)))
                mstore(add(holding, 0x40), sar(128, mload(word)))
                calldatacopy(add(holding, 0x60), calldatasize(), 0x40)
                instruments := shr(12, instruments)
                holding := add(holding, 0xa0)
                word := add(word, 0x20)
            }
            mstore(0x40, holding)
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
        _value(h, book);
    }

    /// @param h Empty.
    function _value(Health memory h, Book memory book) internal view {
        int256 warming = int256(book.warming);
        int256 cash = book.cash + warming;
        int256 safeCash = cash - int256(book.impairedCash);
        (h.equity, h.im, h.mm, h.pnl) = (cash, safeCash, cash, warming);
        (h.fresh, h.inputsFresh) = (true, true);
        (Exposure[] memory exposures, address[] memory modules) = _exposures(book);
        uint256 count = exposures.length;
        // Cash alone needs no price.
        if (count == 0 && warming == 0) return;

        IPriceOracle.Price[] memory prices = _prices(exposures);
        if (book.atMid) {
            for (uint256 n; n <= count; ++n) {
                (prices[n].confidence, prices[n].parked) = (0, 0);
            }
        }

        if (safeCash > 0) {
            IPriceOracle.Price memory par = prices[count];
            h.fresh = par.fresh;
            // 150 bits, times 60.
            unchecked {
                h.im = par.fresh ? safeCash * int256(_low(par).min(WAD)) / int256(WAD) : int256(0);
            }
        }
        _addExposures(h, book, exposures, modules, prices);
    }

    /// @dev Of each exposure, and of the settlement token. A price has no dynamic part: each is read where it lies in the answer, without a copy.
    function _prices(Exposure[] memory exposures) internal view returns (IPriceOracle.Price[] memory prices) {
        bytes4 selector = IPriceOracle.prices.selector;
        uint256 settlementFeed = _settlementFeed;
        uint256 count = exposures.length + 1;
        bytes memory request;
        assembly ("memory-safe") {
            request := mload(0x40)
            mstore(add(request, 0x20), selector)
            mstore(add(request, 0x24), 0x20)
            mstore(add(request, 0x44), count)
            let to := add(request, 0x64)
            // Of an exposure, its feed lies first.
            for { let from := exposures } gt(count, 1) { count := sub(count, 1) } {
                from := add(from, 0x20)
                mstore(to, mload(mload(from)))
                to := add(to, 0x20)
            }
            mstore(to, settlementFeed)
            mstore(request, sub(to, request))
            mstore(0x40, add(to, 0x3c))
        }
        bytes memory answer = _ask(address(oracle), request);
        count = exposures.length + 1;
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

    function _ask(address target, bytes memory request) internal view returns (bytes memory answer) {
        assembly ("memory-safe") {
            let ok := staticcall(gas(), target, add(request, 0x20), mload(request), 0, 0)
            answer := mload(0x40)
            let size := returndatasize()
            let data := add(answer, 0x20)
            returndatacopy(data, 0, size)
            if iszero(ok) { revert(data, size) }
            mstore(answer, size)
            mstore(0x40, and(add(add(data, size), 0x1f), not(0x1f)))
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
        uint256[4 * CLASSES] memory sums;
        Scenarios.Interval memory interval;
        for (uint256 n; n < exposures.length; ++n) {
            Exposure memory e = exposures[n];
            IPriceOracle.Price memory price = prices[n];
            Scenarios.setInterval(interval, price);
            int256 pnl = answers.pnl[answers.at];
            if (pnl > 0) answers.gains = true;
            _addMid(h, e, price, interval, pnl);
            if (e.curved) {
                answers.naked = _naked(e, price.price, uint16(global >> 240));
                _addCurved(h, e, price.fresh, interval, answers, sums);
            } else {
                _addLinear(h, e, price, interval, pnl, answers.pnl[answers.at + Scenarios.ZERO], sums);
            }
            answers.at += answers.count;
        }
        h.im -= 1;
        for (uint256 n; n < CLASSES; ++n) {
            uint256 any;
            assembly ("memory-safe") {
                let from := add(sums, shl(7, n))
                any := or(mload(from), mload(add(from, 0x40)))
            }
            if (any == 0) continue;
            h.im -= int256(sums.joint(2 * n, (global >> (28 * n)) & FeedRisk.MASK));
            h.mm -= int256(sums.joint(2 * n + 1, (global >> (28 * n + 14)) & FeedRisk.MASK));
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
        uint256[] memory spots = new uint256[](exposures.length * count);
        unchecked {
            uint256 at;
            for (uint256 n; n < exposures.length; ++n) {
                uint256 mid = prices[n].price;
                if (mid >> 127 != 0) revert Losses.OutOfRange();
                if (exposures[n].curved) Scenarios.fill(spots, at, count, prices[n], exposures[n].risk);
                else spots[at] = mid;
                at += count;
            }
        }
        (a.spots, a.count) = (spots, count);
        uint256[] memory factors = Scenarios.volatilities(count, uint16(global >> 208), uint16(global >> 224));
        (a.pnl, a.fresh) = Holdings.pnl(book.holdings, modules, count, spots, factors);
    }

    /// @dev One per feed that the book has a claim or a position in; and the module of each holding, which learns its underlying's place.
    function _exposures(Book memory book)
        internal
        pure
        returns (Exposure[] memory list, address[] memory modules)
    {
        modules = new address[](book.holdings.length);
        uint256 rows = book.claims.length + modules.length;
        if (rows == 0) return (list, modules);
        uint256[] memory places;
        (list, places) = _places(book.parameters.length - 1 - rows);
        _addClaims(book, list, places);
        _addPositions(book, list, places, modules);
    }

    function _addClaims(Book memory book, Exposure[] memory list, uint256[] memory places) internal pure {
        uint256[] memory parameters = book.parameters;
        (uint256[] memory claims, uint256[] memory impairments) = (book.claims, book.impaired);
        unchecked {
            for (uint256 n = 32; n <= 32 * claims.length; n += 32) {
                uint256 claim;
                uint256 impaired;
                uint256 word;
                assembly ("memory-safe") {
                    claim := mload(add(claims, n))
                    impaired := mload(add(impairments, n))
                    word := mload(add(add(parameters, 32), n))
                }
                if (claim == 0) continue;
                Exposure memory e = list[_place(list, places, parameters, word)];
                e.claims += claim;
                e.claimsIm += (claim - impaired) * uint16(word >> 16) / BPS;
                e.claimsMm += claim * uint16(word >> 32) / BPS;
            }
        }
    }

    function _addPositions(
        Book memory book,
        Exposure[] memory list,
        uint256[] memory places,
        address[] memory modules
    ) internal pure {
        uint256[] memory parameters = book.parameters;
        IInstrument.Holding[] memory holdings = book.holdings;
        unchecked {
            uint256 skipped = 32 * (book.claims.length + 1);
            for (uint256 n = 32; n <= 32 * holdings.length; n += 32) {
                uint256 word;
                assembly ("memory-safe") {
                    word := mload(add(add(parameters, skipped), n))
                    mstore(add(modules, n), shr(96, word))
                }
                uint256 place = _place(list, places, parameters, word);
                Exposure memory e = list[place];
                int256 size;
                assembly ("memory-safe") {
                    let holding := mload(add(holdings, n))
                    size := mload(add(holding, 0x20))
                    // Its underlying.
                    mstore(add(holding, 0x80), place)
                }
                e.size += size;
                if (uint16(word >> 80) == 0) continue;
                (book.curved, e.curved) = (true, true);
                e.curvedSize += size;
            }
        }
    }

    /// @dev An empty list with room for so many: exposures are made as they are met. And of each feed of the parameters, its place there, from 1.
    function _places(uint256 most) internal pure returns (Exposure[] memory list, uint256[] memory places) {
        places = new uint256[](most);
        assembly ("memory-safe") {
            list := mload(0x40)
            mstore(list, 0)
            mstore(0x40, add(list, add(32, shl(5, most))))
        }
    }

    /// @dev Place in the list of the exposure to the feed of a row. @param word Its parameters. The feeds' lie at their end.
    function _place(
        Exposure[] memory list,
        uint256[] memory places,
        uint256[] memory parameters,
        uint256 word
    ) internal pure returns (uint256 index) {
        assembly ("memory-safe") {
            // RiskConfig's, below the number of feeds.
            let feed := shl(5, add(and(word, 0xffff), 1))
            let place := add(places, feed)
            index := mload(place)
            if iszero(index) {
                word := mload(add(add(parameters, shl(5, sub(mload(parameters), mload(places)))), feed))
                let e := mload(0x40)
                mstore(0x40, add(e, 0x100))
                mstore(e, and(word, 0xffff))
                mstore(add(e, 0x20), shr(16, word))
                calldatacopy(add(e, 0x40), calldatasize(), 0xc0)
                index := add(mload(list), 1)
                mstore(place, index)
                mstore(list, index)
                mstore(add(list, shl(5, index)), e)
            }
            index := sub(index, 1)
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

    /// @param atZero What is left where the underlying is worth nothing.
    function _addLinear(
        Health memory h,
        Exposure memory e,
        IPriceOracle.Price memory price,
        Scenarios.Interval memory interval,
        int256 pnl,
        int256 atZero,
        uint256[4 * CLASSES] memory sums
    ) internal pure {
        unchecked {
            int256 slope = pnl - atZero;
            Losses.bounded(atZero);
            uint256 risk = e.risk;
            int256 slopeIm = slope + int256(e.claimsIm * price.price / WAD);
            int256 slopeMm = slope + int256(e.claimsMm * price.price / WAD);
            uint256 shock = price.fresh ? risk.shockIm() : 2 * risk.shockIm();
            (int256 value, uint256 loss) = Losses.adverse(slopeIm, interval, shock, risk);
            h.im += atZero + value - ROUNDING;
            uint256 place = 2 * risk.class();
            sums.add(place, loss);
            (value, loss) = Losses.favourable(slopeMm, interval, risk);
            h.mm += atZero + value;
            sums.add(place + 1, loss);
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
        uint256[4 * CLASSES] memory sums
    ) internal pure {
        uint256 risk = e.risk;
        (int256 value, uint256 loss) = Losses.adverse(answers, e.claimsIm, interval, fresh ? 1 : 2, risk);
        h.im += value - ROUNDING;
        sums.add(2 * risk.class(), loss);
        (value, loss) = Losses.favourable(answers, e.claimsMm, interval, risk);
        h.mm += value;
        sums.add(2 * risk.class() + 1, loss);
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
