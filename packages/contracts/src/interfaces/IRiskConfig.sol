// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @notice Parameters of assets, feeds and instruments. Ids start at 1 and never change meaning.
interface IRiskConfig {
    /// @notice One token in one vault. A chain's next vault is another epoch, and its tokens are other assets: so counters, releases, claims and
    /// backing of two vaults never mix.
    struct Asset {
        uint32 eid;
        /// Epoch of the vault, from 1.
        uint32 epoch;
        address token;
        uint8 decimals;
        /// Oracle feed index. For the settlement token: its depeg guard.
        uint16 feed;
        /// Becomes cash when matured.
        bool settlement;
        /// Share of value that counts, bps. creditIm <= creditMm <= 10000.
        uint16 creditIm;
        uint16 creditMm;
        /// Maturing bucket, token decimals: at most `matureCap` at once, refilled at `matureRate` a second.
        uint128 matureCap;
        uint128 matureRate;
    }

    /// @notice Shocks of one underlying (oracle feed) in a calm market, bps of price. shockIm >= shockMm.
    struct Underlying {
        uint16 shockIm;
        uint16 shockMm;
        /// Tail scenario: a fall or rise of `tailShock` counts at `tailDamping`.
        uint16 tailShock;
        uint16 tailDamping;
    }

    /// @notice What margin takes of an underlying now. Shocks bps of price; thinness 2^37 ÷ depth, the depth in whole quote units, 0: boundless.
    struct CurrentUnderlying {
        uint256 shockIm;
        /// Of the scenarios of a grid.
        uint256 gridShock;
        uint256 shockMm;
        uint256 tailShock;
        uint256 tailDamping;
        uint256 class;
        uint256 thinnessIm;
        uint256 thinnessMm;
    }

    /// @notice What DynamicRisk tells of an underlying. Factors on the owner's shocks, bps, 1 to 5.
    struct FeedTarget {
        uint32 factorIm;
        uint32 factorMm;
        /// As CurrentUnderlying's; a ramp goes by so much of the unit an hour.
        uint32 thinness;
        uint32 thinnessUnit;
        /// Something that it rests on isn't known: IM may only tighten, MM stays.
        bool held;
    }

    /// @notice Correlation in a risk class, bps, 0..10000; it rises from the calm to the stressed one with the class's stress.
    struct RiskClass {
        uint16 rhoIm;
        uint16 rhoMm;
        uint16 stressedRhoIm;
        uint16 stressedRhoMm;
    }

    struct Instrument {
        /// IInstrument module that prices it.
        address module;
        /// Oracle feed index of the underlying.
        uint16 feed;
        /// Open interest cap, WAD base units per side.
        uint128 maxOpenInterest;
        /// What the Backstop may hold, WAD base units.
        uint128 backstopCap;
        /// Trades must lie within this of the oracle price, bps.
        uint16 priceBand;
    }

    struct Global {
        /// Correlation across underlyings of risk class 0, calm, bps, 0..10000: total = sqrt((1-rho) sum(L^2) + rho sum(L)^2).
        uint16 rhoIm;
        uint16 rhoMm;
        /// Unrealised profit counts for IM up to this, WAD; below 2^96.
        uint128 profitCapIm;
        /// Liquidation buffer, bps of (equity - mm).
        uint16 bufferBps;
        /// Rows (claims plus positions) an account may have.
        uint16 maxRows;
        /// Seconds; a regression is booked after it.
        uint32 regressionDelay;
    }

    /// @notice How instruments are shocked whose value isn't a straight line in the spot, and what the Portfolio set grants.
    struct Grid {
        /// Rise and fall of implied volatility, bps of it.
        uint16 volatilityUp;
        uint16 volatilityDown;
        /// Held back per unit of net short position in such instruments, bps of spot.
        uint16 nakedShort;
        /// Shocks of the Portfolio set, bps of those of the Standard set. 0: no account may choose it.
        uint16 portfolioShock;
        /// Correlation in the Portfolio set, bps of that in the Standard set.
        uint16 portfolioRhoIm;
        uint16 portfolioRhoMm;
    }

    /// @notice When a chain counts as silent, all seconds. All 0: never.
    struct Silence {
        /// Longest silence, of messages or of the liveness feed, that claims keep credit for initial margin.
        uint32 grace;
        /// Longest silence of both before maintenance margin's credit begins to fade. mmGrace >= grace.
        uint32 mmGrace;
        /// How long it takes to fade to nothing.
        uint32 mmRamp;
    }

