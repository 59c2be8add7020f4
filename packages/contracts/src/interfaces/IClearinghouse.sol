// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ILedger} from "./ILedger.sol";

/// @notice The hub's ledger: claims on vaults, cash, and zero-sum positions.
/// Accounts are bytes32: owner address in the high 20 bytes, sub-account number in the low 12.
interface IClearinghouse is ILedger {
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

    /// @notice Hands on what came back after a booked regression, as far as the bucket lets it, and brings what is written off of an asset to its
    /// vault's shortfall: at once downwards, upwards once it has outlasted the delay. Anyone.
    /// @return amount What came back, token decimals.
    function repair(uint256 assetId) external returns (uint128 amount);
    /// @notice Brings what is known of these assets' chains to now. Anyone.
    /// @return changed How many assets it changed.
    function watch(uint256[] calldata assetIds) external returns (uint256 changed);
    /// @notice Margins the account by the Portfolio set of parameters, or by the Standard set. Its owner only, and IM by the new set must hold.
    function setPortfolioMargin(bytes32 account, bool on) external;

    /// @notice Owner only. Checks IM after the debit, raises `released`. Token decimals. Of the settlement token what the account doesn't have it borrows,
    /// within `lending`: then IM must hold without any unpaid profit, as long as cash is negative.
    function withdraw(bytes32 account, uint256 assetId, address recipient, uint128 amount) external;

    /// @notice Owner only: moves cash to another account (WAD).
    function transferCash(bytes32 from, bytes32 to, uint256 amount) external;

    /* POSITIONS */

    /// @notice Only a listed venue that both accounts approved. Size and price WAD. Each side ends with IM >= 0, or only reduced: at the oracle price or better, or with equity >= 0.
    /// While the price is stale both sides may only reduce, with equity >= 0, within the band of the last price.
    function trade(uint256 instrumentId, bytes32 buyer, bytes32 seller, uint256 size, uint256 price) external;

    /// @notice Moves PnL at mark between the account and the instrument's PnL pool: losses from warming profit, then from positive cash; profit up
    /// to the pool, and it warms. Anyone.
    function settlePnl(bytes32 account, uint256 instrumentId) external returns (int256 amount);

    /// @notice Once an instrument is expired and fixed: closes the account's position at the settlement price, against the house row, and settles its
    /// quote as `settlePnl` does. Called again it only settles what was left. Anyone.
    function settleExpired(bytes32 account, uint256 instrumentId) external returns (int256 amount);

    /// @notice For an engine that is listed for the modules of all of the account's instruments: moves a WAD fraction of the account, whose maintenance
    /// margin must be broken, to a bidder for `payment` (WAD cash). The bidder ends with IM >= 0 at fresh prices.
    function liquidate(bytes32 account, bytes32 bidder, uint256 fraction, uint256 payment) external;

    /// @notice Turns what of the account's profit has warmed into cash. Withdrawals, transfers and settlements do it by themselves. Anyone.
    function warm(bytes32 account) external;

    /// @notice Brings interest up to now, which everything that changes cash does by itself. Anyone. @return interest WAD that debt grew by.
    function accrueInterest() external returns (uint256 interest);

    /* LIQUIDATION: only LiquidationAuction and Backstop */

    /// @notice Moves the WAD fraction of every claim, position, of the cash and of warming profit from one account to another, then `payment` (WAD cash) from `to` to `from`,
    /// and last of what `from` had owed before
    /// (negative: from `from`'s benefactor is not possible; use moveCash).
    function transferFraction(bytes32 from, bytes32 to, uint256 fraction, uint256 payment) external;
    function moveCash(bytes32 from, bytes32 to, uint256 amount) external;
    /// @notice Writes `amount` (WAD) of the account's negative PnL off and charges it to the other side of its losing instruments, per unit of size.
    /// Beyond a unit's mark, and where nobody is on the other side, all warming profit pays it by one ratio, into the instrument's pool.
    /// What is left is taken off the account's debt: warming profit pays it, then all cash. The fund has paid before.
    function socialise(bytes32 account, uint256 amount) external returns (uint256 charged);
    /// @notice Closes up to `most` (WAD) of the account's position at the mark against all who hold the other side, each by the same share; what is
    /// settled already, at its settlement price against the house row. Nothing while the mark isn't fresh.
    /// @return closed WAD.
    function deleverage(bytes32 account, uint256 instrumentId, uint256 most) external returns (uint256 closed);
    /// @notice Moves the WAD fraction of every claim that liquidation leaves out because its chain isn't heard of, and of nothing else.
    function transferSuspended(bytes32 from, bytes32 to, uint256 fraction) external;
    /// @notice Backstop's own claims go to the LiquidationExecutor of their chain.
    function releaseTo(bytes32 account, uint256 assetId, address recipient, uint128 amount) external;

    /* VIEWS */

