// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @notice A venue on any chain that takes allocations of accounts' collateral, by a VenueGateway of its own.
interface IVenue {
    /// @notice `amount` of `token` (token decimals) has just come for `account`. Only from the venue's gateway. A revert refuses it: it is undone,
    /// and after a day goes back to the account. It gets at least 400,000 gas.
    function onAllocation(bytes32 account, address token, uint256 amount) external;
}

/// @notice What a venue has of accounts: it comes as releases whose recipient is this contract, and goes back as deposits.
interface IVenueGateway {
    /// @param epoch Of the vault that paid.
    event Allocated(uint32 indexed epoch, bytes32 indexed account, address indexed token, uint256 amount);
    /// @notice The venue took nothing, or its cap is reached: the day begins after which the allocation goes back.
    event Refused(uint32 indexed epoch, bytes32 indexed account, address indexed token, uint256 amount);
    event Returned(uint32 indexed epoch, bytes32 indexed account, address indexed token, uint256 amount);
    event GivenBack(bytes32 indexed account, address indexed token, uint256 amount);

    /// @notice Hands the venue what a vault has paid for an account and nobody has handed over yet. Where the venue refuses, and has for a day, it is
    /// deposited for the account. Anyone.
    /// @return taken Whether the venue took it.
    function offer(uint32 epoch, bytes32 account, address token) external returns (bool taken);

    /// @notice Takes `amount` from the venue and deposits it for the account, profit included. Venue only.
    function giveBack(bytes32 account, address token, uint256 amount) external;

    /// @notice What a vault has paid here for an account, and neither reached the venue nor went back. Token decimals.
    function pending(uint32 epoch, bytes32 account, address token) external view returns (uint256);

    /// @notice What the venue has been handed less what it gave back, never below 0. Token decimals.
    function outstanding(address token) external view returns (uint256);
}
