// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IClearinghouse} from "../../src/interfaces/IClearinghouse.sol";
import {IMarginEngine} from "../../src/interfaces/IMarginEngine.sol";
import {IRiskConfig} from "../../src/interfaces/IRiskConfig.sol";
import {MarginFixture} from "./MarginFixture.sol";

/// @notice What must hold of margin for any portfolio of all kinds of instruments, by both sets. The twin's tests ask the same of many more
/// (packages/shared/src/margin/curves.test.ts).
contract MarginPropertiesTest is MarginFixture {
    uint256 internal constant CLAIMS = 3;
    /// @dev A claim's credit is rounded by a wei of its token, each position in each of its values: wei.
    int256 internal constant DUST = 1e6;

    function setUp() public override {
        super.setUp();
        // A cap on profit counts once for a book, however it is put together.
        config.setGlobal(IRiskConfig.Global(5000, 3000, 7e28, 1500, 12, 1 hours));
    }

    /// @dev Of 100 units each way. @param options Some, or none.
    function _book(uint256 seed, bool portfolioSet, bool options)
        private
        pure
        returns (IClearinghouse.Portfolio memory p)
    {
        p.portfolioSet = portfolioSet;
        p.cash = int256(_draw(seed, 1) % 1e24);
        p.assetIds = new uint256[](CLAIMS);
        p.claims = new uint256[](CLAIMS);
        p.impaired = new uint256[](CLAIMS + 1);
        for (uint256 n; n < CLAIMS; ++n) {
            (p.assetIds[n], p.claims[n]) = (WETH + n, _draw(seed, 10 + n) % 1e20);
        }
        p.instrumentIds = new uint256[](RATE_SWAP);
        p.sizes = new int256[](RATE_SWAP);
        p.quotes = new int256[](RATE_SWAP);
        for (uint256 n; n < RATE_SWAP; ++n) {
            uint256 id = n + 1;
            p.instrumentIds[n] = id;
            if (!options && id >= FIRST_OPTION && id < FIRST_OPTION + OPTIONS) continue;
            p.sizes[n] = int256(_draw(seed, 20 + n) % 2e20) - 1e20;
            p.quotes[n] = int256(_draw(seed, 40 + n) % 2e23) - 1e23;
        }
    }

    function _draw(uint256 seed, uint256 which) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, which)));
    }

    function _confidence(uint256 confidence) private {
        for (uint256 feed = FEED_ETH; feed <= FEED_SOL; ++feed) {
            oracle.set(feed, oracle.price(feed).price, confidence, 0, true);
        }
    }

    function _notBelow(IClearinghouse.Portfolio memory worse, IClearinghouse.Portfolio memory better)
        private
        view
    {
        (IMarginEngine.Health memory a, IMarginEngine.Health memory b) =
            (engine.health(worse), engine.health(better));
        assertLe(a.im, b.im + DUST, "IM");
        assertLe(a.mm, b.mm + DUST, "MM");
    }

    /// forge-config: default.fuzz.runs = 32
    /// forge-config: full.fuzz.runs = 3000
    function testFuzz_moreLossNeverRaisesHealth(uint256 seed, bool set, uint96 loss) public {
        _confidence(seed % 0.2e18);
        IClearinghouse.Portfolio memory p = _book(seed, set, true);
        IClearinghouse.Portfolio memory worse = _book(seed, set, true);
        worse.quotes[seed % RATE_SWAP] -= int256(uint256(loss));
        _notBelow(worse, p);
    }

    /// forge-config: default.fuzz.runs = 32
    /// forge-config: full.fuzz.runs = 3000
    function testFuzz_moreClaimsNeverLowerHealthAndImpairingNeverRaisesIt(uint256 seed, bool set, uint64 more)
        public
    {
        _confidence(seed % 0.3e18);
        IClearinghouse.Portfolio memory less = _book(seed, set, true);
        IClearinghouse.Portfolio memory all = _book(seed, set, true);
        all.claims[seed % CLAIMS] += more;
        _notBelow(less, all);
        IClearinghouse.Portfolio memory impaired = _book(seed, set, true);
        impaired.claims[seed % CLAIMS] += more;
        impaired.impaired[seed % CLAIMS] = more;
        _notBelow(impaired, all);
    }

    /// @dev So that a hedge costs at most what it needs by itself. MM takes the favourable end of each book, which joined books share: its
    /// turn is at one price.
    /// forge-config: default.fuzz.runs = 32
    /// forge-config: full.fuzz.runs = 3000
    function testFuzz_twoBooksAsOneNeedNoMoreThanApart(uint256 seed, uint256 other, bool set, uint64 width)
        public
    {
        IClearinghouse.Portfolio memory a = _book(seed, set, true);
        IClearinghouse.Portfolio memory b = _book(other, set, true);
        IClearinghouse.Portfolio memory both = _book(seed, set, true);
        both.cash += b.cash;
        for (uint256 n; n < RATE_SWAP; ++n) {
            both.sizes[n] += b.sizes[n];
            both.quotes[n] += b.quotes[n];
            if (n < CLAIMS) both.claims[n] += b.claims[n];
        }
        assertLe(engine.health(a).mm + engine.health(b).mm, engine.health(both).mm + DUST, "MM");
        _confidence(width % 0.2e18);
        assertLe(engine.health(a).im + engine.health(b).im, engine.health(both).im + DUST, "IM");
    }

    /// forge-config: default.fuzz.runs = 32
    /// forge-config: full.fuzz.runs = 3000
    function testFuzz_aBookSoManyTimesAsLargeNeedsSoManyTimesAsMuch(uint256 seed, bool set, uint8 times)
        public
    {
        _confidence(seed % 0.2e18);
        int256 k = 1 + int256(uint256(times % 50));
        IClearinghouse.Portfolio memory p = _book(seed, set, true);
        IMarginEngine.Health memory one = engine.health(p);
        p.cash *= k;
        for (uint256 n; n < RATE_SWAP; ++n) {
            p.sizes[n] *= k;
            p.quotes[n] *= k;
            if (n < CLAIMS) p.claims[n] *= uint256(k);
        }
        IMarginEngine.Health memory many = engine.health(p);
        assertApproxEqAbs(many.equity, k * one.equity, uint256(k * DUST), "equity");
        assertApproxEqAbs(many.im, k * one.im, uint256(k * DUST), "IM");
        assertApproxEqAbs(many.mm, k * one.mm, uint256(k * DUST), "MM");
    }

    /// @dev Straight lines; options may dip between mid and an end, and be worth more at an end further out.
    /// forge-config: default.fuzz.runs = 32
    /// forge-config: full.fuzz.runs = 3000
    function testFuzz_aWiderIntervalNeverRaisesIm(uint256 seed, uint64 narrow, uint64 more) public {
        IClearinghouse.Portfolio memory p = _book(seed, false, false);
        _confidence(narrow % 0.4e18);
        IMarginEngine.Health memory before = engine.health(p);
        _confidence(narrow % 0.4e18 + more % 0.5e18);
        IMarginEngine.Health memory wide = engine.health(p);
        assertLe(wide.im, before.im + DUST, "IM");
        assertGe(wide.mm, before.mm - DUST, "MM");
    }
}
