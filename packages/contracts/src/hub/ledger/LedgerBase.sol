// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {SafeCastLib} from "solady/utils/SafeCastLib.sol";
import {IClearinghouse} from "../../interfaces/IClearinghouse.sol";
import {ILedger} from "../../interfaces/ILedger.sol";
import {IMarginEngine} from "../../interfaces/IMarginEngine.sol";
import {IPriceOracle} from "../../interfaces/IPriceOracle.sol";
import {IRiskConfig} from "../../interfaces/IRiskConfig.sol";
import {Accounts} from "../../libraries/Accounts.sol";
import {Bucket} from "../../libraries/Bucket.sol";
import {IdList} from "../../libraries/IdList.sol";

/// @notice Accounts, control and cash: what collateral and positions share.
///
/// The identity that every function keeps, exactly (WAD); cash is signed:
///     Σ cash + warming + Σ pnlPool = Σ backing + lostBacking
abstract contract LedgerBase is ILedger, Ownable {
    using IdList for uint256;

    /// @notice The contracts that the ledger works with, fixed at deployment (addresses are predicted).
    struct Modules {
        address gateway;
        address auction;
        address backstop;
        address fund;
        IMarginEngine marginEngine;
        IPriceOracle oracle;
        IRiskConfig riskConfig;
    }

    struct AccountState {
        /// WAD, when the index was `index`: of cash, or of debt where it is negative. Losses beyond cash stay in position quotes: it is
        /// negative by what the account borrowed.
        int120 cash;
        /// 0: no index had moved yet.
        uint72 index;
        /// Rows under regression.
        uint16 regressedRows;
        /// Margined by the Portfolio set of parameters.
        bool portfolioSet;
        /// Seconds; since when `regressedCash` counts as regressed. Meaningful while that isn't 0.
        uint32 regressedAt;
        /// It has an entry in `_warming`.
        bool warms;
        /// WAD; cash that came from counters which have since regressed. Meaningful while regressedRows > 0.
        uint256 regressedCash;
        /// IdList of opened asset rows.
        uint256 assets;
        /// IdList of instruments with a size or a quote.
        uint256 instruments;
    }

    /// @dev An account's settled profit that isn't cash yet.
    struct Warming {
        /// Of `_warmings`, worth index ÷ 1e18 each (WAD) while the generation is the same, else nothing.
        uint128 shares;
        /// Seconds: they become cash in a straight line.
        uint40 since;
        uint40 until;
        uint32 generation;
    }

    /// @dev That of all accounts.
    struct Warmings {
        /// WAD; roundings stay in it.
        uint128 total;
        /// From 1e18; only falls.
        uint64 index;
        uint32 generation;
        /// Seconds that new profit warms for.
        uint32 period;
    }

    /// @dev What accounts owe, at what interest.
    struct Loans {
        /// WAD; Σ negative cash. Never more than the accounts owe: what is rounded up is theirs.
        uint128 debt;
        /// WAD; the debt when any cash last changed. The rate follows from it until the next change, so that nobody moves it by accruing often.
        uint128 base;
        /// What interest and losses have made of a unit of cash, from 1e18.
        uint72 cashIndex;
        /// What interest has made of a unit of debt, from 1e18; only grows.
        uint72 debtIndex;
        /// Seconds; until when interest is accrued.
        uint32 at;
        /// Most that may be borrowed, bps of Σ backing.
        uint16 share;
        /// Utilisation (debt ÷ positive cash, bps) at which the rate bends.
        uint16 kink;
        /// bps a year, of debt: at no utilisation, at the kink and at all.
        uint16 baseRate;
        uint16 kinkRate;
        uint16 fullRate;
    }

    struct Counter {
        /// Token decimals.
        uint128 value;
        /// Seconds; the spoke's block time at which it had this value.
        uint64 time;
    }

    struct Totals {
        uint128 totalIn;
        uint128 totalOut;
        uint128 shortfall;
        uint64 time;
    }

    /// @dev Of one asset, token decimals.
    struct Vaulted {
        int120 net;
        /// Σ claims of all rows; always 0 for a settlement token.
        uint120 claims;
        /// `written`, `shortfall` or `pot` isn't 0.
        bool flawed;
        Liveness liveness;
        /// Of `shortfall`, what has been written off.
        uint128 written;
        /// What the vault's newest totals say is missing there.
        uint128 shortfall;
        /// Came back after its regression was booked, for those who bore the loss; not yet through the bucket.
        uint128 returned;
        /// Seconds; since when the shortfall is as large as it is.
        uint32 shortSince;
        /// Seconds; since when what claims have lost counts as lost.
        uint32 lostSince;
        /// Seconds; from and until when maintenance margin's credit of claims fades, both 0 while it doesn't.
        uint32 fadeFrom;
        uint32 fadeUntil;
        /// Of a settlement token: part of `net` that belongs to accounts which left in kind and backs no cash, Σ of its pots.
        uint128 pot;
    }

    /// @dev What accounts left with in kind at one vault between the same losses, so that what comes back of one is theirs who bore it.
    struct Pot {
        uint128 held;
        /// A token each, when they came.
        uint128 shares;
        /// Of what has been written off, what it bore.
        uint128 lost;
    }

    struct Market {
        /// WAD quote per base unit: losses charged to each side so far. Only ever grow.
        uint128 longLoss;
        uint128 shortLoss;
        /// WAD base units, the house row's included.
        uint128 long;
        uint128 short;
        /// WAD; losers' cash that winners have not drawn yet.
        uint256 pool;
        /// House row: what accounts settled by have handed over (WAD). Its value at the settlement price is what their roundings left,
        /// never negative. No account, so nobody trades, owes or bears a loss with it.
        int128 houseSize;
        int128 houseQuote;
    }

    /// @dev One side of a market of which something has been closed against insolvent accounts: positions of it are kept in stored units.
    struct Side {
        /// What a stored unit of size is by now, 1e36 = 1. Only falls within a generation. 0: nothing of the side was ever closed, and it is 1.
        uint128 scale;
        /// Σ stored size of its positions; more by what roundings of earlier generations have left.
        uint128 base;
        /// 1e54: what a stored unit of signed size has cost since the generation began is `cost` + `scale` × the side's index.
        int256 cost;
        uint256 generation;
        mapping(uint256 generation => Ended) ended;
    }

    /// @dev What has become of a stored unit of size by the end of a generation.
    struct Ended {
        uint128 scale;
        /// 1e54.
        int256 cost;
    }

    address public immutable gateway;
    address public immutable auction;
    address public immutable backstop;
    address public immutable fund;
    IMarginEngine public immutable marginEngine;
    IPriceOracle public immutable oracle;
    IRiskConfig public immutable riskConfig;

    /// @notice A message may be this far ahead of the hub's clock (seconds). A forged time beyond it would lock out honest ones.
    uint64 public constant MAX_SKEW = 15 minutes;
    /// @notice Longest that one call holds back new risk.
    uint64 public constant MAX_PAUSE = 3 days;

    /* STATE: all here, so that it lies in the same places in the Clearinghouse and in its Books */

    mapping(bytes32 account => AccountState) internal _accounts;
    mapping(bytes32 account => mapping(address => bool)) public isDelegate;

    mapping(
        uint32 eid => mapping(uint32 epoch => mapping(bytes32 account => mapping(address token => Counter)))
    ) public counters;
    mapping(uint32 eid => mapping(uint32 epoch => mapping(address token => Totals))) public totals;
    mapping(uint32 eid => uint32) internal _openedEpochs;
    /// @notice Epoch that a message has come from before it was opened here.
    mapping(uint32 eid => uint32) public announcedEpoch;

    mapping(bytes32 account => mapping(uint256 assetId => Row)) internal _rows;
    mapping(uint256 assetId => uint256) internal _creditedTotals;
    /// @notice What of a booked regression others paid for (token decimals): first lien on the row, should its counter come back.
    mapping(bytes32 account => mapping(uint256 assetId => uint128)) public lien;

    mapping(bytes32 account => mapping(address recipient => mapping(uint256 assetId => uint128))) internal
        _released;

    mapping(uint256 assetId => Vaulted) internal _vaulted;
    mapping(uint256 assetId => Bucket.State) internal _buckets;
    /// @notice Rows of a chain under regression: nothing of it matures while there is one.
    mapping(uint32 eid => uint256) public suspicions;

    mapping(bytes32 account => mapping(uint256 instrumentId => Position)) internal _positions;
    mapping(uint256 instrumentId => Market) internal _markets;
    mapping(uint256 instrumentId => mapping(bool long => Side)) internal _sides;
    /// @dev Of its side, in which a position was last changed.
    mapping(bytes32 account => mapping(uint256 instrumentId => uint256)) internal _generations;
    /// @dev By id ÷ 128, one word for all rows of an account: in its low half bit assetId % 128, that something has been missing at the asset's vault,
    /// or its chain is silent (without it a share is a token); in its high half bit instrumentId % 128, that a loss has been charged to a side, or something
    /// of it closed: its positions are no longer what is stored of them.
    mapping(uint256 word => uint256) internal _marks;
    /// @dev Added to an instrument's id among the marks.
    uint256 internal constant CHARGED = 1 << 12;
    /// @dev Among the marks, of no asset: an index of cash has moved.
    uint256 internal constant INDEXED = 0;
    /// @dev Of no instrument: somebody's cash is negative.
    uint256 internal constant LENT = CHARGED;

    /// @dev Indices of cash begin here, and no cut takes one below the last.
    uint256 internal constant FIRST_INDEX = 1e18;
    uint256 internal constant LAST_INDEX = 1e12;

    /// @dev Cash that no backing stands behind (WAD, signed).
    int256 internal _lostBacking;
    /// @notice Σ max(0, written − net) of settlement tokens (WAD): what vaults owe recipients and have never got.
    uint256 public overdrawn;
    /// @dev Σ backing of settlement tokens (WAD).
    uint128 internal _totalBacking;
    /// @dev IdList of settlement tokens' assets whose chain is suspect: while there is one, cash leaves in kind.
    uint256 internal _suspectAssets;
    mapping(uint256 assetId => Pot[]) internal _pots;
    /// @dev What an account has left with and not taken yet (shares of one of the asset's pots).
    mapping(bytes32 account => mapping(uint256 assetId => mapping(uint256 pot => uint128))) internal _kept;
    /// @dev Σ PnL pools (WAD).
    uint128 internal _totalPools;
    /// @notice What the fund has paid for lost backing and not got back (WAD).
    uint256 public fundBorne;
    /// @notice Seconds; until then trades only reduce.
    uint64 public newRiskPausedUntil;
    /// @notice A liquidation engine beside the auction may take accounts whose instruments are all of modules that it is listed for.
    mapping(address engine => mapping(address module => bool)) public liquidates;

    mapping(address venue => bool) public isVenue;
    /// @notice What a venue may still trade for an account (WAD quote); the maximum is not used up.
    mapping(bytes32 account => mapping(address venue => uint256)) public venueAllowance;

    mapping(bytes32 account => Warming) internal _warming;
    Warmings internal _warmings;
    Loans internal _loans;

    event VenueListed(address indexed venue, bool listed);

    error Unauthorised();
    error ZeroValue();
    error SameAccount();
    error UnknownAsset(uint256 assetId);
    error UnknownInstrument(uint256 instrumentId);
    error InsufficientCash(bytes32 account, uint256 free, uint256 needed);
    error InsufficientMargin(bytes32 account, int256 im);
    /// @notice `debt`: loss beyond cash, WAD; only what is left of claims stands for it.
    error ExcessiveDebt(bytes32 account, uint256 debt, int256 equity);
    error InsufficientEquity(bytes32 account, int256 equity);
    /// @notice A smaller position, and yet more to lose: it covered something else.
    error RiskNotReduced(bytes32 account, int256 mmBefore, int256 mmAfter);
    error PriceNotFresh();
    error NewRiskIsPaused(uint64 until);
    error TooManyRows(bytes32 account);
    error UnlistedVenue();
    error VenueNotApproved(bytes32 account, uint256 allowance, uint256 needed);
    error PriceOutsideBand(uint256 price, uint256 mid);
    error OpenInterestCap(uint256 openInterest, uint256 cap);

    modifier onlyGateway() {
        _require(msg.sender == gateway);
        _;
    }

    modifier onlyOwnerOf(bytes32 account) {
        _require(msg.sender == Accounts.owner(account));
        _;
    }

    modifier onlyController(bytes32 account) {
        _require(_isController(account, msg.sender));
        _;
    }

    modifier onlyLiquidation() {
        _require(msg.sender == auction || msg.sender == backstop);
        _;
    }

    constructor(Modules memory modules) {
        gateway = modules.gateway;
        auction = modules.auction;
        backstop = modules.backstop;
        fund = modules.fund;
        marginEngine = modules.marginEngine;
        oracle = modules.oracle;
        riskConfig = modules.riskConfig;
    }

    function _isController(bytes32 account, address who) internal view returns (bool) {
        return who == Accounts.owner(account) || isDelegate[account][who];
    }

    /* CASH */

    /// @notice Cash that isn't under regression (WAD).
    function _freeCash(bytes32 account) internal view returns (uint256) {
        AccountState storage a = _accounts[account];
        uint256 held = _positive(_cash(account));
        return a.regressedRows == 0 ? held : FixedPointMathLib.zeroFloorSub(held, a.regressedCash);
    }

    /// @dev Pays debt first, as cash is one signed number.
    function _credit(bytes32 account, uint256 amount) internal {
        _setCash(account, _cash(account) + SafeCastLib.toInt256(amount));
    }

    /// @dev Only free cash leaves an account; booking a regression and borrowing are the exceptions, and don't come here.
    function _debit(bytes32 account, uint256 amount) internal {
        uint256 free = _freeCash(account);
        if (amount > free) revert InsufficientCash(account, free, amount);
        _setCash(account, _cash(account) - int256(amount));
    }

    /// @notice After all cuts and with all interest (WAD): cash rounded down, debt up.
    function _cash(bytes32 account) internal view returns (int256 held) {
        AccountState storage a = _accounts[account];
        held = a.cash;
        if (held == 0 || !_isMarked(INDEXED, _marks[0])) return held;
        (uint256 cashIndex, uint256 debtIndex) = _indices();
        uint256 since = a.index;
        if (since == 0) since = FIRST_INDEX;
        if (held < 0) return -int256(FixedPointMathLib.mulDivUp(uint256(-held), debtIndex, since));
        return held * int256(cashIndex) / int256(since);
    }

    /// @dev With interest up to now.
    function _indices() internal view returns (uint256 cashIndex, uint256 debtIndex) {
        if (_isBehind()) return IClearinghouse(address(this)).cashIndices();
        return (_loans.cashIndex, _loans.debtIndex);
    }

    /// @dev The only writer of an account's cash. Σ cash may have changed by nothing since interest was last accrued, so whatever changes another
    /// term of the identity first accrues before that.
    function _setCash(bytes32 account, int256 held) internal {
        AccountState storage a = _accounts[account];
        if (held < 0 || _isMarked(INDEXED, _marks[0])) _index(account, a, held);
        a.cash = SafeCastLib.toInt120(held);
    }

    function _index(bytes32 account, AccountState storage a, int256 held) private {
        _accrueInterest();
        Loans storage l = _loans;
        bool lent = _isMarked(LENT, _marks[0]);
        if (lent || held < 0 || a.cash < 0) {
            uint256 debt = l.debt + _positive(-held);
            debt = FixedPointMathLib.zeroFloorSub(debt, _positive(-_cash(account)));
            l.debt = l.base = SafeCastLib.toUint128(debt);
            if (debt == 0) {
                _unmark(LENT);
            } else if (!lent) {
                l.at = uint32(block.timestamp);
                _mark(INDEXED);
                _mark(LENT);
            }
        }
        a.index = held < 0 ? l.debtIndex : l.cashIndex;
    }

    /// @dev Brings the indices to now. Without debt nothing is to be done.
    function _accrueInterest() internal {
        if (_isBehind()) IClearinghouse(address(this)).accrueInterest();
    }

    function _isBehind() private view returns (bool) {
        return _isMarked(LENT, _marks[0]) && _loans.at != uint32(block.timestamp);
    }

    /// @notice Σ cash of all accounts, negative cash included, and what was rounded off (WAD). Warming profit isn't part of it.
    function _totalCash() internal view returns (int256) {
        int256 total = int256(uint256(_totalBacking)) + _lostBacking;
        return total - int256(uint256(_totalPools)) - int256(uint256(_warmings.total));
    }

    /// @notice Of those who have some (WAD): with Σ debt it is the sum of all.
    function _positiveCash() internal view returns (uint256) {
        return uint256(_totalCash() + int256(uint256(_loans.debt)));
    }

    /// @notice Most that all accounts may owe when one borrows (WAD): a share of what lies at vaults, and of the cash that lends it.
    function _lendable() internal view returns (uint256) {
        return FixedPointMathLib.min(_totalBacking, _positiveCash()) * _loans.share / 10_000;
    }

    function _fillPool(Market storage m, int256 amount) internal {
        m.pool = uint256(int256(m.pool) + amount);
        _totalPools = SafeCastLib.toUint128(uint256(int256(uint256(_totalPools)) + amount));
    }

    /* INTERNAL */

    /// @dev Whatever takes value out of an account needs all its prices fresh, and IM at their adverse end. New risk may lean on stale feeds,
    /// to which IM gives no credit, but on no other stale input.
    function _requireMargin(bytes32 account, bool fresh) internal view {
        IMarginEngine.Health memory h = marginEngine.accountHealth(account);
        if (!(fresh ? h.fresh : h.inputsFresh)) revert PriceNotFresh();
        int256 held = _cash(account);
        // Debt stands on claims: on a profit that losers may never pay nothing leaves.
        if (held < 0 && h.pnl > 0) h.im = IClearinghouse(address(this)).marginWithoutProfit(account);
        if (h.im < 0) revert InsufficientMargin(account, h.im);
        // A loss beyond cash is lent by the winners who wait for it, without interest: a quarter of what claims exceed debt by at most,
        // 4 debt <= equity + debt.
        int256 debt = -(FixedPointMathLib.max(held, int256(0)) + h.pnl);
        if (debt > 0 && 3 * debt > h.equity) revert ExcessiveDebt(account, uint256(debt), h.equity);
    }

    /// @dev The account may owe something, now or at another price. A closed position's unpaid profit is no debt.
    function _owes(bytes32 account) internal view returns (bool) {
        if (_accounts[account].cash < 0) return true;
        for (uint256 list = _accounts[account].instruments; list != 0; list >>= 12) {
            uint256 id = list & IdList.MAX_ID;
            Position memory p = _positions[account][id];
            // Others may have closed all of it.
            if (p.size != 0 && _isMarked(CHARGED | id, _marks[0])) {
                p = IClearinghouse(address(this)).position(account, id);
            }
            if (p.size != 0 || p.quote < 0) return true;
        }
        return false;
    }

    /// @dev Reverts when the account already has `cap` rows.
    function _requireRoom(bytes32 account, uint256 cap) internal view {
        AccountState storage a = _accounts[account];
        if (a.assets.length() + a.instruments.length() >= cap) revert TooManyRows(account);
    }

    function _global() internal view returns (IRiskConfig.Global memory) {
        return riskConfig.global();
    }

    /// @param first Marks of the first ids, `_marks[0]`: most markets have no others.
    function _isMarked(uint256 id, uint256 first) internal view returns (bool) {
        (uint256 word, uint256 bit) = _markOf(id);
        if (word != 0) first = _marks[word];
        return (first >> bit) & 1 != 0;
    }

    /// @param id Of an asset, or CHARGED with one of an instrument; or INDEXED, LENT.
    function _mark(uint256 id) internal {
        (uint256 word, uint256 bit) = _markOf(id);
        _marks[word] |= 1 << bit;
    }

    function _unmark(uint256 id) internal {
        (uint256 word, uint256 bit) = _markOf(id);
        _marks[word] &= ~(1 << bit);
    }

    function _markOf(uint256 id) private pure returns (uint256 word, uint256 bit) {
        return ((id & IdList.MAX_ID) >> 7, (id & 0x7f) | ((id & CHARGED) >> 5));
    }

    function _positive(int256 x) internal pure returns (uint256) {
        return x > 0 ? uint256(x) : 0;
    }

    function _require(bool authorised) internal pure {
        if (!authorised) revert Unauthorised();
    }
}
