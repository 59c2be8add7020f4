// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @notice What the hub's ledger is made of, and what it tells.
interface ILedger {
    /// @notice A (chain, token) pair of one account. Token decimals throughout.
    struct Row {
        /// The newest counter received: what the vault says was deposited, ever.
        uint128 target;
        /// What of `target` has been booked into `immature`, `claim` or cash. target < credited is a regression.
        uint128 credited;
        /// Booked, but not yet through the maturing bucket: no credit.
        uint128 immature;
        /// Matured and held as shares of the asset at its vault, one token each unless something is missing there. Never the settlement token:
        /// that becomes cash.
        uint128 claim;
        /// Seconds; since when target < credited, 0 if it is not. Later, where it has become more since then.
        uint64 regressedSince;
        /// Only the owner or a delegate opens a row; unopened rows store counters without credit.
        bool open;
    }

    /// @notice What is known of the chain on which an asset lies: by its messages, and by the oracle's feed of its block time.
    enum Liveness {
        /// Both are recent.
        Live,
        /// One isn't: no credit for initial margin.
        Quiet,
        /// Neither is: nothing new of it matures.
        Suspect
    }

    /// @notice Position of one account in one instrument. Both WAD.
    struct Position {
        /// Base units, signed.
        int128 size;
        /// Quote units, signed: what was paid (−) or received (+), with costs and settled profit folded in. PnL = size × mark + quote.
        int128 quote;
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
        /// By the Portfolio set of parameters; by the Standard set otherwise.
        bool portfolioSet;
        /// Settled profit that isn't cash yet.
        uint256 warming;
    }

    /// @notice What accounts owe, up to now, and the terms.
    struct Lent {
        /// WAD; Σ negative cash.
        uint256 debt;
        /// WAD; nothing is lent that makes `debt` more than this.
        uint256 limit;
        /// WAD a year, continuously compounded; 0 while nobody owes anything.
        uint256 rate;
        /// What interest has made of a unit of debt that was there from the start, which is 1e18.
        uint256 debtIndex;
        /// As `setLending` has it.
        uint16 share;
        uint16 kink;
        uint16 baseRate;
        uint16 kinkRate;
        uint16 fullRate;
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
    event PortfolioMarginSet(bytes32 indexed account, bool on);
    event RegressionBooked(
        bytes32 indexed account,
        uint256 indexed assetId,
        uint128 fromClaim,
        uint256 fromCash,
        uint256 lostBacking
    );
    /// @notice Counters whose regression others had paid for are back (token decimals): `repair` hands them on.
    event Returned(uint256 indexed assetId, uint128 amount);
    /// @notice The chain of an asset is heard of less, or again. @param fadeFrom Seconds; maintenance margin's credit of claims on it fades to
    /// nothing between this and `fadeUntil`, not at all while both are 0.
    event LivenessChanged(uint256 indexed assetId, Liveness liveness, uint32 fadeFrom, uint32 fadeUntil);
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
    /// @notice Profit (WAD) that is cash by the time `until` (seconds), with all that warms in the account.
    event WarmingAdded(bytes32 indexed account, uint256 amount, uint256 until);
    /// @notice Warming profit (WAD) became cash.
    event Warmed(bytes32 indexed account, uint256 amount);
    /// @notice Warming profit (WAD) paid a loss of the account, or went with its positions.
    event WarmingTaken(bytes32 indexed account, uint256 amount);
    /// @notice All warming profit paid `amount` (WAD). Another generation: it is all gone.
    event WarmingsCut(uint256 amount, uint256 index, uint256 generation);
    /// @notice All positive cash, `total` before (WAD), paid `amount` of lost backing: an account keeps its cash × index ÷ the index it last had,
    /// which began at 1e18, rounded down.
    event CashCut(uint256 amount, uint256 total, uint256 index);
    /// @notice The account took `amount` (WAD) more than it had.
    event Borrowed(bytes32 indexed account, uint256 amount);
    /// @notice Debt grew by `interest` (WAD): an account owes its debt × debtIndex ÷ the index it last had, rounded up. Positive cash grew by `earned`
    /// of it, as in CashCut.
    event InterestAccrued(uint256 interest, uint256 earned, uint256 cashIndex, uint256 debtIndex);
    /// @notice `amount` (WAD) of the account's debt won't be paid: it is lost backing.
    event DebtWrittenOff(bytes32 indexed account, uint256 amount);
    /// @notice In bps, rates a year.
    event LendingSet(uint16 share, uint16 kink, uint16 baseRate, uint16 kinkRate, uint16 fullRate);
    event WarmingPeriodSet(uint32 period);
    event ExpirySettled(bytes32 indexed account, uint256 indexed instrumentId, int256 size, uint256 price);
    event Released(
        bytes32 indexed account,
        uint256 indexed assetId,
        address indexed recipient,
        uint128 amount,
        uint128 total
    );
    /// @notice Cash became a part of what lies at a suspect chain's vault (token decimals): `withdraw` of that asset pays it first.
    event LeftInKind(bytes32 indexed account, uint256 indexed assetId, uint128 amount);
    event Transferred(bytes32 indexed from, bytes32 indexed to, uint256 fraction, int256 payment);
    event EngineListed(address indexed engine, address indexed module, bool listed);
    /// @param until Seconds; now or before: it has ended.
    event NewRiskPaused(uint64 until);
    /// @notice Claims on a chain that isn't heard of went to who paid for the account (shares).
    event SuspendedTransferred(
        bytes32 indexed from, bytes32 indexed to, uint256 indexed assetId, uint128 amount
    );
    event CashMoved(bytes32 indexed from, bytes32 indexed to, uint256 amount);
    event LossSocialised(uint256 indexed instrumentId, bool longsPay, uint256 amount, uint256 charged);
    /// @notice A position that nobody took was closed. @param size Of the account, signed; @param others what of it the other side's holders closed, all
    /// at `price` (WAD); the rest the house row has. @param scale What is left of a unit that was stored of the other side in that generation,
    /// 1e36 = 1; below 1e30 the next one begins, with 1e36 for what is left.
    event Deleveraged(
        uint256 indexed instrumentId,
        bytes32 indexed account,
        int256 size,
        uint256 others,
        uint256 price,
        uint256 scale,
        uint256 generation
    );
}
