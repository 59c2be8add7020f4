// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Nonces} from "@openzeppelin/contracts/utils/Nonces.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {Test} from "forge-std/Test.sol";
import {ICollateralVault} from "../../src/interfaces/ICollateralVault.sol";
import {Accounts} from "../../src/libraries/Accounts.sol";
import {TestToken} from "../../src/mocks/TestToken.sol";
import {CollateralVault} from "../../src/spoke/CollateralVault.sol";
import {HookToken, IHooked, PhantomToken, RebasingToken, SilentToken} from "./Tokens.sol";

/// @notice Signs for whatever its owner says, as a smart wallet does (ERC-1271).
contract Wallet {
    bytes32 public approved;

    function approve(bytes32 hash) external {
        approved = hash;
    }

    function isValidSignature(bytes32 hash, bytes calldata) external view returns (bytes4) {
        return hash == approved ? this.isValidSignature.selector : bytes4(0);
    }

    function allow(TestToken token, address spender) external {
        token.approve(spender, type(uint256).max);
    }
}

contract DepositsTest is Test, IHooked {
    bytes32 private constant PERMIT_TYPEHASH =
        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");

    address private immutable governance = makeAddr("governance");
    address private immutable gateway = makeAddr("gateway");
    address private immutable stranger = makeAddr("stranger");
    address private alice;
    uint256 private key;
    bytes32 private account;
    CollateralVault private vault;
    TestToken private token;

    function setUp() public {
        (alice, key) = makeAddrAndKey("alice");
        account = Accounts.main(alice);
        vault = new CollateralVault(governance, gateway, 1, "network", ICollateralVault(address(0)));
        token = new TestToken("Dollar", "USDC", 6);
        _list(address(token));
        token.mint(alice, 100e6);
    }

    /* PERMITS */

    function test_permit_of_the_caller() public {
        ICollateralVault.Permit memory permit = _permit(10e6);
        vm.prank(alice);
        assertEq(vault.depositWithPermit(account, address(token), 10e6, permit), 10e6);
        assertEq(token.balanceOf(address(vault)), 10e6);
    }

    function test_a_permit_used_by_somebody_else_is_no_obstacle() public {
        ICollateralVault.Permit memory p = _permit(10e6);
        vm.prank(stranger);
        token.permit(alice, address(vault), 10e6, p.deadline, p.v, p.r, p.s);
        vm.prank(alice);
        assertEq(vault.depositWithPermit(account, address(token), 10e6, p), 10e6);
    }

    /// @dev What a stranger sees of a permit gives him nothing: it is the caller's allowance that counts.
    function test_a_stranger_gains_nothing_by_a_permit() public {
        ICollateralVault.Permit memory p = _permit(10e6);
        vm.prank(stranger);
        vm.expectRevert();
        vault.depositWithPermit(Accounts.main(stranger), address(token), 10e6, p);
        assertEq(token.balanceOf(alice), 100e6);
    }

    function test_permit_refuses() public {
        ICollateralVault.Permit memory p = _permit(10e6);
        vm.startPrank(alice);
        vm.expectRevert(CollateralVault.ZeroAmount.selector);
        vault.depositWithPermit(account, address(token), 0, p);
        vm.expectRevert(abi.encodeWithSelector(CollateralVault.TokenNotListed.selector, stranger));
        vault.depositWithPermit(account, stranger, 10e6, p);
        vm.expectRevert(); // the token's own: neither permit nor allowance
        vault.depositWithPermit(account, address(token), 10e6 + 1, p);
        vm.stopPrank();
        vm.prank(governance);
        vault.seal();
        vm.prank(alice);
        vm.expectRevert(CollateralVault.VaultSealed.selector);
        vault.depositWithPermit(account, address(token), 10e6, p);
    }

    /* SIGNED DEPOSITS */

    function test_anyone_submits_what_the_depositor_signed() public {
        ICollateralVault.SignedDeposit memory d = _signedDeposit(10e6);
        (bytes memory signature, ICollateralVault.Permit memory p) = (_sign(d), _permit(10e6));
        vm.expectEmit(address(vault));
        emit ICollateralVault.Deposited(account, address(token), alice, 10e6, 10e6);
        vm.prank(stranger);
        assertEq(vault.depositBySignature(d, signature, p), 10e6);
        vm.expectRevert(abi.encodeWithSelector(Nonces.InvalidAccountNonce.selector, alice, 1));
        vault.depositBySignature(d, signature, p);
        assertEq(vault.depositedIn(account, address(token)), 10e6);
    }

    function test_signed_deposit_with_a_used_permit() public {
        ICollateralVault.SignedDeposit memory d = _signedDeposit(10e6);
        ICollateralVault.Permit memory p = _permit(10e6);
        vm.prank(stranger);
        token.permit(alice, address(vault), 10e6, p.deadline, p.v, p.r, p.s);
        vault.depositBySignature(d, _sign(d), p);
        assertEq(vault.depositedIn(account, address(token)), 10e6);
    }

    /// @dev Every field is signed: another account, token, amount, nonce, deadline or vault is refused.
    function test_nothing_of_it_can_be_changed() public {
        vm.prank(alice);
        token.approve(address(vault), type(uint256).max);
        TestToken other = new TestToken("Other", "OTH", 6);
        _list(address(other));
        ICollateralVault.SignedDeposit memory d = _signedDeposit(10e6);
        bytes memory signature = _sign(d);
        ICollateralVault.Permit memory none;
        for (uint256 i; i < 5; ++i) {
            d = _signedDeposit(10e6);
            if (i == 0) d.account = Accounts.main(stranger);
            else if (i == 1) d.token = address(other);
            else if (i == 2) d.amount = 11e6;
            else if (i == 3) d.deadline += 1;
            else d.depositor = stranger;
            vm.expectRevert(abi.encodeWithSelector(CollateralVault.BadSignature.selector, d.depositor));
            vault.depositBySignature(d, signature, none);
        }
        d = _signedDeposit(10e6);
        d.nonce = 1;
        vm.expectRevert(abi.encodeWithSelector(Nonces.InvalidAccountNonce.selector, alice, 0));
        vault.depositBySignature(d, signature, none);
        d.nonce = 0;
        CollateralVault another =
            new CollateralVault(governance, gateway, 1, "another network", ICollateralVault(address(0)));
        assertNotEq(another.depositHash(d), vault.depositHash(d));
        vm.expectRevert(abi.encodeWithSelector(CollateralVault.BadSignature.selector, alice));
        another.depositBySignature(d, signature, none);
        vm.warp(d.deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(CollateralVault.DepositExpired.selector, d.deadline));
        vault.depositBySignature(d, signature, none);
    }

    /// @dev A token that answers to everything makes any permit pass: a standing allowance is still the depositor's alone.
    function test_a_phantom_permit_moves_nothing() public {
        PhantomToken phantom = new PhantomToken();
        _list(address(phantom));
        phantom.mint(alice, 1e18);
        vm.prank(alice);
        phantom.approve(address(vault), type(uint256).max);
        ICollateralVault.SignedDeposit memory d = ICollateralVault.SignedDeposit(
            alice, Accounts.main(stranger), address(phantom), 1e18, 0, block.timestamp
        );
        ICollateralVault.Permit memory none;
        vm.startPrank(stranger);
        vm.expectRevert(abi.encodeWithSelector(CollateralVault.BadSignature.selector, alice));
        vault.depositBySignature(d, hex"", none);
        vm.expectRevert();
        vault.depositWithPermit(Accounts.main(stranger), address(phantom), 1e18, none);
        assertEq(phantom.balanceOf(alice), 1e18);
    }

    function test_a_smart_wallet_signs_by_itself() public {
        Wallet wallet = new Wallet();
        token.mint(address(wallet), 10e6);
        wallet.allow(token, address(vault));
        ICollateralVault.SignedDeposit memory d = _signedDeposit(10e6);
        d.depositor = address(wallet);
        ICollateralVault.Permit memory none;
        vm.expectRevert(abi.encodeWithSelector(CollateralVault.BadSignature.selector, address(wallet)));
        vault.depositBySignature(d, hex"", none);
        wallet.approve(vault.depositHash(d));
        assertEq(vault.depositBySignature(d, hex"", none), 10e6);
    }

    /* TOKENS */

    function test_decimals_are_the_tokens_own() public {
        uint8[3] memory decimals = [6, 8, 18];
        for (uint256 i; i < 3; ++i) {
            TestToken t = new TestToken("T", "T", decimals[i]);
            uint256 unit = 10 ** decimals[i];
            _list(address(t));
            t.mint(address(this), 3 * unit);
            t.approve(address(vault), 3 * unit);
            vault.deposit(account, address(t), 3 * unit);
            vm.prank(gateway);
            vault.receiveRelease(account, address(t), alice, uint128(unit), uint128(3 * unit), 1);
            assertEq(t.balanceOf(alice), unit);
            (uint128 totalIn, uint128 totalOut,) = vault.totals(address(t));
            assertEq(totalIn - totalOut, 2 * unit);
        }
    }

    function test_a_token_that_answers_nothing() public {
        SilentToken silent = new SilentToken();
        _list(address(silent));
        silent.mint(address(this), 10e6);
        silent.approve(address(vault), 10e6);
        vault.deposit(account, address(silent), 10e6);
        vm.prank(gateway);
        vault.receiveRelease(account, address(silent), alice, 4e6, 10e6, 1);
        assertEq(silent.balanceOf(alice), 4e6);
    }

    /// @dev Growth is nobody's, shrinking is a shortfall, and what arrives rounded isn't taken at all.
    function test_a_rebasing_token() public {
        RebasingToken rebasing = new RebasingToken();
        _list(address(rebasing));
        rebasing.mint(address(this), 10e18);
        rebasing.approve(address(vault), type(uint256).max);
        vault.deposit(account, address(rebasing), 1e18);
        rebasing.setIndex(2e18);
        assertEq(rebasing.balanceOf(address(vault)), 2e18);
        (uint128 totalIn,, uint128 shortfall) = vault.totals(address(rebasing));
        assertEq(totalIn, 1e18);
        assertEq(shortfall, 0);
        rebasing.setIndex(0.75e18);
        (,, shortfall) = vault.totals(address(rebasing));
        assertEq(shortfall, 0.25e18);
        rebasing.setIndex(1.3e18);
        vm.expectRevert(abi.encodeWithSelector(CollateralVault.AmountMismatch.selector, 1e18 - 1, 1e18));
        vault.deposit(account, address(rebasing), 1e18);
    }

    /// @dev Who gives the vault tokens moves no counter, neither before nor while somebody deposits.
    function testFuzz_gifts_inflate_nothing(uint64 gift, uint64 amount) public {
        amount = uint64(bound(amount, 1, 100e6));
        token.mint(address(vault), gift);
        vm.startPrank(alice);
        token.approve(address(vault), amount);
        assertEq(vault.deposit(account, address(token), amount), amount);
        (uint128 totalIn, uint128 totalOut, uint128 shortfall) = vault.totals(address(token));
        assertEq(totalIn, amount);
        assertEq(totalOut + shortfall, 0);
    }

    function test_extremes() public {
        vm.expectRevert(abi.encodeWithSelector(CollateralVault.NoOwner.selector, bytes32(uint256(7))));
        vault.deposit(bytes32(uint256(7)), address(token), 1);
        token.mint(address(this), type(uint256).max - 100e6);
        token.approve(address(vault), type(uint256).max);
        uint256 above = uint256(type(uint128).max) + 1;
        vm.expectRevert(abi.encodeWithSelector(SafeCast.SafeCastOverflowedUintDowncast.selector, 128, above));
        vault.deposit(account, address(token), above);
        assertEq(vault.deposit(account, address(token), type(uint128).max), type(uint128).max);
        vm.expectRevert(); // the counter is full
        vault.deposit(account, address(token), 1);
    }

    /* RE-ENTRANCE */

    bytes private _reentry;
    bytes private _reverted;

    function onTokenSent(address, uint256) external {
        if (_reentry.length != 0) (, _reverted) = address(vault).call(_reentry);
    }

    function test_no_reentrance() public {
        HookToken hook = new HookToken();
        _list(address(hook));
        hook.mint(address(this), 10e18);
        hook.approve(address(vault), type(uint256).max);
        ICollateralVault.Permit memory none;
        bytes[3] memory calls = [
            abi.encodeCall(vault.deposit, (account, address(hook), 1)),
            abi.encodeCall(vault.depositWithPermit, (account, address(hook), 1, none)),
            abi.encodeCall(vault.depositBySignature, (_signedDeposit(1), hex"", none))
        ];
        for (uint256 i; i < 3; ++i) {
            _reentry = calls[i];
            vault.deposit(account, address(hook), 1e18);
            assertEq(
                _reverted,
                abi.encodeWithSelector(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector)
            );
        }
        assertEq(vault.depositedIn(account, address(hook)), 3e18);
    }

    /* HELPERS */

    function _list(address t) private {
        vm.prank(governance);
        vault.setListed(t, true);
    }

    function _signedDeposit(uint256 amount) private view returns (ICollateralVault.SignedDeposit memory) {
        return ICollateralVault.SignedDeposit({
            depositor: alice,
            account: account,
            token: address(token),
            amount: amount,
            nonce: 0,
            deadline: 1000
        });
    }

    function _sign(ICollateralVault.SignedDeposit memory d) private view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, vault.depositHash(d));
        return abi.encodePacked(r, s, v);
    }

    function _permit(uint256 amount) private view returns (ICollateralVault.Permit memory) {
        bytes32 structHash =
            keccak256(abi.encode(PERMIT_TYPEHASH, alice, address(vault), amount, token.nonces(alice), 1000));
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), structHash));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return ICollateralVault.Permit(1000, v, r, s);
    }
}
