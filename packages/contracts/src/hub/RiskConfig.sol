// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {IInstrument} from "../interfaces/IInstrument.sol";
import {IRiskConfig} from "../interfaces/IRiskConfig.sol";
import {IdList} from "../libraries/IdList.sol";

/// @title RiskConfig
/// @notice Parameters of assets, feeds and instruments, set by the owner within hard bounds.
/// Identity never changes: an id keeps its token, decimals, feed and module for ever.
contract RiskConfig is IRiskConfig, Ownable {
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

    mapping(uint256 assetId => StoredAsset) internal _assets;
    mapping(uint256 instrumentId => StoredInstrument) internal _instruments;
    Global internal _global;
    /// @dev Apart from what every portfolio needs.
    Grid internal _grid;

    /// @dev What margin needs of assets and instruments once more, and all of the underlyings, many in a slot: a portfolio's parameters are
    /// a handful of reads. Four assets a slot, `listed u8 | decimals u8 | creditMm u16 | creditIm u16 | feed u16` of 64 bits each, by assetId − 1.
    uint256[1024] internal _assetWords;
    /// @dev Four a slot, `tailDamping u16 | tailShock u16 | shockMm u16 | shockIm u16`, by feed.
    uint256[16_384] internal _underlyingWords;
    /// @dev Ten a slot, `place in _modules from 1 u8 | feed u16` of 24 bits each, by instrumentId − 1.
    uint256[410] internal _instrumentWords;
    /// @dev Distinct modules in the order in which they were first listed, `curved u16 | address`.
    uint256[255] internal _modules;
    uint256 internal constant CURVED = 1 << 160;

    Silence internal _silence;
    /// @dev Plus one.
    mapping(uint32 eid => uint256 feed) internal _livenessFeeds;

    /// @dev `field` names the first parameter that is out of bounds.
    error OutOfBounds(string field);
    error IdentityChanged();
    error UnknownId(uint256 id);

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
        _bound(a.settlement ? a.feed == settlementFeed : _shocks(a.feed) != 0, "feed");
        if (_isNew(assetId, assetCount)) {
            _bound(a.token != address(0), "token");
            _bound(a.epoch != 0, "epoch");
            if (assetIdOf[a.eid][a.epoch][a.token] != 0) revert IdentityChanged();
            assetIdOf[a.eid][a.epoch][a.token] = assetId;
            assetCount = assetId;
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
        uint256 word = a.feed | (uint256(a.creditIm) << 16) | (uint256(a.creditMm) << 32)
            | (uint256(a.decimals) << 48) | LISTED_ASSET;
        uint256 place = assetId - 1;
        _assetWords[place / 4] = _put(_assetWords[place / 4], word, 64, place % 4);
        ++version;
        emit AssetSet(assetId, a);
    }

    /// @notice Shocks of a feed. MM's stays above the trade band of every instrument on it.
    function setUnderlying(uint256 feed, Underlying calldata u) external onlyOwner {
        _bound(feed <= type(uint16).max, "feed");
        _bound(u.shockMm > 0 && u.shockMm <= u.shockIm && u.shockIm <= BPS, "shock");
        _bound(u.tailDamping <= BPS, "tailDamping");
        uint256 word = u.shockIm | (uint256(u.shockMm) << 16) | (uint256(u.tailShock) << 32)
            | (uint256(u.tailDamping) << 48);
        _underlyingWords[feed / 4] = _put(_underlyingWords[feed / 4], word, 64, feed % 4);
        _requireBands(_grid.portfolioShock);
        ++version;
        emit UnderlyingSet(feed, u);
    }

    /// @notice Lists an instrument (`instrumentId` = instrumentCount + 1) or changes one's caps and band. Its feed must have shocks, MM's above the band.
    function setInstrument(uint256 instrumentId, Instrument calldata i) external onlyOwner {
        _bound(i.priceBand > 0 && i.priceBand <= MAX_PRICE_BAND, "priceBand");
        uint256 shocks = _shocks(i.feed);
        _bound(shocks != 0, "feed");
        _bound(i.priceBand < _widestBand(shocks, _grid.portfolioShock), "priceBand");
        // Sizes are int128 and an account may hold a whole side.
        _bound(i.maxOpenInterest <= uint128(type(int128).max) / 2, "maxOpenInterest");
        if (_isNew(instrumentId, instrumentCount)) {
            _bound(i.module != address(0), "module");
            instrumentCount = instrumentId;
        } else {
            StoredInstrument storage old = _instruments[instrumentId];
            if (i.module != old.module || i.feed != old.feed) revert IdentityChanged();
        }
        _instruments[instrumentId] =
            StoredInstrument(i.module, i.feed, i.priceBand, i.maxOpenInterest, i.backstopCap);
        uint256 place = instrumentId - 1;
        _instrumentWords[place / 10] =
            _put(_instrumentWords[place / 10], i.feed | ((_moduleAt(i.module) + 1) << 16), 24, place % 10);
        ++version;
        emit InstrumentSet(instrumentId, i);
    }

    /// @notice The Portfolio set asks no more than the Standard set does.
    function setGrid(Grid calldata g) external onlyOwner {
        _bound(g.volatilityDown < BPS, "volatilityDown");
        _bound(g.nakedShort <= BPS, "nakedShort");
        _bound(g.portfolioShock <= BPS, "portfolioShock");
        _bound(g.portfolioRhoMm <= g.portfolioRhoIm && g.portfolioRhoIm <= BPS, "portfolioRho");
        _requireBands(g.portfolioShock);
        _grid = g;
        ++version;
        emit GridSet(g);
    }

    function setGlobal(Global calldata g) external onlyOwner {
        _bound(g.rhoMm <= g.rhoIm && g.rhoIm <= BPS, "rho");
        _bound(g.bufferBps <= BPS, "bufferBps");
        _bound(g.maxRows > 0 && g.maxRows <= MAX_ROWS, "maxRows");
        _bound(g.regressionDelay >= MIN_REGRESSION_DELAY, "regressionDelay");
        _global = g;
        ++version;
        emit GlobalSet(g);
    }

    /// @notice Hard bounds: grace 10 minutes to 3 days, mmGrace an hour to a week, mmRamp an hour to 30 days.
    function setSilence(Silence calldata s) external onlyOwner {
        _bound(s.grace >= 10 minutes && s.grace <= 3 days, "grace");
        _bound(s.mmGrace >= s.grace && s.mmGrace >= 1 hours && s.mmGrace <= 7 days, "mmGrace");
        _bound(s.mmRamp >= 1 hours && s.mmRamp <= 30 days, "mmRamp");
        _silence = s;
        ++version;
        emit SilenceSet(s);
    }

    /// @notice Names the feed of a chain's block time.
    function setLivenessFeed(uint32 eid, uint256 feed) external onlyOwner {
        _bound(feed <= type(uint16).max, "feed");
        _livenessFeeds[eid] = feed + 1;
        ++version;
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
        uint256 word = feed > type(uint16).max ? 0 : _shocks(feed);
        return Underlying(uint16(word), uint16(word >> 16), uint16(word >> 32), uint16(word >> 48));
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
        uint256 count = assets.length();
        uint256 last = 1 + count + instruments.length();
        assembly ("memory-safe") {
            // With the head of its ABI encoding before it: it is returned as it lies.
            let head := mload(0x40)
            mstore(head, 32)
            words := add(head, 32)
            mstore(words, last)
            // Without what margin doesn't need.
            mstore(add(words, 32), and(sload(_global.slot), sub(shl(160, 1), 1)))
            mstore(0x40, add(add(words, 32), shl(5, last)))
        }
        unchecked {
            uint256 n = 1;
            uint256 curved;
            for (; assets != 0; assets >>= 12) {
                uint256 place = (assets & IdList.MAX_ID) - 1;
                if (place >= IdList.MAX_ID) revert UnknownId(0);
                uint256 word = uint64(_assetWords[place / 4] >> (64 * (place % 4)));
                if (word & LISTED_ASSET == 0) revert UnknownId(place + 1);
                words[n++] = (word ^ LISTED_ASSET) | (_shocks(uint16(word)) << 64);
            }
            for (; instruments != 0; instruments >>= 12) {
                uint256 place = (instruments & IdList.MAX_ID) - 1;
                if (place >= IdList.MAX_ID) revert UnknownId(0);
                uint256 word = _instrumentWords[place / 10] >> (24 * (place % 10));
                uint256 module = uint8(word >> 16);
                if (module == 0) revert UnknownId(place + 1);
                module = _modules[module - 1];
                curved |= module & CURVED;
                words[n++] =
                    uint16(word) | (module << 96) | ((module >> 160) << 80) | (_shocks(uint16(word)) << 16);
            }
            if (portfolioSet || curved != 0) _applyGrid(words, count, portfolioSet);
        }
        assembly ("memory-safe") {
            return(sub(words, 32), add(64, shl(5, last)))
        }
    }

    /// @inheritdoc IRiskConfig
    function curveWeight(uint256 instruments) external view returns (uint256 weight) {
        uint256[] memory feeds = new uint256[](IdList.CAPACITY);
        uint256 count;
        for (; instruments != 0; instruments >>= 12) {
            uint256 place = (instruments & IdList.MAX_ID) - 1;
            uint256 word = _instrumentWords[place / 10] >> (24 * (place % 10));
            if (_modules[uint8(word >> 16) - 1] & CURVED == 0) continue;
            ++weight;
            uint256 n;
            while (n < count && feeds[n] != uint16(word)) ++n;
            if (n == count) feeds[count++] = uint16(word);
        }
        weight += count;
    }

    /* INTERNAL */

    /// @dev `words` as marginParameters answers them, of so many assets, by the Standard set and without shifts of volatility so far.
    function _applyGrid(uint256[] memory words, uint256 assets, bool portfolioSet) internal view {
        Grid memory g = _grid;
        words[0] |= (uint256(g.volatilityUp) << 160) | (uint256(g.volatilityDown) << 176)
            | (uint256(g.nakedShort) << 192);
        if (!portfolioSet || g.portfolioShock == 0) return;
        words[0] =
            (words[0] & ~uint256(type(uint32).max)) | g.portfolioRhoIm | (uint256(g.portfolioRhoMm) << 16);
        for (uint256 n = 1; n < words.length; ++n) {
            uint256 at = n <= assets ? 64 : 16;
            uint256 shocks = words[n] >> at;
            uint256 im = uint16(shocks) * uint256(g.portfolioShock) / BPS;
            uint256 mm = uint16(shocks >> 16) * uint256(g.portfolioShock) / BPS;
            words[n] = (words[n] & ~(uint256(type(uint32).max) << at)) | ((im | (mm << 16)) << at);
        }
    }

    /// @dev Of a feed below 2^16; 0: it has none.
    function _shocks(uint256 feed) internal view returns (uint256) {
        return (_underlyingWords[feed / 4] >> (64 * (feed % 4))) & type(uint64).max;
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

    function _requireBands(uint256 portfolioShock) internal view {
        for (uint256 id = instrumentCount; id > 0; --id) {
            StoredInstrument storage i = _instruments[id];
            _bound(i.priceBand < _widestBand(_shocks(i.feed), portfolioShock), "priceBand");
        }
    }

    /// @dev Most that trades on a feed may lie beside the oracle, bps: what a trade at the band's edge gives away, maintenance margin of both
    /// sets must still cover.
    function _widestBand(uint256 shocks, uint256 portfolioShock) internal pure returns (uint256) {
        uint256 shock = uint16(shocks >> 16);
        return portfolioShock == 0 ? shock : shock * portfolioShock / BPS;
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
