// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @notice The hub's ledger: claims on vaults, cash, and zero-sum positions.
/// Accounts are bytes32: owner address in the high 20 bytes, sub-account number in the low 12.
interface IClearinghouse {
    /// @notice A (chain, token) pair of one account. Token decimals throughout.
    struct Row {
        /// Sum over epochs of the newest counters received: what the vaults say was deposited, ever.
        uint128 target;
        /// What of `target` has been booked into `immature`, `claim` or cash. target < credited is a regression.
        uint128 credited;
        /// Booked, but not yet through the maturing bucket: no credit.
        uint128 immature;
        /// Matured and held as a claim on the vault (never the settlement token on a healthy chain: that becomes cash).
        uint128 claim;
        /// Seconds; since when target < credited, 0 if it is not.
        uint64 regressedSince;
        /// Only the owner or a delegate opens a row; unopened rows store counters without credit.
        bool open;
    }

    /// @notice Position of one account in one instrument. Both WAD.
    struct Position {
        /// Base units, signed.
        int128 size;
        /// Quote units, signed: what was paid (−) or received (+), with funding and settled profit folded in. PnL = size × mark + quote.
        int128 quote;
        /// Instrument's cumulative cost index for this side at the last touch (WAD quote per base unit).
        int256 index;
    }

    /// @notice What MarginEngine needs to know of an account; funding accrued, regressed amounts apart. All WAD.
    struct Portfolio {
        int256 cash;
        uint256[] assetIds;
        /// Claims in whole-token WAD units, in the order of assetIds.
        uint256[] claims;
        uint256[] instrumentIds;
        int256[] sizes;
        int256[] quotes;
        /// Part of each claim that is under regression, in the order of `assetIds`, and of the cash last. Same units as those: excluded from IM.
        uint256[] impaired;
    }

    event CounterReceived(
        uint32 indexed eid,
        uint32 epoch,
        bytes32 indexed account,
        address indexed token,
        uint128 value,
        uint64 time
    );
    event Booked(bytes32 indexed account, uint256 indexed assetId, uint128 amount);
    event Matured(bytes32 indexed account, uint256 indexed assetId, uint128 amount);
    event Regressed(bytes32 indexed account, uint256 indexed assetId, uint128 amount);
    event RegressionBooked(
        bytes32 indexed account,
        uint256 indexed assetId,
        uint128 fromClaim,
        uint256 fromCash,
        uint256 lostBacking
    );
    event RowOpened(bytes32 indexed account, uint256 indexed assetId);
    event DelegateSet(bytes32 indexed account, address indexed delegate, bool allowed);
    event VenueApproved(bytes32 indexed account, address indexed venue, uint256 notionalLimit);
    event Traded(
        uint256 indexed instrumentId,
        bytes32 indexed buyer,
        bytes32 indexed seller,
        uint256 size,
        uint256 price
    );
    event PnlSettled(bytes32 indexed account, uint256 indexed instrumentId, int256 amount);
    event Released(
        bytes32 indexed account,
        uint256 indexed assetId,
        address indexed recipient,
        uint128 amount,
        uint128 total
    );
    event Transferred(bytes32 indexed from, bytes32 indexed to, uint256 fraction, int256 payment);
    event CashMoved(bytes32 indexed from, bytes32 indexed to, uint256 amount);
    event LossSocialised(uint256 indexed instrumentId, bool longsPay, uint256 amount, uint256 charged);

    /* GATEWAY */

    /// @notice Only HubGateway. Newest time wins, ties by larger value; never reverts for a row's sake. Token decimals; `time` seconds.
    function receiveCounter(
        uint32 eid,
        uint32 epoch,
        uint64 time,
        address token,
        bytes32 account,
        uint128 depositedIn
    ) external;

    /// @notice Only HubGateway: totals of one vault, as they stood at `time`. Newest time wins, ties by each field's larger value.
    function receiveTotals(
        uint32 eid,
        uint32 epoch,
        uint64 time,
        address token,
        uint128 totalIn,
        uint128 totalOut,
        uint128 shortfall
    ) external;

