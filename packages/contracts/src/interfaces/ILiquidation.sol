// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @notice Share auction of accounts whose maintenance margin is broken.
interface ILiquidationAuction {
    struct Auction {
        /// Seconds; from which the price falls. 0: no auction.
        uint64 startedAt;
        /// Seconds; when it last ended, cured or emptied; 0: never. Reopened within an hour it resumes its price.
        uint64 endedAt;
        /// It opened, or turned, insolvent: the loss is knowable, and the fund's exits wait.
        bool insolvent;
    }

    event AuctionStarted(bytes32 indexed account, uint64 startedAt, int256 equity, int256 mm, bool insolvent);
    /// @param emptied Nothing but cash is left to offer: all was taken, or its owner closed it. Else it was cured.
    event AuctionEnded(bytes32 indexed account, bool emptied);
    /// @param equity Just before, of all that is offered of the account, WAD.
    /// @param bufferBefore Margin above the buffer of the account just before, WAD: below zero.
    /// @param bufferAfter Margin above the buffer of what is left, WAD: at most dust above zero, unless all was taken.
    event Bid(
        bytes32 indexed account,
        bytes32 indexed bidder,
        uint256 fraction,
        uint256 payment,
        uint256 fromFund,
        int256 equity,
        int256 bufferBefore,
        int256 bufferAfter
    );

    /// @notice Starts auctions for those of `accounts` that are liquidatable now and have none. Anyone.
    /// @param report PriceOracle report to store first, or empty. One that isn't newer is no obstacle.
    /// @return started How many auctions it started.
    function updateAndStart(bytes calldata report, bytes32[] calldata accounts)
        external
        returns (uint256 started);

    /// @notice Ends an auction whose account is healthy again. Anyone.
    function end(bytes32 account) external;

    /// @notice Brings an open auction to its account's present state: ended if healthy, marked insolvent or not. Anyone.
    function sync(bytes32 account) external;

    /// @notice Takes up to `fraction` (WAD) of the account for `bidder` (caller must control it); never past the buffer.
    /// @param maxPayment Most cash (WAD) to pay for the fraction actually taken, the fund's fee included. Payment is 0 when insolvent.
    /// @return taken Fraction taken (WAD).
    function bid(bytes32 account, bytes32 bidder, uint256 fraction, uint256 maxPayment)
        external
        returns (uint256 taken, uint256 payment, uint256 fromFund);

    /// @notice Price of the whole account now, as a WAD share of equity (solvent), and what the fund pays for all of it (insolvent).
    function quote(bytes32 account)
        external
        view
        returns (uint256 share, uint256 fromFund, uint256 maxFraction);

    function auction(bytes32 account) external view returns (Auction memory);

    /// @notice What the fund gets of what a bidder pays for a solvent account, WAD share.
    function feeShare() external view returns (uint256);

    /// @notice Open insolvent auctions.
    function insolventCount() external view returns (uint256);
}

/// @notice The fund's own book: takes what nobody bids for.
interface IBackstop {
    /// @dev `equity`, `bufferBefore` and `bufferAfter` as in ILiquidationAuction.Bid.
    event TakenOver(
        bytes32 indexed account,
        uint256 fraction,
        uint256 payment,
        uint256 fromFund,
        uint256 socialised,
        int256 equity,
        int256 bufferBefore,
        int256 bufferAfter
    );
    event CollateralReleased(uint256 indexed assetId, uint128 amount, address executor);

    /// @notice After the auction's window: takes the account (solvent: the fraction up to the buffer, at the floor price, paid by the fund;
    /// insolvent: all of it, the deficit paid by the fund, the rest charged to the other side). Anyone.
    function takeOver(bytes32 account) external;

    /// @notice Releases the backstop's claims of an asset to the LiquidationExecutor of its chain. Anyone.
    function releaseCollateral(uint256 assetId) external returns (uint128 amount);

    /// @notice Moves the backstop's spare cash to the fund. Anyone.
    function sweep() external returns (uint256 amount);

    /// @notice Moves cash of the fund to the backstop while its equity, or its cash, is negative: its deficit is the fund's. Anyone.
    function cover() external returns (uint256 amount);

    /// @notice WAD; what released collateral was worth when it was released, fading in the time that its sale may take. The hub
    /// doesn't see the sale, only proceeds: meanwhile some may count twice.
    function unsold() external view returns (uint256);

    function account() external view returns (bytes32);
}

/// @notice Sells the backstop's collateral where it lies, for the settlement token, in a Dutch auction with an oracle floor; proceeds are deposited.
interface ILiquidationExecutor {
    event LotOpened(address indexed token, uint256 amount, uint64 startedAt);
    event LotSold(address indexed token, address indexed buyer, uint256 amount, uint256 proceeds);

    /// @notice Starts selling the executor's balance of the token. Anyone.
    function open(address token) external;

    /// @notice Buys up to `amount` (token decimals) for at most `maxProceeds` (settlement token decimals); proceeds go into the vault for the backstop's account.
    function buy(address token, uint256 amount, uint256 maxProceeds)
        external
        returns (uint256 bought, uint256 proceeds);

    /// @notice The same for a contract that pays out of what it buys: it gets the tokens, is called (ILotBuyer), and pays then, by an allowance.
    /// @param data Handed through.
    function buyWithCallback(address token, uint256 amount, uint256 maxProceeds, bytes calldata data)
        external
        returns (uint256 bought, uint256 proceeds);

    /// @notice Settlement token units for `amount` now, rounded up; reverts when no lot is open or the price isn't fresh.
    function quote(address token, uint256 amount) external view returns (uint256 proceeds);
}

/// @notice Who buys a lot before paying for it.
interface ILotBuyer {
    /// @notice `bought` of `token` has just come; when this returns the executor takes `proceeds` of the settlement token. Only from an executor that
    /// the buyer has called.
    function onLotBought(address token, uint256 bought, uint256 proceeds, bytes calldata data) external;
}