    function portfolio(bytes32 account) external view returns (Portfolio memory);
    /// @notice The same as it is stored, for the margin engine: no price and no parameter is needed.
    /// @return cash_ WAD, less what has faded of cash under regression.
    /// @return warming_ Settled profit that isn't cash yet, WAD.
    /// @return regressedCash Part of it that is under regression, WAD.
    /// @return assets IdList.
    /// @return instruments IdList.
    /// @return portfolioSet Margined by the Portfolio set.
    /// @return words Of each asset `offered u128 | claim u128`, token decimals: what of the claim IM counts and liquidation offers, and what MM counts; then of
    /// each instrument `quote i128 | size i128` (WAD), losses charged to its side and closings of it counted, the instrument's own costs not: as if
    /// its cost index were 0.
    function rows(bytes32 account)
        external
        view
        returns (
            int256 cash_,
            uint256 warming_,
            uint256 regressedCash,
            uint256 assets,
            uint256 instruments,
            bool portfolioSet,
            uint256[] memory words
        );
    /// @notice Word of one asset in `rows`, of which something may be in doubt or lost.
    function claimWord(bytes32 account, uint256 assetId) external view returns (uint256);
    /// @notice Word of one instrument in `rows`, of which a side has borne losses or been closed in part.
    function positionWord(bytes32 account, uint256 instrumentId) external view returns (uint256);
    /// @notice What closings have left of a unit stored in a side's present generation, 1e36 = 1: 1e36 of generation 0 where there was none.
    function sideOf(uint256 instrumentId, bool long) external view returns (uint256 scale, uint256 generation);
    /// @notice Cash in `rows`, of which something is under regression (WAD).
    function countedCash(bytes32 account) external view returns (int256 counted, uint256 regressed);
    /// @notice WAD, with interest up to now; negative: what the account owes.
    function cash(bytes32 account) external view returns (int256);
    /// @notice Cash that isn't under regression, WAD.
    function freeCash(bytes32 account) external view returns (uint256);
    /// @notice Settled profit of an account, WAD. Cash is apart from it.
    /// @return amount All that is not booked as cash yet.
    /// @return ripe Of it, what `warm` would turn into cash now.
    /// @return until Seconds; when all of it is ripe.
    function warming(bytes32 account) external view returns (uint256 amount, uint256 ripe, uint256 until);
    /// @notice That of all accounts.
    /// @return total WAD, with roundings.
    /// @return index Falls from 1e18 when the loss order cuts profit.
    /// @return generation Of shares in it: what is of an older one is gone.
    /// @return period Seconds that new profit warms for.
    function warmings()
        external
        view
        returns (uint256 total, uint256 index, uint256 generation, uint256 period);
    function row(bytes32 account, uint256 assetId) external view returns (Row memory);
    /// @notice With all costs up to now.
    function position(bytes32 account, uint256 instrumentId) external view returns (Position memory);
    /// @notice Assets whose rows the account has opened (never settlement tokens, which become cash).
    function assetsOf(bytes32 account) external view returns (uint256[] memory);
    /// @notice Instruments in which the account has a size or an unsettled quote.
    function instrumentsOf(bytes32 account) external view returns (uint256[] memory);
    /// @notice Matured and not released at this asset's vault, less booked losses (WAD tokens): for a settlement token, the cash it backs.
    function backing(uint256 assetId) external view returns (uint256);
    /// @notice Of an asset, token decimals. Something is missing while `net` − `written` is below `claims`, or `shortfall` above `written`.
    function vaulted(uint256 assetId)
        external
        view
        returns (int256 net, uint256 claims, uint128 written, uint128 shortfall, uint128 returned);
    /// @notice As of the last `watch`; `fadeFrom` and `fadeUntil` as in LivenessChanged.
    function livenessOf(uint256 assetId)
        external
        view
        returns (Liveness liveness, uint32 fadeFrom, uint32 fadeUntil);
    /// @notice What the account left with in kind at that vault and has not taken yet, and what all accounts have (token decimals): part of
    /// `vaulted`'s net, and of no backing.
    function keptOf(bytes32 account, uint256 assetId) external view returns (uint256 kept, uint256 all);
    /// @notice IdList of settlement tokens' assets whose chain is suspect: while there is one, cash leaves in kind.
    function suspectAssets() external view returns (uint256);
    /// @return total Σ positive cash of all accounts, and what was rounded off (WAD), with interest up to now.
    /// @return index What cuts and interest have made of a unit of cash that was there from the start, which is 1e18.
    function totalCash() external view returns (uint256 total, uint256 index);
    /// @notice Σ negative cash, what may be lent and at what rate.
    function lending() external view returns (Lent memory);
    /// @notice Initial margin (WAD) without any unpaid profit of the account as a whole: on it stands what leaves, or new risk, while cash is negative.
    function marginWithoutProfit(bytes32 account) external view returns (int256);
    /// @notice What a unit of cash and of debt has become by now: 1e18 at the start.
    function cashIndices() external view returns (uint256 cashIndex, uint256 debtIndex);
    /// @notice Σ backing of settlement tokens (WAD).
    function totalBacking() external view returns (uint128);
    /// @notice Other side of the positions that `settleExpired` has closed (WAD), and what roundings have left of a side that nobody holds any more: sums
    /// of sizes and quotes count it.
    function houseRow(uint256 instrumentId) external view returns (int256 size, int256 quote);
    function pnlPool(uint256 instrumentId) external view returns (uint256);
    /// @notice Longs and shorts, WAD base units. Equal at all times.
    function openInterest(uint256 instrumentId) external view returns (uint256 long, uint256 short);
    /// @notice Cash that no backing stands behind, after account and fund (WAD). Negative: backing that waits for those who are owed at a vault.
    function lostBacking() external view returns (int256);
}
