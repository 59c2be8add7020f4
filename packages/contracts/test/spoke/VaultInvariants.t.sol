// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Test} from "forge-std/Test.sol";
import {ICollateralVault} from "../../src/interfaces/ICollateralVault.sol";
import {CollateralVault} from "../../src/spoke/CollateralVault.sol";
import {UnrulyToken} from "./Tokens.sol";

/// @notice A hub of any kind: it sends any counter at any time in any order, while tokens misbehave and vanish.
contract VaultHandler is Test {
    CollateralVault public immutable vault;
    UnrulyToken public immutable token;
    uint256 public deposited;
    /// @dev Largest value ever received, by account and recipient.
    mapping(bytes32 account => mapping(address recipient => uint128)) public largest;

    constructor() {
        token = new UnrulyToken();
        vault = new CollateralVault(address(this), address(this), 1, "network", ICollateralVault(address(0)));
        vault.setListed(address(token), true);
        token.approve(address(vault), type(uint256).max);
    }

    function account(uint256 i) public pure returns (bytes32) {
        return bytes32(bytes20(address(uint160(0x10 + (i % 3)))));
    }

    function recipient(uint256 i) public pure returns (address) {
        return address(uint160(0x1000 + (i % 3)));
    }

    function deposit(uint256 a, uint64 amount) external {
        amount = uint64(bound(amount, 1, 1e12));
        token.mint(address(this), amount);
        vault.deposit(account(a), address(token), amount);
        deposited += amount;
    }

    function release(uint256 a, uint256 r, uint64 value, uint64 credited, uint8 time) external {
        value = uint64(bound(value, 0, 3e12));
        if (value > largest[account(a)][recipient(r)]) largest[account(a)][recipient(r)] = value;
        vault.receiveRelease(
            account(a),
            address(token),
            recipient(r),
            value,
            uint64(bound(credited, 0, deposited + 1e11)),
            time
        );
    }

    function pay(uint256 a, uint256 r) external {
        (uint128 released,) = vault.released(account(a), address(token), recipient(r));
        uint128 before = vault.paidOut(account(a), address(token), recipient(r));
        uint256 amount = vault.pay(account(a), address(token), recipient(r));
        if (amount != 0) assertEq(before + amount, released, "paid up to the counter, no further");
    }

    function misbehave(uint256 r, uint8 manner) external {
        token.setManner(recipient(r), UnrulyToken.Manner(manner % 4));
    }

    function vanish(uint64 amount) external {
        token.burn(address(vault), bound(amount, 0, token.balanceOf(address(vault)) / 10));
    }
}

contract VaultInvariantsTest is Test {
    VaultHandler private handler;
    CollateralVault private vault;
    UnrulyToken private token;

    function setUp() public {
        handler = new VaultHandler();
        vault = handler.vault();
        token = handler.token();
        targetContract(address(handler));
    }

    function invariant_nothing_is_paid_beyond_what_was_released() public view {
        uint256 paid;
        for (uint256 r; r < 3; ++r) {
            uint256 toRecipient;
            for (uint256 a; a < 3; ++a) {
                uint128 out = vault.paidOut(handler.account(a), address(token), handler.recipient(r));
                assertLe(out, handler.largest(handler.account(a), handler.recipient(r)), "released");
                toRecipient += out;
            }
            assertEq(token.balanceOf(handler.recipient(r)), toRecipient, "what was counted is what arrived");
            paid += toRecipient;
        }
        (uint128 totalIn, uint128 totalOut, uint128 shortfall) = vault.totals(address(token));
        assertEq(totalIn, handler.deposited());
        assertEq(totalOut, paid);
        assertEq(totalIn - totalOut, token.balanceOf(address(vault)) + shortfall);
    }
}
