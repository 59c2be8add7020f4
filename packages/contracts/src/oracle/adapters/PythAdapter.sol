// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {AbstractPyth} from "@pythnetwork/pyth-sdk-solidity/AbstractPyth.sol";
import {PythErrors} from "@pythnetwork/pyth-sdk-solidity/PythErrors.sol";
import {PythStructs} from "@pythnetwork/pyth-sdk-solidity/PythStructs.sol";
import {PriceOracle} from "../PriceOracle.sol";
import {IValueOracle} from "../../interfaces/IValueOracle.sol";
import {FeedReader} from "./FeedReader.sol";

/// @title PythAdapter
/// @notice Feeds under Pyth's ids, for protocols that read a Pyth contract; an update is one of our reports.
/// @dev All of Pyth's interface, of SDK 4 and of the ones before it. Where Pyth has an error for a refusal it is Pyth's own, as
/// readers tell a missing update by it. Our reports carry neither a moving nor a time-weighted average: what asks for one reverts.
contract PythAdapter is AbstractPyth, FeedReader {
    struct Listing {
        bytes32 id;
        uint256 feed;
    }

    error DuplicateId(bytes32 id);
    /// @notice An update is free: whoever pays has mistaken the contract.
    error FeeNotNeeded();
    /// @notice There is no exponential moving average.
    error NoMovingAverage();
    /// @notice There is no time-weighted average.
    error NoTimeWeightedAverage();

    uint256 private immutable _validTimePeriod;
    uint256 private immutable _slotSeconds;
    /// @dev Feed plus 1.
    mapping(bytes32 id => uint256) private _listed;

    /// @param validTimePeriod Seconds: the oldest price that `getPrice` answers with. Pyth's contracts have 60.
    /// @param listings Fixed for ever. Id: the one that the protocol is built with, such as Pyth's for ETH/USD.
    constructor(PriceOracle oracle_, uint256 validTimePeriod, Listing[] memory listings) FeedReader(oracle_) {
        (_validTimePeriod, _slotSeconds) = (validTimePeriod, oracle_.slotSeconds());
        for (uint256 i; i < listings.length; ++i) {
            oracle_.exponent(listings[i].feed); // reverts for an unknown feed
            if (_listed[listings[i].id] != 0) revert DuplicateId(listings[i].id);
            _listed[listings[i].id] = listings[i].feed + 1;
        }
    }

    /* READ */

    /// @notice The last price of whatever age (`getPriceUnsafe` is its part of it), and no moving average.
    /// @dev Reverts with PriceFeedNotFound or UnconfirmedValue.
    function queryPriceFeed(bytes32 id) public view override returns (PythStructs.PriceFeed memory) {
        (uint256 feed, IValueOracle.Value memory value) = _read(id);
        return _convert(id, feed, value);
    }

    /// @notice The price, if it is at most `age` seconds old, and younger than its feed's use-age.
    /// @dev Reverts with PriceFeedNotFound, StalePrice or UnconfirmedValue.
    function getPriceNoOlderThan(bytes32 id, uint256 age)
        public
        view
        override
        returns (PythStructs.Price memory)
    {
        (uint256 feed, IValueOracle.Value memory value) = _read(id);
        if (!value.fresh || block.timestamp - value.observedAt > age) revert PythErrors.StalePrice();
        return _convert(id, feed, value).price;
    }

    function priceFeedExists(bytes32 id) public view override returns (bool) {
        return _publishTime(id) != 0;
    }

    function getValidTimePeriod() public view override returns (uint256) {
        return _validTimePeriod;
    }

    /// @dev Always reverts; so does `getEmaPrice`.
    function getEmaPriceUnsafe(bytes32) public pure override returns (PythStructs.Price memory) {
        revert NoMovingAverage();
    }

    /// @dev Always reverts.
    function getEmaPriceNoOlderThan(bytes32, uint256)
        public
        pure
        override
        returns (PythStructs.Price memory)
    {
        revert NoMovingAverage();
    }

    /* UPDATE */

    /// @param updateData Reports, as an oracle node serves them. One not newer is skipped; an invalid one reverts.
    function updatePriceFeeds(bytes[] calldata updateData) public payable override {
        if (msg.value != 0) revert FeeNotNeeded();
        for (uint256 i; i < updateData.length; ++i) {
            oracle.update(updateData[i]);
        }
    }

    /// @dev Reverts with InvalidArgument, or with NoFreshUpdate when every one of these feeds is as new as the caller knows it to be.
    function updatePriceFeedsIfNecessary(
        bytes[] calldata updateData,
        bytes32[] calldata priceIds,
        uint64[] calldata publishTimes
    ) external payable override {
        if (priceIds.length != publishTimes.length) {
            revert PythErrors.InvalidArgument();
        }
        for (uint256 i; i < priceIds.length; ++i) {
            uint256 publishTime = _publishTime(priceIds[i]);
            if (publishTime == 0 || publishTime < publishTimes[i]) return updatePriceFeeds(updateData);
        }
        revert PythErrors.NoFreshUpdate();
    }

    /// @return Wei: nothing.
    function getUpdateFee(bytes[] calldata) external pure override returns (uint256) {
        return 0;
    }

    /* PARSE */

    /// @notice The prices that stand once the reports are stored, if all were observed within these times (seconds, inclusive).
    /// @dev A report that the oracle has not stored is not verified, and nothing is taken from it: where a newer one has landed,
    /// an older can't be asked for. Reverts with PriceFeedNotFoundWithinRange or UnconfirmedValue, and as `updatePriceFeeds`.
    function parsePriceFeedUpdates(
        bytes[] calldata updateData,
        bytes32[] calldata priceIds,
        uint64 minPublishTime,
        uint64 maxPublishTime
    ) external payable override returns (PythStructs.PriceFeed[] memory priceFeeds) {
        (priceFeeds,) = _parse(updateData, priceIds, minPublishTime, maxPublishTime, false);
    }

    /// @notice The same, if each is of the first slot that begins at or after `minPublishTime`: there can be no earlier one.
    function parsePriceFeedUpdatesUnique(
        bytes[] calldata updateData,
        bytes32[] calldata priceIds,
        uint64 minPublishTime,
        uint64 maxPublishTime
    ) external payable override returns (PythStructs.PriceFeed[] memory priceFeeds) {
        (priceFeeds,) = _parse(updateData, priceIds, minPublishTime, maxPublishTime, true);
    }

    /// @notice One of the two above, by `checkUniqueness`, with the slot of each price.
    /// @param checkUpdateDataIsMinimal A report has all feeds: with it this reverts with InvalidArgument.
    /// @dev The last argument, whether to store: what isn't stored isn't verified, and anyone may store it anyway.
    function parsePriceFeedUpdatesWithConfig(
        bytes[] calldata updateData,
        bytes32[] calldata priceIds,
        uint64 minAllowedPublishTime,
        uint64 maxAllowedPublishTime,
        bool checkUniqueness,
        bool checkUpdateDataIsMinimal,
        bool
    ) external payable override returns (PythStructs.PriceFeed[] memory priceFeeds, uint64[] memory slots) {
        if (checkUpdateDataIsMinimal) revert PythErrors.InvalidArgument();
        return _parse(updateData, priceIds, minAllowedPublishTime, maxAllowedPublishTime, checkUniqueness);
    }

    /// @dev Always reverts.
    function getTwapUpdateFee(bytes[] calldata) external pure override returns (uint256) {
        revert NoTimeWeightedAverage();
    }

    /// @dev Always reverts.
    function parseTwapPriceFeedUpdates(bytes[] calldata, bytes32[] calldata)
        external
        payable
        override
        returns (PythStructs.TwapPriceFeed[] memory)
    {
        revert NoTimeWeightedAverage();
    }

    function _parse(
        bytes[] calldata updateData,
        bytes32[] calldata priceIds,
        uint64 minPublishTime,
        uint64 maxPublishTime,
        bool isFirst
    ) private returns (PythStructs.PriceFeed[] memory priceFeeds, uint64[] memory slots) {
        updatePriceFeeds(updateData);
        priceFeeds = new PythStructs.PriceFeed[](priceIds.length);
        slots = new uint64[](priceIds.length);
        for (uint256 i; i < priceIds.length; ++i) {
            uint256 publishTime = _publishTime(priceIds[i]);
            if (
                publishTime == 0 || publishTime < minPublishTime || publishTime > maxPublishTime
                    || (isFirst && publishTime - minPublishTime >= _slotSeconds)
            ) revert PythErrors.PriceFeedNotFoundWithinRange();
            priceFeeds[i] = queryPriceFeed(priceIds[i]);
            slots[i] = uint64(publishTime / _slotSeconds);
        }
    }

    function _read(bytes32 id) private view returns (uint256 feed, IValueOracle.Value memory value) {
        uint256 listed = _listed[id];
        if (listed == 0) revert PythErrors.PriceFeedNotFound();
        feed = listed - 1;
        value = _standing(feed);
        if (value.observedAt == 0) revert PythErrors.PriceFeedNotFound();
    }

    /// @dev Of the stored value, whatever contradicts it; 0 for none, and for an id that isn't listed.
    function _publishTime(bytes32 id) private view returns (uint256) {
        uint256 listed = _listed[id];
        return listed == 0 ? 0 : oracle.value(listed - 1).observedAt;
    }

    /// @dev Exact, as the feed's unit is Pyth's: the half width is rounded up. In place of the moving average stands what no
    /// check of age or confidence lets pass.
    function _convert(bytes32 id, uint256 feed, IValueOracle.Value memory value)
        private
        view
        returns (PythStructs.PriceFeed memory result)
    {
        int8 exponent = oracle.exponent(feed);
        uint256 unit = 10 ** uint256(18 + int256(exponent));
        result.id = id;
        result.price = PythStructs.Price({
            price: SafeCast.toInt64(value.value / int256(unit)),
            conf: SafeCast.toUint64((value.confidence + unit - 1) / unit),
            expo: exponent,
            publishTime: value.observedAt
        });
        (result.emaPrice.expo, result.emaPrice.conf) = (exponent, type(uint64).max);
    }
}
