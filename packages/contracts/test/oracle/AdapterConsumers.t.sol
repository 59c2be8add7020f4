// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IPyth} from "@pythnetwork/pyth-sdk-solidity/IPyth.sol";
import {PythAggregatorV3} from "@pythnetwork/pyth-sdk-solidity/PythAggregatorV3.sol";
import {PythErrors} from "@pythnetwork/pyth-sdk-solidity/PythErrors.sol";
import {PythStructs} from "@pythnetwork/pyth-sdk-solidity/PythStructs.sol";
import {AggregatorAdapter} from "../../src/oracle/adapters/AggregatorAdapter.sol";
import {FeedReader} from "../../src/oracle/adapters/FeedReader.sol";
import {PythAdapter} from "../../src/oracle/adapters/PythAdapter.sol";
import {AdapterTest} from "./AdapterTest.sol";

interface ILatestAnswer {
    function latestAnswer() external view returns (int256);
}

/// @dev What Comet asks of a feed.
interface ICometFeed {
    function decimals() external view returns (uint8);
    function latestRoundData() external view returns (uint80, int256, uint256, uint256, uint80);
}

/// @dev Pyth's interface up to SDK 3.
interface IPythBefore4 {
    function getValidTimePeriod() external view returns (uint256);
    function getPrice(bytes32 id) external view returns (PythStructs.Price memory);
}

/// @dev Reads a price the way Aave's oracle does: the older call, and a fallback oracle when the answer isn't positive. It has no
/// check of age.
contract AaveLike {
    int256 public constant FALLBACK = 1;

    function price(address source) external view returns (int256 answer) {
        answer = ILatestAnswer(source).latestAnswer();
        if (answer <= 0) answer = FALLBACK;
    }
}

/// @dev Reads a price the way Compound's Comet does: 8 decimals wanted at deployment, a positive answer at each use. It has no check
/// of age.
contract CometLike {
    error BadDecimals();
    error BadPrice();

    address public immutable source;

    constructor(address source_) {
        if (ICometFeed(source_).decimals() != 8) revert BadDecimals();
        source = source_;
    }

    function price() external view returns (uint256) {
        (, int256 answer,,,) = ICometFeed(source).latestRoundData();
        if (answer <= 0) revert BadPrice();
        return uint256(answer);
    }
}

/// @dev Reads and updates as protocols of Pyth's do: of either SDK; asks its user for an update where Pyth says that one is missing.
contract PythUser {
    error UpdateNeeded(uint256 fee);
    error BadPrice();

    IPyth private immutable _pyth;
    bytes32 private immutable _id;

    constructor(address pyth, bytes32 id) {
        (_pyth, _id) = (IPyth(pyth), id);
    }

    function bring(bytes[] calldata updates) external payable {
        _pyth.updatePriceFeeds{value: _pyth.getUpdateFee(updates)}(updates);
    }

    function price() external view returns (int64) {
        try _pyth.getPriceNoOlderThan(_id, 60) returns (PythStructs.Price memory p) {
            if (p.price <= 0) revert BadPrice();
            return p.price;
        } catch (bytes memory reason) {
            bytes4 error_ = bytes4(reason);
            if (error_ == PythErrors.StalePrice.selector || error_ == PythErrors.PriceFeedNotFound.selector) {
                revert UpdateNeeded(_pyth.getUpdateFee(new bytes[](1)));
            }
            assembly ("memory-safe") {
                revert(add(reason, 32), mload(reason))
            }
        }
    }

    function priceBefore4() external view returns (int64) {
        return IPythBefore4(address(_pyth)).getPrice(_id).price;
    }
}

