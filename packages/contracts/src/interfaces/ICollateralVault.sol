// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @notice Custody on one chain. Owns depositedIn and paidOut; pays only what the hub has released. Token decimals throughout.
interface ICollateralVault {
    /// @notice A deposit that the depositor signs (EIP-712) and anyone may submit.
    struct SignedDeposit {
        address depositor;
        bytes32 account;
        address token;
        /// Token decimals.
        uint256 amount;
        /// The depositor's next one (`nonces`).
        uint256 nonce;
        /// Seconds; last second in which it counts.
        uint256 deadline;
    }

    /// @notice An ERC-2612 permit for this vault to take the deposit's amount.
    struct Permit {
        uint256 deadline;
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    event Deposited(
        bytes32 indexed account,
        address indexed token,
        address indexed from,
        uint256 amount,
        uint128 depositedIn
    );
    event ReleaseReceived(
        bytes32 indexed account,
        address indexed token,
        address indexed recipient,
        uint128 released,
        uint64 time
    );
    event PaidOut(
        bytes32 indexed account,
        address indexed token,
        address indexed recipient,
        uint256 amount,
        uint128 paidOut
    );
    event PayoutFailed(
        bytes32 indexed account, address indexed token, address indexed recipient, uint256 amount
    );

    event Redirected(address indexed token, address indexed recipient, address to);

    /// @notice Credits the balance change to the account; reverts if it is not exactly `amount` (fee-on-transfer and rebasing tokens).
    function deposit(bytes32 account, address token, uint256 amount) external returns (uint128 depositedIn);

    /// @notice The same with the caller's permit. One that was used before, or that the token doesn't know, is passed over: the allowance counts.
    function depositWithPermit(bytes32 account, address token, uint256 amount, Permit calldata permit)
        external
        returns (uint128 depositedIn);

    /// @notice A deposit of whoever signed it, into the account it names, submitted by anyone. An ERC-1271 contract signs as such.
    function depositBySignature(
        SignedDeposit calldata signedDeposit,
        bytes calldata signature,
        Permit calldata permit
    ) external returns (uint128 depositedIn);

    /// @notice EIP-712 digest of what a depositor signs.
    function depositHash(SignedDeposit calldata signedDeposit) external view returns (bytes32);

    /// @notice Only SpokeGateway. Newest time wins, ties by larger value; then pays what is owed, skipping payouts that fail.
    function receiveRelease(
        bytes32 account,
        address token,
        address recipient,
        uint128 released,
        uint128 creditedTotal,
        uint64 time
    ) external;

    /// @notice Pays what is owed, not yet paid and within the token's limits by now: anyone may push the rest of a payout. Returns 0 when that is
    /// nothing, payouts are halted, or the vault's own total is below the hub's credited total.
    function pay(bytes32 account, address token, address recipient) external returns (uint256 amount);

    /// @notice From now on the caller's payouts of a token, what is still owed included, go to `to`; back to itself if that is the caller. They
    /// stay counted under the caller.
    function redirect(address token, address to) external;

    /// @notice Where a recipient's payouts of a token go.
    function recipientOf(address token, address recipient) external view returns (address);

    function depositedIn(bytes32 account, address token) external view returns (uint128);
    function paidOut(bytes32 account, address token, address recipient) external view returns (uint128);
    /// @notice Newest release counter and its time.
    function released(bytes32 account, address token, address recipient)
        external
        view
        returns (uint128 value, uint64 time);
    /// @notice Sums over accounts, and shortfall = max(0, in − out − balance).
    function totals(address token)
        external
        view
        returns (uint128 totalIn, uint128 totalOut, uint128 shortfall);
    function epoch() external view returns (uint32);
    /// @notice It takes no deposits any more, for good: its counters of deposits are final, and its successor may open.
    function isSealed() external view returns (bool);
}