    /// @notice What the hub has released, ever: the counter that a release message carries. Token decimals.
    function released(bytes32 account, address recipient, uint256 assetId) external view returns (uint128);

    /// @notice Sum of the newest counters of all accounts for an asset: a vault that holds less pays nothing.
    function creditedTotal(uint256 assetId) external view returns (uint128);

    /* ACCOUNTS */

    function openRow(bytes32 account, uint256 assetId) external;
    function setDelegate(bytes32 account, address delegate, bool allowed) external;
    function approveVenue(bytes32 account, address venue, uint256 notionalLimit) external;
    function isController(bytes32 account, address who) external view returns (bool);

    /// @notice Moves what the maturing bucket lets through from `immature` to claim or cash. Anyone.
    function mature(bytes32 account, uint256 assetId) external returns (uint128 amount);

    /// @notice Books a regression that has outlasted the delay: claim, then cash, then lost backing. Anyone.
    function bookRegression(bytes32 account, uint256 assetId) external;

    /// @notice Owner only. Checks IM after the debit, raises `released`. Token decimals.
    function withdraw(bytes32 account, uint256 assetId, address recipient, uint128 amount) external;

    /// @notice Owner only: moves cash to another account (WAD).
    function transferCash(bytes32 from, bytes32 to, uint256 amount) external;

    /* POSITIONS */

    /// @notice Only a listed venue that both accounts approved. Size and price WAD. Each side ends with IM >= 0, or only reduced: at the oracle price or better, or with equity >= 0.
    /// While the price is stale both sides may only reduce, with equity >= 0, within the band of the last price.
    function trade(uint256 instrumentId, bytes32 buyer, bytes32 seller, uint256 size, uint256 price) external;

    /// @notice Moves PnL at mark between the account's cash and the instrument's PnL pool: losses from positive cash, profit up to the pool. Anyone.
    function settlePnl(bytes32 account, uint256 instrumentId) external returns (int256 amount);

    /* LIQUIDATION: only LiquidationAuction and Backstop */

    /// @notice Moves the WAD fraction of every claim, position and of the cash from one account to another, then `payment` (WAD cash) from `to` to `from`
    /// (negative: from `from`'s benefactor is not possible; use moveCash).
    function transferFraction(bytes32 from, bytes32 to, uint256 fraction, uint256 payment) external;
    function moveCash(bytes32 from, bytes32 to, uint256 amount) external;
    /// @notice Writes `amount` (WAD) of the account's negative PnL off and charges it to the other side of its losing instruments, per unit of size.
    function socialise(bytes32 account, uint256 amount) external returns (uint256 charged);
    /// @notice Backstop's own claims go to the LiquidationExecutor of their chain.
    function releaseTo(bytes32 account, uint256 assetId, address recipient, uint128 amount) external;

    /* VIEWS */

    function portfolio(bytes32 account) external view returns (Portfolio memory);
    function cash(bytes32 account) external view returns (int256);
    function row(bytes32 account, uint256 assetId) external view returns (Row memory);
    function position(bytes32 account, uint256 instrumentId) external view returns (Position memory);
    /// @notice Assets whose rows the account has opened (never settlement tokens, which become cash).
    function assetsOf(bytes32 account) external view returns (uint256[] memory);
    /// @notice Instruments in which the account has a size or an unsettled quote.
    function instrumentsOf(bytes32 account) external view returns (uint256[] memory);
    /// @notice WAD cash that matured on this chain and has not been released there.
    function backing(uint32 eid) external view returns (uint256);
    function pnlPool(uint256 instrumentId) external view returns (uint256);
    /// @notice Longs and shorts, WAD base units. Equal at all times.
    function openInterest(uint256 instrumentId) external view returns (uint256 long, uint256 short);
    /// @notice Backing lost to regressions beyond the account and the fund (WAD), until it is spread.
    function lostBacking() external view returns (uint256);
}