/// @notice Protocols as they are written for Chainlink and Pyth, and what each sees of a price that is there, missing, stale,
/// contradicted, held, negative or zero. PythAggregatorV3 is Pyth's own contract: the way of a Pyth feed to who reads Chainlink's.
contract AdapterConsumersTest is AdapterTest {
    AaveLike private aave;
    CometLike private comet;
    PythUser private user;
    PythAggregatorV3 private bridge;
    CometLike private cometOfPyth;

    function setUp() public override {
        super.setUp();
        aave = new AaveLike();
        user = new PythUser(address(pyth), ETH);
        comet = new CometLike(address(aggregator));
        bridge = new PythAggregatorV3(address(pyth), ETH);
    }

    function test_a_price_that_stands_is_read_by_all() public {
        _bring(P);
        assertEq(aave.price(address(aggregator)), P);
        assertEq(comet.price(), uint64(P));
        assertEq(user.price(), P);
        assertEq(user.priceBefore4(), P);
        assertEq(IPythBefore4(address(pyth)).getValidTimePeriod(), 60);
        // What Pyth's contract makes of it is a feed of 8 decimals, too.
        cometOfPyth = new CometLike(address(bridge));
        assertEq(cometOfPyth.price(), uint64(P));
        assertEq(aave.price(address(bridge)), P);
        vm.expectRevert(CometLike.BadDecimals.selector);
        new CometLike(address(rate));
    }

    function test_before_the_first_price_nobody_sees_one() public {
        bytes memory none = abi.encodeWithSelector(AggregatorAdapter.NoValue.selector, 1);
        vm.expectRevert(none);
        aave.price(address(aggregator)); // not the fallback oracle's
        vm.expectRevert(none);
        comet.price();
        vm.expectRevert(abi.encodeWithSelector(PythUser.UpdateNeeded.selector, 0));
        user.price();
        vm.expectRevert(PythErrors.PriceFeedNotFound.selector);
        user.priceBefore4();
        vm.expectRevert(PythErrors.PriceFeedNotFound.selector);
        aave.price(address(bridge));
    }

    function test_a_stale_price_stops_readers_that_check_no_age() public {
        _bring(P);
        uint256 at = block.timestamp;
        cometOfPyth = new CometLike(address(bridge));
        _advance(61);
        vm.expectRevert(abi.encodeWithSelector(PythUser.UpdateNeeded.selector, 0));
        user.price();
        vm.expectRevert(PythErrors.StalePrice.selector);
        user.priceBefore4();
        assertEq(comet.price(), uint64(P), "within the feed's use-age");

        _advance(60);
        bytes memory stale = abi.encodeWithSelector(AggregatorAdapter.StaleValue.selector, 1, at);
        vm.expectRevert(stale);
        aave.price(address(aggregator));
        vm.expectRevert(stale);
        comet.price();
        // Pyth's bridge asks for a price of whatever age, and passes it on to who doesn't look at its time: as it does with Pyth's.
        assertEq(aave.price(address(bridge)), P);
        assertEq(cometOfPyth.price(), uint64(P));
        assertEq(bridge.latestTimestamp(), at);
        // Anyone ends it, through any of them.
        bytes[] memory updates = new bytes[](1);
        updates[0] = _signed(P + 1, 1, 5);
        bridge.updateFeeds(updates);
        assertEq(comet.price(), uint64(P + 1));
        assertEq(user.price(), P + 1);
    }

    function test_a_held_price_ages_like_any_other() public {
        _bring(P);
        _advance(118);
        _update(0, 1, 0xffff); // the nodes agree that there is no price
        assertEq(comet.price(), uint64(P));
        _advance(3);
        vm.expectRevert(
            abi.encodeWithSelector(AggregatorAdapter.StaleValue.selector, 1, block.timestamp - 121)
        );
        comet.price();
    }

    function test_a_contradicted_price_is_none_to_all() public {
        _bring(P);
        cometOfPyth = new CometLike(address(bridge));
        _advance(2);
        _bring((P * 60) / 100); // beyond the jump guard
        bytes memory unconfirmed = abi.encodeWithSelector(FeedReader.UnconfirmedValue.selector, 1);
        vm.expectRevert(unconfirmed);
        aave.price(address(aggregator));
        vm.expectRevert(unconfirmed);
        comet.price();
        vm.expectRevert(unconfirmed);
        user.price();
        vm.expectRevert(unconfirmed);
        aave.price(address(bridge));
        vm.expectRevert(unconfirmed);
        cometOfPyth.price();
        _advance(30);
        _bring((P * 60) / 100);
        assertEq(comet.price(), uint64((P * 60) / 100));
    }

    /// @dev A rate is answered as it is; who wants a price refuses it by its own check.
    function test_a_rate_below_or_at_zero_is_no_price_to_lenders() public {
        AggregatorAdapter rate8 = new AggregatorAdapter(oracle, 2, 8, "Rate");
        CometLike cometOfRate = new CometLike(address(rate8));
        PythUser userOfRate = new PythUser(address(pyth), RATE);
        int64[2] memory rates = [int64(-3_500_000), 0];
        for (uint256 i; i < rates.length; ++i) {
            _update(P, rates[i], 5);
            assertEq(rate8.latestAnswer(), rates[i]);
            assertEq(aave.price(address(rate8)), aave.FALLBACK());
            vm.expectRevert(CometLike.BadPrice.selector);
            cometOfRate.price();
            vm.expectRevert(PythUser.BadPrice.selector);
            userOfRate.price();
            _advance(2);
        }
        _update(P, 3_500_000, 5);
        assertEq(userOfRate.price(), 3_500_000);
    }

    function _bring(int64 price) private {
        bytes[] memory updates = new bytes[](1);
        updates[0] = _signed(price, 1, 5);
        user.bring(updates);
    }
}