    event SilenceSet(Silence parameters);
    event LivenessFeedSet(uint32 indexed eid, uint256 feed);
    event AssetSet(uint256 indexed assetId, Asset asset);
    event UnderlyingSet(uint256 indexed feed, Underlying underlying);
    event InstrumentSet(uint256 indexed instrumentId, Instrument instrument);
    event GlobalSet(Global parameters);
    event GridSet(Grid parameters);
    event ClassSet(uint256 indexed class, RiskClass parameters);
    event RiskClassSet(uint256 indexed feed, uint256 class);
    event DynamicRiskSet(address dynamicRisk);
    /// @notice What margin reads of it is another from now on.
    event FeedMoved(uint256 indexed feed);
    event ClassMoved(uint256 indexed class);
    event CreditMoved(uint256 indexed assetId);
    event GridMoved();

    function asset(uint256 assetId) external view returns (Asset memory);
    /// @return assetId 0 if not listed.
    function assetIdOf(uint32 eid, uint32 epoch, address token) external view returns (uint256 assetId);
    function assetCount() external view returns (uint256);
    /// @notice As the owner set it; margin takes `currentUnderlying`.
    function underlying(uint256 feed) external view returns (Underlying memory);
    function currentUnderlying(uint256 feed) external view returns (CurrentUnderlying memory);
    /// @notice Correlation of a class in the Standard set now, bps.
    function currentRho(uint256 class) external view returns (uint256 im, uint256 mm);
    /// @notice Credit of an asset now, bps.
    function currentCredit(uint256 assetId) external view returns (uint256 im, uint256 mm);
    /// @notice Brings margin closer to what an underlying asks for. Only DynamicRisk. What IM takes rises at once and falls along a slope; what
    /// MM takes ramps both ways.
    /// @return moved Margin takes something else from now on.
    function moveFeed(uint256 feed, FeedTarget calldata target) external returns (bool moved);
    /// @notice The same of a class's correlation. @param stress Bps. @param held As FeedTarget's.
    function moveClass(uint256 class, uint256 stress, bool held) external returns (bool moved);
    /// @notice Brings an asset's credit closer to what the owner set. Anyone.
    function moveCredit(uint256 assetId) external returns (bool moved);
    /// @notice Brings the grid and the Portfolio set closer to what the owner set. Anyone.
    function moveGrid() external returns (bool moved);
    function instrument(uint256 instrumentId) external view returns (Instrument memory);
    function instrumentCount() external view returns (uint256);
    /// @notice What margin needs of the assets and instruments in two IdLists, in one call. Reverts with the first id that isn't listed.
    /// @param portfolioSet By the Portfolio set: its shocks and correlation. By the Standard set otherwise.
    /// @return words First `nakedShort u16 | volatilityDown u16 | volatilityUp u16 | profitCapIm u96`, of which the first three are 0 where no
    /// instrument needs them, and of each class from the last `rhoMm u14 | rhoIm u14`; then of each asset `decimals u8 | creditMm u16 | creditIm
    /// u16 | place u16`; of each instrument `module u160 | curved u16 | 0 u64 | place u16`, `curved` being 1 if its module isn't linear; and
    /// of each feed of these rows, once, `FeedRisk u128 | feed u16`. `place` is that of the row's feed among them.
    function marginParameters(uint256 assets, uint256 instruments, bool portfolioSet)
        external
        view
        returns (uint256[] memory words);
    /// @notice What instruments in an IdList cost to value over a grid: one for each that is curved, and one for each of their underlyings.
    function curveWeight(uint256 instruments) external view returns (uint256);
    function global() external view returns (Global memory);
    /// @notice As the owner set it; margin takes `currentGrid`.
    function grid() external view returns (Grid memory);
    /// @notice What margin takes of it now: a Portfolio set that isn't offered is all of the Standard set's, 10000.
    function currentGrid() external view returns (Grid memory);
    /// @return parameters The same for every chain.
    /// @return hasFeed The chain has a liveness feed.
    /// @return feed Oracle feed of the time of its newest block (seconds).
    function silenceOf(uint32 eid)
        external
        view
        returns (Silence memory parameters, bool hasFeed, uint256 feed);
    /// @notice Oracle feed of the settlement token, the depeg guard of all cash.
    function settlementFeed() external view returns (uint256);
    /// @notice Grows with every change of any parameter.
    function version() external view returns (uint256);
}
