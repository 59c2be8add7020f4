// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {IInstrument} from "../interfaces/IInstrument.sol";
import {IRiskConfig} from "../interfaces/IRiskConfig.sol";
import {IdList} from "../libraries/IdList.sol";
import {CLASSES, FeedRisk} from "../margin/FeedRisk.sol";

/// @title RiskConfig
/// @notice Parameters of assets, feeds and instruments, set by the owner within hard bounds.
/// Identity never changes: an id keeps its token, decimals, feed and module for ever.
///
/// What MM takes of all of them never jumps, whoever sets it: it ramps towards what was set, by at most a slope times
/// the time since it last moved, of which no more than MAX_ELAPSED counts, so that nobody saves time up. IM follows at once, and is never
/// the milder one; tails and the grid's shifts are the same for both, and ramp. What nobody holds anything on yet is set at once.
contract RiskConfig is IRiskConfig, Ownable {
    using FeedRisk for uint256;
    using FixedPointMathLib for uint256;
    using IdList for uint256;

    uint256 internal constant BPS = 10_000;

    /// @notice A regression may not be booked sooner (seconds): longer than the clearinghouse's skew bound.
    uint32 public constant MIN_REGRESSION_DELAY = 30 minutes;
    /// @notice Widest trade band around the oracle price, bps.
    uint16 public constant MAX_PRICE_BAND = 1000;
    /// @notice Most rows of an account: with a bidder that has as many already it must be sold within a quarter of a block (LargestAccount.t.sol).
    uint256 public constant MAX_ROWS = 16;
    uint256 internal constant LISTED_ASSET = 1 << 56;
    /// @notice Most that a maturing bucket may hold, whole tokens: keeps every sum far inside 128 bits.
    uint256 public constant MAX_MATURE_TOKENS = 1e12;
    /// @notice What margin takes from shocks grows to at most so many times the owner's, bps.
    uint256 public constant MAX_FACTOR = 50_000;
    /// @notice Slopes, bps an hour: of a shock for MM (of price), a correlation for MM, a credit for MM (of value), the factor on IM's shock as it
    /// falls (of 1), and a thinness (of the unit it is told with).
    uint256 public constant SHOCK_SLOPE = 100;
    uint256 public constant RHO_SLOPE = 500;
    uint256 public constant CREDIT_SLOPE = 200;
    uint256 public constant FACTOR_SLOPE = 10_000;
    uint256 public constant THINNESS_SLOPE = 2500;
    /// @notice The same of a tail (of price; no more than its damping counts), a damping, the grid's shifts of volatility (of it) and the
    /// Portfolio set's shares (of the Standard set's).
    uint256 public constant TAIL_SLOPE = 500;
    uint256 public constant DAMPING_SLOPE = 200;
    uint256 public constant SHIFT_SLOPE = 500;
    /// @notice Of the time since something last moved, no more counts (seconds).
    uint256 public constant MAX_ELAPSED = 10 minutes;
    /// @dev Ramps are kept in 2^-16 of their unit.
    uint256 internal constant FINE = 16;

    /// @inheritdoc IRiskConfig
    uint256 public immutable settlementFeed;
    /// @inheritdoc IRiskConfig
    uint256 public version;
    /// @inheritdoc IRiskConfig
    uint256 public assetCount;
    /// @inheritdoc IRiskConfig
    uint256 public instrumentCount;
    /// @inheritdoc IRiskConfig
    mapping(uint32 eid => mapping(uint32 epoch => mapping(address token => uint256))) public assetIdOf;

    /// @dev Asset in the order and widths that take two slots, not three: buckets hold at most 10^30.
    struct StoredAsset {
        uint32 eid;
        address token;
        uint8 decimals;
        uint16 feed;
        bool settlement;
        uint16 creditIm;
        uint16 creditMm;
        uint104 matureCap;
        uint104 matureRate;
        uint32 epoch;
    }

    /// @dev Instrument in the order that takes two slots, not three.
    struct StoredInstrument {
        address module;
        uint16 feed;
        uint16 priceBand;
        uint128 maxOpenInterest;
        uint128 backstopCap;
    }

    /// @dev What is set, and how far margin has come towards it. Fine: bps × 2^16, thinness × 2^16.
    struct FeedState {
        uint16 shockIm;
        uint16 shockMm;
        uint16 tailShock;
        uint16 tailDamping;
        uint8 class;
        /// Something is listed on it.
        bool used;
        uint32 factorMm;
        uint40 movedAt;
        /// Fine, all from here on.
        uint32 fineTailShock;
        uint32 fineTailDamping;
        /// IM's, as it is now.
        uint32 factorIm;
        uint32 gridShock;
        uint32 fineShockMm;
        uint48 thinnessIm;
        uint48 thinnessMm;
    }

    /// @dev Stress in bps.
    struct ClassState {
        uint16 rhoIm;
        uint16 rhoMm;
        uint16 stressedRhoIm;
        uint16 stressedRhoMm;
        uint16 stress;
        uint32 fineRhoIm;
        uint32 fineRhoMm;
        uint40 movedAt;
    }

    /// @dev What margin takes of the grid now, fine.
    struct GridState {
        uint32 volatilityUp;
        uint32 volatilityDown;
        uint32 nakedShort;
        uint32 portfolioShock;
        uint32 portfolioRhoIm;
        uint32 portfolioRhoMm;
        uint40 movedAt;
    }

    struct CreditState {
        uint32 fineCreditMm;
        uint40 movedAt;
    }

    /// @notice Tells how volatile and how deep markets are.
    address public dynamicRisk;

    mapping(uint256 feed => FeedState) internal _feeds;
    ClassState[CLASSES] internal _classes;
    mapping(uint256 assetId => CreditState) internal _credits;
    mapping(uint256 assetId => StoredAsset) internal _assets;
    mapping(uint256 instrumentId => StoredInstrument) internal _instruments;
    Global internal _global;
    /// @dev What of all that every portfolio needs: `profitCapIm u96`, then of each class from the last `rhoMm u14 | rhoIm u14`.
    uint256 internal _globalWord;
    /// @dev Apart from what every portfolio needs.
    GridState internal _gridState;
    /// @dev As it was set.
    Grid internal _grid;

    /// @dev What margin needs of assets and instruments once more, and all of the underlyings, many in a slot: a portfolio's parameters are
    /// a handful of reads. Four assets a slot, `listed u8 | decimals u8 | creditMm u16 | creditIm u16 | feed u16` of 64 bits each, by assetId − 1.
    uint256[1024] internal _assetWords;
    /// @dev Two a slot, as FeedRisk, by feed.
    uint256[32_768] internal _feedWords;
    /// @dev Ten a slot, `place in _modules from 1 u8 | feed u16` of 24 bits each, by instrumentId − 1.
    uint256[410] internal _instrumentWords;
    /// @dev Distinct modules in the order in which they were first listed, `curved u16 | address`.
    uint256[255] internal _modules;
    uint256 internal constant CURVED = 1 << 160;

    Silence internal _silence;
    /// @dev Plus one.
    mapping(uint32 eid => uint256 feed) internal _livenessFeeds;

    /// @notice With every other event of a change: one number tells what is in force.
    event VersionRaised(uint256 version);

    /// @dev `field` names the first parameter that is out of bounds.
    error OutOfBounds(string field);
    error IdentityChanged();
    error UnknownId(uint256 id);
    error OnlyDynamicRisk();

    /// @param settlementFeed_ Oracle feed index of the settlement token.
    constructor(address owner, uint256 settlementFeed_) Ownable(owner) {
        settlementFeed = settlementFeed_;
    }

    /* SETTERS */

    /// @notice Lists an asset (`assetId` = assetCount + 1) or changes one's credit and bucket.
    /// The feed of a token that isn't the settlement token must have shocks already.
    function setAsset(uint256 assetId, Asset calldata a) external onlyOwner {
        _bound(a.decimals <= 18, "decimals");
        _bound(a.creditIm <= a.creditMm && a.creditMm <= BPS, "credit");
        _bound(a.matureCap <= MAX_MATURE_TOKENS * 10 ** a.decimals, "matureCap");
        _bound(a.matureRate <= a.matureCap, "matureRate");
        _bound(a.settlement ? a.feed == settlementFeed : _feedWord(a.feed) != 0, "feed");
        if (_isNew(assetId, assetCount)) {
            _bound(a.token != address(0), "token");
            _bound(a.epoch != 0, "epoch");
            if (assetIdOf[a.eid][a.epoch][a.token] != 0) revert IdentityChanged();
            assetIdOf[a.eid][a.epoch][a.token] = assetId;
            assetCount = assetId;
            _feeds[a.feed].used = true;
            _credits[assetId] = CreditState(uint32(uint256(a.creditMm) << FINE), uint40(block.timestamp));
        } else {
            StoredAsset storage old = _assets[assetId];
            if (
                a.eid != old.eid || a.epoch != old.epoch || a.token != old.token || a.decimals != old.decimals
                    || a.feed != old.feed || a.settlement != old.settlement
            ) revert IdentityChanged();
        }
        _assets[assetId] = StoredAsset(
            a.eid,
            a.token,
            a.decimals,
            a.feed,
            a.settlement,
            a.creditIm,
            a.creditMm,
            uint104(a.matureCap),
            uint104(a.matureRate),
            a.epoch
        );
        _moveCredit(assetId);
        _changed();
        emit AssetSet(assetId, a);
    }

    /// @notice Shocks of a feed. MM's stays above the trade band of every instrument on it, and ramps once something is listed on the feed.
    function setUnderlying(uint256 feed, Underlying calldata u) external onlyOwner {
        _bound(feed <= type(uint16).max, "feed");
        _bound(u.shockMm > 0 && u.shockMm <= u.shockIm && u.shockIm <= BPS, "shock");
        _bound(u.tailDamping <= BPS, "tailDamping");
        FeedState storage f = _feeds[feed];
        (f.shockIm, f.shockMm, f.tailShock, f.tailDamping) =
        (u.shockIm, u.shockMm, u.tailShock, u.tailDamping);
        if (!f.used) {
            (f.factorIm, f.factorMm) = (uint32(BPS << FINE), uint32(BPS));
            (f.gridShock, f.fineShockMm) = (_fine(u.shockIm), _fine(u.shockMm));
            (f.fineTailShock, f.fineTailDamping) = (_fine(u.tailShock), _fine(u.tailDamping));
            f.movedAt = uint40(block.timestamp);
        } else {
            _moveShocks(f, _elapsed(f.movedAt));
            f.movedAt = uint40(block.timestamp);
        }
        _writeFeed(feed);
        _requireBands();
        _changed();
        emit UnderlyingSet(feed, u);
    }

    /// @notice Risk class of a feed on which nothing is listed yet. Losses of one class add by its correlation, those of different classes in full.
    function setRiskClass(uint256 feed, uint8 class) external onlyOwner {
        _bound(feed <= type(uint16).max, "feed");
        // Of a class without a correlation losses would hardly add.
        _bound(class < CLASSES && (class == 0 || _classes[class].movedAt != 0), "class");
        if (_feeds[feed].used) revert IdentityChanged();
        _feeds[feed].class = class;
        if (_feedWord(feed) != 0) _writeFeed(feed);
        _changed();
        emit RiskClassSet(feed, class);
    }

    /// @notice Correlation of a class, calm and stressed. Class 0's calm one is Global's too.
    function setClass(uint256 class, RiskClass calldata c) external onlyOwner {
        _bound(class < CLASSES, "class");
        _bound(c.rhoMm <= c.rhoIm && c.rhoIm <= c.stressedRhoIm && c.stressedRhoIm <= BPS, "rho");
        _bound(c.rhoMm <= c.stressedRhoMm && c.stressedRhoMm <= c.stressedRhoIm, "stressedRho");
        if (class == 0) (_global.rhoIm, _global.rhoMm) = (c.rhoIm, c.rhoMm);
        _setClass(class, c);
        _changed();
        emit ClassSet(class, c);
    }

    /// @notice Who tells `moveFeed` and `moveClass`. Bounds and slopes here hold whatever it says.
    function setDynamicRisk(address dynamicRisk_) external onlyOwner {
        dynamicRisk = dynamicRisk_;
        _changed();
        emit DynamicRiskSet(dynamicRisk_);
    }

    /// @notice Lists an instrument (`instrumentId` = instrumentCount + 1) or changes one's caps and band. Its feed must have shocks, MM's above the band.
    function setInstrument(uint256 instrumentId, Instrument calldata i) external onlyOwner {
        _bound(i.priceBand > 0 && i.priceBand <= MAX_PRICE_BAND, "priceBand");
        _bound(_feedWord(i.feed) != 0, "feed");
        _bound(i.priceBand < _widestBand(i.feed), "priceBand");
        // Sizes are int128 and an account may hold a whole side.
        _bound(i.maxOpenInterest <= uint128(type(int128).max) / 2, "maxOpenInterest");
        if (_isNew(instrumentId, instrumentCount)) {
            _bound(i.module != address(0), "module");
            instrumentCount = instrumentId;
            _feeds[i.feed].used = true;
        } else {
            StoredInstrument storage old = _instruments[instrumentId];
            if (i.module != old.module || i.feed != old.feed) revert IdentityChanged();
        }
        _instruments[instrumentId] =
            StoredInstrument(i.module, i.feed, i.priceBand, i.maxOpenInterest, i.backstopCap);
        uint256 place = instrumentId - 1;
        _instrumentWords[place / 10] =
            _put(_instrumentWords[place / 10], i.feed | ((_moduleAt(i.module) + 1) << 16), 24, place % 10);
        _changed();
        emit InstrumentSet(instrumentId, i);
    }

    /// @notice The Portfolio set asks no more than the Standard set does. What is set first is so at once.
    function setGrid(Grid calldata g) external onlyOwner {
        _bound(g.volatilityDown < BPS, "volatilityDown");
        _bound(g.nakedShort <= BPS, "nakedShort");
        _bound(g.portfolioShock <= BPS, "portfolioShock");
        _bound(g.portfolioRhoMm <= g.portfolioRhoIm && g.portfolioRhoIm <= BPS, "portfolioRho");
        _grid = g;
        _moveGrid();
        _requireBands();
        _changed();
        emit GridSet(g);
    }

    function setGlobal(Global calldata g) external onlyOwner {
        _bound(g.rhoMm <= g.rhoIm && g.rhoIm <= BPS, "rho");
        _bound(g.profitCapIm <= type(uint96).max, "profitCapIm");
        _bound(g.bufferBps <= BPS, "bufferBps");
        _bound(g.maxRows > 0 && g.maxRows <= MAX_ROWS, "maxRows");
        _bound(g.regressionDelay >= MIN_REGRESSION_DELAY, "regressionDelay");
        _global = g;
        ClassState storage c = _classes[0];
        uint16 stressedIm = c.stressedRhoIm < g.rhoIm ? g.rhoIm : c.stressedRhoIm;
        uint16 stressedMm = c.stressedRhoMm < g.rhoMm ? g.rhoMm : c.stressedRhoMm;
        _setClass(0, RiskClass(g.rhoIm, g.rhoMm, stressedIm, stressedMm));
        _changed();
        emit GlobalSet(g);
    }

    /// @notice Hard bounds: grace 10 minutes to 3 days, mmGrace an hour to a week, mmRamp an hour to 30 days.
    function setSilence(Silence calldata s) external onlyOwner {
        _bound(s.grace >= 10 minutes && s.grace <= 3 days, "grace");
        _bound(s.mmGrace >= s.grace && s.mmGrace >= 1 hours && s.mmGrace <= 7 days, "mmGrace");
        _bound(s.mmRamp >= 1 hours && s.mmRamp <= 30 days, "mmRamp");
        _silence = s;
        _changed();
        emit SilenceSet(s);
    }

    /// @notice Names the feed of a chain's block time.
    function setLivenessFeed(uint32 eid, uint256 feed) external onlyOwner {
        _bound(feed <= type(uint16).max, "feed");
        _livenessFeeds[eid] = feed + 1;
        _changed();
        emit LivenessFeedSet(eid, feed);
    }

    /* VIEWS */

    /// @inheritdoc IRiskConfig
    function asset(uint256 assetId) external view returns (Asset memory) {
        StoredAsset memory a = _assets[assetId];
        return Asset(
            a.eid,
            a.epoch,
            a.token,
            a.decimals,
            a.feed,
            a.settlement,
            a.creditIm,
            a.creditMm,
            a.matureCap,
            a.matureRate
        );
    }

    /// @inheritdoc IRiskConfig
    function underlying(uint256 feed) external view returns (Underlying memory) {
        FeedState storage f = _feeds[feed];
        return Underlying(f.shockIm, f.shockMm, f.tailShock, f.tailDamping);
    }

    /// @inheritdoc IRiskConfig
    function currentUnderlying(uint256 feed) external view returns (CurrentUnderlying memory) {
        uint256 word = feed > type(uint16).max ? 0 : _feedWord(feed);
        return CurrentUnderlying(
            word.shockIm(),
            word.gridShock(),
            word.shockMm(),
            word.tailShock(),
            word.tailDamping(),
            word.class(),
            word.thinnessIm(),
            word.thinnessMm()
        );
    }

    /// @inheritdoc IRiskConfig
    function currentRho(uint256 class) external view returns (uint256 im, uint256 mm) {
        if (class >= CLASSES) revert UnknownId(class);
        uint256 pair = _globalWord >> (28 * class);
        return (pair & FeedRisk.MASK, (pair >> 14) & FeedRisk.MASK);
    }

    /// @inheritdoc IRiskConfig
    function currentCredit(uint256 assetId) external view returns (uint256 im, uint256 mm) {
        _requireAsset(assetId);
        uint256 place = assetId - 1;
        uint256 word = _assetWords[place / 4] >> (64 * (place % 4));
        return (uint16(word >> 16), uint16(word >> 32));
    }

    /// @inheritdoc IRiskConfig
    function instrument(uint256 instrumentId) external view returns (Instrument memory) {
        StoredInstrument memory i = _instruments[instrumentId];
        return Instrument(i.module, i.feed, i.maxOpenInterest, i.backstopCap, i.priceBand);
    }

    /// @inheritdoc IRiskConfig
    function global() external view returns (Global memory) {
        return _global;
    }

    /// @inheritdoc IRiskConfig
    function grid() external view returns (Grid memory) {
        return _grid;
    }

    /// @inheritdoc IRiskConfig
    function currentGrid() public view returns (Grid memory) {
        GridState memory s = _gridState;
        if (s.movedAt == 0) return Grid(0, 0, 0, uint16(BPS), uint16(BPS), uint16(BPS));
        return Grid(
            _whole(s.volatilityUp),
            _whole(s.volatilityDown),
            _whole(s.nakedShort),
            _whole(s.portfolioShock),
            _whole(s.portfolioRhoIm),
            _whole(s.portfolioRhoMm)
        );
    }

    /// @inheritdoc IRiskConfig
    function silenceOf(uint32 eid)
        external
        view
        returns (Silence memory parameters, bool hasFeed, uint256 feed)
    {
        uint256 place = _livenessFeeds[eid];
        return (_silence, place != 0, place == 0 ? 0 : place - 1);
    }

    /// @inheritdoc IRiskConfig
    function marginParameters(uint256 assets, uint256 instruments, bool portfolioSet)
        external
        view
        returns (uint256[] memory words)
    {
        uint256 to;
        uint256 feeds;
        assembly ("memory-safe") {
            // With the head of its ABI encoding before it: it is returned as it lies.
            let head := mload(0x40)
            mstore(head, 32)
            words := add(head, 32)
            mstore(add(words, 32), sload(_globalWord.slot))
            to := add(words, 64)
            // Two words have room for 22 ids each, and each may be on another feed. The feeds join the rows in the end.
            feeds := add(to, 0x580)
            mstore(0x40, add(feeds, 0x580))
        }
        uint256 end = feeds;
        uint256 curved;
        unchecked {
            for (; assets != 0; assets >>= 12) {
                uint256 n = (assets & IdList.MAX_ID) - 1;
                if (n >= IdList.MAX_ID) revert UnknownId(0);
                uint256 word;
                assembly ("memory-safe") {
                    word := shr(shl(6, and(n, 3)), sload(add(_assetWords.slot, shr(2, n))))
                }
                if (word & LISTED_ASSET == 0) revert UnknownId(n + 1);
                uint256 place;
                (place, end) = _place(feeds, end, uint16(word));
                assembly ("memory-safe") {
                    mstore(to, or(and(word, 0xffffffffff0000), place))
                    to := add(to, 32)
                }
            }
            for (; instruments != 0; instruments >>= 12) {
                uint256 n = (instruments & IdList.MAX_ID) - 1;
                if (n >= IdList.MAX_ID) revert UnknownId(0);
                uint256 word;
                assembly ("memory-safe") {
                    word := shr(mul(24, mod(n, 10)), sload(add(_instrumentWords.slot, div(n, 10))))
                }
                uint256 module = uint8(word >> 16);
                if (module == 0) revert UnknownId(n + 1);
                uint256 place;
                (place, end) = _place(feeds, end, uint16(word));
                assembly ("memory-safe") {
                    module := sload(add(_modules.slot, sub(module, 1)))
                    curved := or(curved, module)
                    mstore(to, or(or(place, shl(96, module)), shl(80, shr(160, module))))
                    to := add(to, 32)
                }
            }
        }
        if (portfolioSet || curved & CURVED != 0) _applyGrid(words, feeds, end, portfolioSet);
        assembly ("memory-safe") {
            mcopy(to, feeds, sub(end, feeds))
            to := add(to, sub(end, feeds))
            mstore(words, shr(5, sub(to, add(words, 32))))
            return(sub(words, 32), sub(to, sub(words, 32)))
        }
    }

    /// @inheritdoc IRiskConfig
    function curveWeight(uint256 instruments) external view returns (uint256 weight) {
        uint256[] memory feeds = new uint256[](IdList.CAPACITY);
        uint256 count;
        for (; instruments != 0; instruments >>= 12) {
            uint256 id = instruments & IdList.MAX_ID;
            // No id: beyond every place.
            uint256 place = id == 0 ? IdList.MAX_ID : id - 1;
            uint256 word = _instrumentWords[place / 10] >> (24 * (place % 10));
            if (uint8(word >> 16) == 0) revert UnknownId(id);
            if (_modules[uint8(word >> 16) - 1] & CURVED == 0) continue;
            ++weight;
            uint256 n;
            while (n < count && feeds[n] != uint16(word)) ++n;
            if (n == count) feeds[count++] = uint16(word);
        }
        weight += count;
    }

    /* RAMPS */

    /// @inheritdoc IRiskConfig
    function moveFeed(uint256 feed, FeedTarget calldata t) external returns (bool moved) {
        if (msg.sender != dynamicRisk) revert OnlyDynamicRisk();
        _bound(t.factorIm >= BPS && t.factorIm <= MAX_FACTOR, "factorIm");
        _bound(t.factorMm >= BPS && t.factorMm <= t.factorIm, "factorMm");
        _bound(t.thinness <= FeedRisk.MAX_THINNESS && t.thinnessUnit <= FeedRisk.MAX_THINNESS, "thinness");
        uint256 word = _feedWord(feed);
        _bound(word != 0, "feed");
        FeedState storage f = _feeds[feed];
        uint256 elapsed = _elapsed(f.movedAt);
        f.movedAt = uint40(block.timestamp);
        uint256 step = t.held ? 0 : _step(FACTOR_SLOPE, elapsed);
        f.factorIm = uint32(_falling(f.factorIm, uint256(t.factorIm) << FINE, step));
        uint256 thinness = uint256(t.thinness) << FINE;
        step = t.held ? 0 : _step(THINNESS_SLOPE, elapsed) * t.thinnessUnit / BPS;
        f.thinnessIm = uint48(_falling(f.thinnessIm, thinness, step));
        if (!t.held) {
            f.thinnessMm = uint48(_towards(f.thinnessMm, thinness, step));
            f.factorMm = t.factorMm;
            _moveShocks(f, elapsed);
        }
        moved = _writeFeed(feed) != word;
        if (!moved) return false;
        _changed();
        emit FeedMoved(feed);
    }

    /// @inheritdoc IRiskConfig
    function moveClass(uint256 class, uint256 stress, bool held) external returns (bool) {
        if (msg.sender != dynamicRisk) revert OnlyDynamicRisk();
        _bound(class < CLASSES, "class");
        _bound(stress <= BPS, "stress");
        ClassState storage c = _classes[class];
        if (!held || stress > c.stress) c.stress = uint16(stress);
        return _moveClass(class, held);
    }

    /// @inheritdoc IRiskConfig
    function moveCredit(uint256 assetId) external returns (bool moved) {
        _requireAsset(assetId);
        moved = _moveCredit(assetId);
        if (moved) _changed();
    }

    /// @inheritdoc IRiskConfig
    function moveGrid() external returns (bool moved) {
        moved = _moveGrid();
        if (moved) _changed();
    }

    /* INTERNAL */

    function _setClass(uint256 class, RiskClass memory r) internal {
        ClassState storage c = _classes[class];
        bool first = c.movedAt == 0;
        (c.rhoIm, c.rhoMm, c.stressedRhoIm, c.stressedRhoMm) =
        (r.rhoIm, r.rhoMm, r.stressedRhoIm, r.stressedRhoMm);
        if (first) c.fineRhoMm = uint32(uint256(r.rhoMm) << FINE);
        // What the owner sets, IM follows at once in both directions.
        c.fineRhoIm = 0;
        _moveClass(class, false);
    }

    /// @dev Correlations by the class's stress.
    function _moveClass(uint256 class, bool held) internal returns (bool moved) {
        ClassState storage c = _classes[class];
        uint256 elapsed = _elapsed(c.movedAt);
        c.movedAt = uint40(block.timestamp);
        uint256 step = held ? 0 : _step(RHO_SLOPE, elapsed);
        c.fineRhoMm = uint32(_towards(c.fineRhoMm, _stressed(c.rhoMm, c.stressedRhoMm, c.stress), step));
        c.fineRhoIm = uint32(_falling(c.fineRhoIm, _stressed(c.rhoIm, c.stressedRhoIm, c.stress), step));
        uint256 mm = c.fineRhoMm >> FINE;
        uint256 pair = (uint256(c.fineRhoIm) >> FINE).max(mm) | (mm << 14);
        uint256 word = _put(_globalWord, pair, 28, class);
        word = (uint256(_global.profitCapIm) << 112) | uint112(word);
        if (word == _globalWord) return false;
        _globalWord = word;
        _changed();
        emit ClassMoved(class);
        return true;
    }

    /// @dev Fine.
    function _stressed(uint256 calm, uint256 stressed, uint256 stress) internal pure returns (uint256) {
        return (calm << FINE) + ((stressed - calm) << FINE) * stress / BPS;
    }

    /// @dev Brings MM's shock, the grid's and the tails closer to what they should be.
    function _moveShocks(FeedState storage f, uint256 elapsed) internal {
        f.fineTailShock = uint32(_towards(f.fineTailShock, _fine(f.tailShock), _step(TAIL_SLOPE, elapsed)));
        f.fineTailDamping =
            uint32(_towards(f.fineTailDamping, _fine(f.tailDamping), _step(DAMPING_SLOPE, elapsed)));
        uint256 step = _step(SHOCK_SLOPE, elapsed);
        uint256 most = uint256(BPS << FINE);
        uint256 factor = uint256(f.factorMm) << FINE;
        f.fineShockMm = uint32(_towards(f.fineShockMm, (f.shockMm * factor / BPS).min(most), step));
        f.gridShock = uint32(_towards(f.gridShock, (f.shockIm * factor / BPS).min(most), step));
    }

    /// @return word What margin reads of the feed from now on.
    function _writeFeed(uint256 feed) internal returns (uint256 word) {
        FeedState memory f = _feeds[feed];
        uint256 mm = f.fineShockMm >> FINE;
        uint256 grid_ = (uint256(f.gridShock) >> FINE).max(mm);
        uint256 im = (uint256(f.shockIm) * f.factorIm / BPS >> FINE).min(BPS).max(grid_);
        word = im | (grid_ << 14) | (mm << 28) | (uint256(f.fineTailShock) >> FINE << 42)
            | (uint256(f.fineTailDamping) >> FINE << 58) | (uint256(f.class) << 72)
            | ((uint256(f.thinnessIm).max(f.thinnessMm) >> FINE) << 74)
            | (uint256(f.thinnessMm >> FINE) << 101);
        _feedWords[feed / 2] = _put(_feedWords[feed / 2], word, 128, feed % 2);
    }

    /// @dev Brings an asset's credits closer to what was set, and writes its word. @return moved
    function _moveCredit(uint256 assetId) internal returns (bool moved) {
        StoredAsset memory a = _assets[assetId];
        CreditState storage c = _credits[assetId];
        uint256 mm =
            _towards(c.fineCreditMm, uint256(a.creditMm) << FINE, _step(CREDIT_SLOPE, _elapsed(c.movedAt)));
        (c.fineCreditMm, c.movedAt) = (uint32(mm), uint40(block.timestamp));
        mm >>= FINE;
        uint256 word = a.feed | (uint256(a.creditIm).min(mm) << 16) | (mm << 32) | (uint256(a.decimals) << 48)
            | LISTED_ASSET;
        uint256 place = assetId - 1;
        uint256 before = _assetWords[place / 4];
        uint256 next = _put(before, word, 64, place % 4);
        if (next == before) return false;
        _assetWords[place / 4] = next;
        emit CreditMoved(assetId);
        return true;
    }

    /// @dev The first time all the way.
    function _moveGrid() internal returns (bool moved) {
        Grid memory g = _grid;
        // Without a Portfolio set it is the Standard set: turned on or off it ramps from and to that.
        if (g.portfolioShock == 0) {
            (g.portfolioShock, g.portfolioRhoIm, g.portfolioRhoMm) = (uint16(BPS), uint16(BPS), uint16(BPS));
        }
        bytes32 before = keccak256(abi.encode(currentGrid()));
        GridState memory s = _gridState;
        uint256 elapsed = _elapsed(s.movedAt);
        bool first = s.movedAt == 0;
        uint256 step = first ? type(uint32).max : _step(SHIFT_SLOPE, elapsed);
        s.volatilityUp = uint32(_towards(s.volatilityUp, _fine(g.volatilityUp), step));
        s.volatilityDown = uint32(_towards(s.volatilityDown, _fine(g.volatilityDown), step));
        s.portfolioShock = uint32(_towards(s.portfolioShock, _fine(g.portfolioShock), step));
        s.portfolioRhoIm = uint32(_towards(s.portfolioRhoIm, _fine(g.portfolioRhoIm), step));
        s.portfolioRhoMm = uint32(_towards(s.portfolioRhoMm, _fine(g.portfolioRhoMm), step));
        if (!first) step = _step(SHOCK_SLOPE, elapsed);
        s.nakedShort = uint32(_towards(s.nakedShort, _fine(g.nakedShort), step));
        s.movedAt = uint40(block.timestamp);
        _gridState = s;
        moved = keccak256(abi.encode(currentGrid())) != before;
        if (moved) emit GridMoved();
    }

    function _fine(uint256 bps) internal pure returns (uint32) {
        return uint32(bps << FINE);
    }

    function _whole(uint32 fine) internal pure returns (uint16) {
        return uint16(fine >> FINE);
    }

    function _elapsed(uint256 since) internal view returns (uint256) {
        return (block.timestamp - since).min(MAX_ELAPSED);
    }

    /// @dev Fine. @param slope Bps an hour.
    function _step(uint256 slope, uint256 elapsed) internal pure returns (uint256) {
        return (slope << FINE) * elapsed / 1 hours;
    }

    function _towards(uint256 from, uint256 target, uint256 step) internal pure returns (uint256) {
        return target > from ? target.min(from + step) : target.max(from.zeroFloorSub(step));
    }

    /// @dev Rises at once, and falls by the step.
    function _falling(uint256 from, uint256 target, uint256 step) internal pure returns (uint256) {
        return target.max(from.zeroFloorSub(step));
    }

    /// @dev Place of a feed among those from `feeds` to `end` in memory, where it is put if it isn't there: `FeedRisk u128 | feed u16`.
    function _place(uint256 feeds, uint256 end, uint256 feed) internal view returns (uint256 place, uint256) {
        assembly ("memory-safe") {
            let at := feeds
            for {} lt(at, end) { at := add(at, 32) } {
                if eq(and(mload(at), 0xffff), feed) { break }
            }
            place := shr(5, sub(at, feeds))
            if eq(at, end) {
                // As _feedWord.
                let word := sload(add(_feedWords.slot, shr(1, feed)))
                mstore(at, or(feed, shl(16, shr(128, shl(shl(7, iszero(and(feed, 1))), word)))))
                end := add(end, 32)
            }
        }
        return (place, end);
    }

    /// @dev `words` as marginParameters answers them, by the Standard set and without shifts of volatility so far. Its feeds lie in memory from
    /// `feeds` to `end`.
    function _applyGrid(uint256[] memory words, uint256 feeds, uint256 end, bool portfolioSet) internal view {
        Grid memory g = currentGrid();
        uint256 global_;
        assembly ("memory-safe") {
            global_ := mload(add(words, 32))
        }
        global_ |= (uint256(g.volatilityUp) << 208) | (uint256(g.volatilityDown) << 224)
            | (uint256(g.nakedShort) << 240);
        if (portfolioSet) {
            for (uint256 at = feeds; at < end; at += 32) {
                uint256 word;
                assembly ("memory-safe") {
                    word := mload(at)
                }
                word = uint16(word) | ((word >> 16).scaled(g.portfolioShock) << 16);
                assembly ("memory-safe") {
                    mstore(at, word)
                }
            }
            uint256 rhos;
            for (uint256 at; at < 28 * CLASSES; at += 28) {
                uint256 im = ((global_ >> at) & FeedRisk.MASK) * g.portfolioRhoIm / BPS;
                uint256 mm = ((global_ >> (at + 14)) & FeedRisk.MASK) * g.portfolioRhoMm / BPS;
                rhos |= (im | (mm << 14)) << at;
            }
            global_ = (global_ >> 112 << 112) | rhos;
        }
        assembly ("memory-safe") {
            mstore(add(words, 32), global_)
        }
    }

    /// @dev Of a feed below 2^16; 0: it has no shocks.
    function _feedWord(uint256 feed) internal view returns (uint256) {
        return uint128(_feedWords[feed / 2] >> (128 * (feed % 2)));
    }

    /// @dev `word` with its field `place` of `bits` replaced.
    function _put(uint256 word, uint256 field, uint256 bits, uint256 place) internal pure returns (uint256) {
        uint256 mask = ((1 << bits) - 1) << (bits * place);
        return (word & ~mask) | (field << (bits * place));
    }

    function _moduleAt(address module) internal returns (uint256 place) {
        for (; address(uint160(_modules[place])) != module; ++place) {
            if (_modules[place] != 0) continue;
            _modules[place] = uint160(module) | (IInstrument(module).isLinear() ? 0 : CURVED);
            break;
        }
    }

    function _requireBands() internal view {
        for (uint256 id = instrumentCount; id > 0; --id) {
            StoredInstrument storage i = _instruments[id];
            _bound(i.priceBand < _widestBand(i.feed), "priceBand");
        }
    }

    /// @dev Most that trades on a feed may lie beside the oracle, bps: what a trade at the band's edge gives away, maintenance margin of both
    /// sets must still cover, wherever its shock is on its way.
    function _widestBand(uint256 feed) internal view returns (uint256) {
        uint256 share = currentGrid().portfolioShock;
        if (_grid.portfolioShock != 0) share = share.min(_grid.portfolioShock);
        return _feedWord(feed).shockMm().min(_feeds[feed].shockMm) * share / BPS;
    }

    function _requireAsset(uint256 assetId) internal view {
        if (assetId == 0 || assetId > assetCount) revert UnknownId(assetId);
    }

    function _changed() internal {
        emit VersionRaised(++version);
    }

    function _isNew(uint256 id, uint256 count) internal pure returns (bool) {
        // Accounts keep ids in packed lists.
        if (id == 0 || id > count + 1 || id > IdList.MAX_ID) revert UnknownId(id);
        return id == count + 1;
    }

    function _bound(bool ok, string memory field) internal pure {
        if (!ok) revert OutOfBounds(field);
    }
}
