// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {IClearinghouse} from "../interfaces/IClearinghouse.sol";
import {IInstrument} from "../interfaces/IInstrument.sol";
import {IPriceOracle} from "../interfaces/IPriceOracle.sol";
import {IRiskConfig} from "../interfaces/IRiskConfig.sol";
import {FeedRisk} from "../margin/FeedRisk.sol";

/// @title DynamicRisk
/// @notice Tells RiskConfig how volatile, deep and crowded markets are, from signed feeds and open interest. Anyone may have it do so, as often
/// as they like: what they choose is only when, and RiskConfig's slopes leave that little to win.
///
/// Of an underlying: the worse of its realised and implied volatility over a reference is the factor on its shocks, at least 1; times open
/// interest over a notional, at least 1 too, for IM alone. Of a class: stress grows from nothing at its reference to all of it at twice as much.
/// What isn't known or fresh lets IM only tighten, leaves MM where it is, and stops nothing.
contract DynamicRisk is Ownable {
    using FixedPointMathLib for uint256;

    struct FeedInputs {
        /// Oracle feeds, annualised volatility (1.0 = 100 %) and depth within 1 % (quote units); NONE: there is none.
        uint16 realisedFeed;
        uint16 impliedFeed;
        uint16 depthFeed;
        /// Volatility that the shocks were set for, bps a year; 0: it moves nothing.
        uint32 volatility;
        /// Bounds of the factors on shocks, bps: 1 to RiskConfig.MAX_FACTOR.
        uint32 maxFactorIm;
        uint32 maxFactorMm;
        /// How many times the signed depth counts, bps: a liquidation takes longer than books take to fill again.
        uint32 depthShare;
        /// Depth without a feed, or while that isn't fresh; whole quote units. MM ramps by a quarter of its thinness an hour. 0: boundless.
        uint64 depth;
        /// Notional of open interest from which IM grows with it; whole quote units. 0: it moves nothing.
        uint64 openInterest;
    }

    struct ClassInputs {
        /// Oracle feed of an annualised volatility, or NONE.
        uint16 volatilityFeed;
        /// Above which there is stress, bps a year.
        uint32 volatility;
    }

    uint16 public constant NONE = type(uint16).max;
    uint256 internal constant WAD = 1e18;
    uint256 internal constant BPS = 10_000;

    IRiskConfig public immutable riskConfig;
    IPriceOracle public immutable oracle;
    IClearinghouse public immutable clearinghouse;

    mapping(uint256 feed => FeedInputs) internal _inputs;
    mapping(uint256 class => ClassInputs) public classInputs;
    /// @notice Longs of an instrument as they were last counted, and of all instruments of a feed (WAD base units).
    mapping(uint256 instrumentId => uint256) public countedOf;
    mapping(uint256 feed => uint256) public counted;

    event InputsSet(uint256 indexed feed, FeedInputs inputs);
    event ClassInputsSet(uint256 indexed class, ClassInputs inputs);

    /// @dev `field` names the first input that is out of bounds.
    error OutOfBounds(string field);
    /// @notice An instrument that isn't on the feed.
    error OtherFeed(uint256 instrumentId);

    constructor(address owner, IRiskConfig riskConfig_, IPriceOracle oracle_, IClearinghouse clearinghouse_)
        Ownable(owner)
    {
        (riskConfig, oracle, clearinghouse) = (riskConfig_, oracle_, clearinghouse_);
    }

    /// @notice Only the owner. Reverts for feeds that the oracle doesn't know.
    function setInputs(uint256 feed, FeedInputs calldata i) external onlyOwner {
        if (i.maxFactorIm < BPS || i.maxFactorIm > 5 * BPS) revert OutOfBounds("maxFactorIm");
        if (i.maxFactorMm < BPS || i.maxFactorMm > i.maxFactorIm) revert OutOfBounds("maxFactorMm");
        if (i.depthFeed != NONE && (i.depth == 0 || i.depthShare == 0)) revert OutOfBounds("depth");
        _requireKnown(i.realisedFeed);
        _requireKnown(i.impliedFeed);
        _requireKnown(i.depthFeed);
        _inputs[feed] = i;
        emit InputsSet(feed, i);
    }

    /// @notice Only the owner. Reverts for a feed that the oracle doesn't know.
    function setClassInputs(uint256 class, ClassInputs calldata i) external onlyOwner {
        if (i.volatilityFeed != NONE && i.volatility == 0) revert OutOfBounds("volatility");
        _requireKnown(i.volatilityFeed);
        classInputs[class] = i;
        emit ClassInputsSet(class, i);
    }

    function inputs(uint256 feed) external view returns (FeedInputs memory) {
        return _inputs[feed];
    }

    /// @notice Tells of an underlying, once the open interest of these instruments of it is counted anew. Anyone; idempotent within a second.
    /// @return moved Margin takes something else from now on.
    function refresh(uint256 feed, uint256[] calldata instrumentIds) external returns (bool moved) {
        for (uint256 n; n < instrumentIds.length; ++n) {
            _count(feed, instrumentIds[n]);
        }
        FeedInputs memory i = _inputs[feed];
        IRiskConfig.FeedTarget memory t;
        _setFactors(feed, i, t);
        _setDepth(feed, i, t);
        return riskConfig.moveFeed(feed, t);
    }

    /// @notice Tells of a class. Anyone; idempotent within a second. @return moved As refresh.
    function refreshClass(uint256 class) external returns (bool moved) {
        ClassInputs memory i = classInputs[class];
        uint256 stress;
        bool known = true;
        if (i.volatility != 0 && i.volatilityFeed != NONE) {
            uint256 value;
            (value, known) = _bps(i.volatilityFeed);
            stress = (value.zeroFloorSub(i.volatility) * BPS / i.volatility).min(BPS);
        }
        return riskConfig.moveClass(class, stress, !known);
    }

    function _setFactors(uint256 feed, FeedInputs memory i, IRiskConfig.FeedTarget memory t) private view {
        uint256 factor = BPS;
        if (i.volatility != 0) (factor, t.held) = _volatility(i);
        // Nothing set: as the owner's parameters say.
        t.factorMm = uint32(factor.min(i.maxFactorMm).max(BPS));
        if (i.openInterest != 0) {
            IPriceOracle.Price memory p = oracle.price(feed);
            if (!p.fresh) t.held = true;
            uint256 crowd = counted[feed].mulWad(p.price) * BPS / (i.openInterest * WAD);
            factor = factor.max(BPS) * crowd.clamp(BPS, 5 * BPS) / BPS;
        }
        t.factorIm = uint32(factor.min(i.maxFactorIm).max(BPS));
    }

    /// @dev The worse of both over the reference, bps; not known if one of them isn't.
    function _volatility(FeedInputs memory i) private view returns (uint256 factor, bool held) {
        uint256 worst;
        if (i.realisedFeed != NONE) {
            (uint256 value, bool known) = _bps(i.realisedFeed);
            (worst, held) = (value, !known);
        }
        if (i.impliedFeed != NONE) {
            (uint256 value, bool known) = _bps(i.impliedFeed);
            (worst, held) = (worst.max(value), held || !known);
        }
        factor = worst * BPS / i.volatility;
    }

    function _setDepth(uint256 feed, FeedInputs memory i, IRiskConfig.FeedTarget memory t) private view {
        if (i.depth == 0) {
            // Back to boundless by a quarter an hour of what is left.
            t.thinnessUnit = uint32(riskConfig.currentUnderlying(feed).thinnessIm);
            return;
        }
        uint256 depth = i.depth;
        t.thinnessUnit = uint32((FeedRisk.THIN / depth).min(FeedRisk.MAX_THINNESS));
        if (i.depthFeed != NONE) {
            IPriceOracle.Price memory p = oracle.price(i.depthFeed);
            if (p.fresh) depth = (p.price.mulWad(i.depthShare * WAD / BPS) / WAD).max(1);
            else t.held = true;
        }
        t.thinness = uint32((FeedRisk.THIN / depth).min(FeedRisk.MAX_THINNESS));
    }

    function _count(uint256 feed, uint256 instrumentId) private {
        IRiskConfig.Instrument memory i = riskConfig.instrument(instrumentId);
        if (i.module == address(0) || i.feed != feed) revert OtherFeed(instrumentId);
        (uint256 open,) = clearinghouse.openInterest(instrumentId);
        // What is settled no longer moves, though the house row keeps its size.
        (bool settled,) = IInstrument(i.module).settlement(instrumentId);
        if (settled) open = 0;
        uint256 before = countedOf[instrumentId];
        if (open == before) return;
        countedOf[instrumentId] = open;
        counted[feed] = counted[feed] + open - before;
    }

    /// @dev Value of a feed in bps, no more than 2^128; as it last was if it isn't fresh.
    function _bps(uint256 feed) private view returns (uint256 value, bool known) {
        IPriceOracle.Price memory p = oracle.price(feed);
        return (p.price.min(type(uint128).max) * BPS / WAD, p.fresh);
    }

    function _requireKnown(uint256 feed) private view {
        if (feed != NONE) oracle.price(feed);
    }
}
