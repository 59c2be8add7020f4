// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {AccountSignatures} from "../../src/hub/AccountSignatures.sol";
import {SignedOrders} from "../../src/hub/SignedOrders.sol";
import {Venue} from "../../src/hub/Venue.sol";
import {Accounts} from "../../src/libraries/Accounts.sol";
import {HubFixture} from "./HubFixture.sol";

/// @notice A contract account that signs whatever hash it was told to.
contract WalletDouble is IERC1271 {
    bytes32 public accepted;

    function accept(bytes32 hash) external {
        accepted = hash;
    }

    function isValidSignature(bytes32 hash, bytes memory) external view returns (bytes4) {
        return hash == accepted ? IERC1271.isValidSignature.selector : bytes4(0);
    }
}

contract VenueTest is HubFixture {
    Venue internal book;
    uint256 internal aliceKey;
    uint256 internal bobKey;

    function setUp() public override {
        super.setUp();
        (, aliceKey) = makeAddrAndKey("alice");
        (, bobKey) = makeAddrAndKey("bob");
        book = new Venue(hub, keccak256("network"));
        hub.setVenue(address(book), true);
        venue = address(book);
        _approve(alice);
        _approve(bob);
        fundCash(aliceAccount, 10_000);
        fundCash(bobAccount, 10_000);
    }

    function _order(bytes32 account, int256 size, uint256 limit)
        internal
        view
        returns (SignedOrders.Order memory)
    {
        return SignedOrders.Order(account, ETH_PERP, size, limit, uint64(block.timestamp + 60), 1, address(0));
    }

    function _sign(uint256 key, SignedOrders.Order memory order) internal view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, book.orderHash(order));
        return abi.encodePacked(r, s, v);
    }

    function _match(SignedOrders.Order memory a, SignedOrders.Order memory b, uint256 size, uint256 price)
        internal
    {
        book.matchOrders(a, _sign(aliceKey, a), b, _sign(bobKey, b), size, price);
    }

    function test_matchesInEitherOrderAndPartially() public {
        SignedOrders.Order memory buy = _order(aliceAccount, 3e18, 2010e18);
        SignedOrders.Order memory sell = _order(bobAccount, -2e18, 1990e18);
        _match(buy, sell, 1.5e18, 2000e18);
        book.matchOrders(sell, _sign(bobKey, sell), buy, _sign(aliceKey, buy), 0.5e18, 1995e18);
        assertEq(hub.position(aliceAccount, ETH_PERP).size, 2e18);
        assertEq(book.filled(book.orderHash(buy)), 2e18);
        bytes memory buySignature = _sign(aliceKey, buy);
        bytes memory sellSignature = _sign(bobKey, sell);
        vm.expectRevert(abi.encodeWithSelector(SignedOrders.Overfilled.selector, book.orderHash(sell), 0));
        book.matchOrders(buy, buySignature, sell, sellSignature, 0.5e18, 2000e18);
    }

    function _expectRefusal(
        SignedOrders.Order memory a,
        SignedOrders.Order memory b,
        uint256 price,
        bytes4 selector
    ) internal {
        bytes memory signatureA = _sign(aliceKey, a);
        bytes memory signatureB = _sign(bobKey, b);
        vm.expectPartialRevert(selector);
        book.matchOrders(a, signatureA, b, signatureB, 1e18, price);
    }

    function test_refusals() public {
        SignedOrders.Order memory buy = _order(aliceAccount, 3e18, 2010e18);
        SignedOrders.Order memory sell = _order(bobAccount, -2e18, 1990e18);
        _expectRefusal(buy, sell, 2010e18 + 1, SignedOrders.OutsideLimit.selector);
        _expectRefusal(buy, sell, 1990e18 - 1, SignedOrders.OutsideLimit.selector);
        _expectRefusal(buy, _order(bobAccount, 2e18, 1990e18), 2000e18, SignedOrders.SameSide.selector);
        SignedOrders.Order memory other = _order(bobAccount, -2e18, 1990e18);
        other.instrumentId = BTC_PERP;
        _expectRefusal(buy, other, 2000e18, SignedOrders.InstrumentMismatch.selector);
        _expectRefusal(
            buy, _order(aliceAccount, -2e18, 1990e18), 2000e18, AccountSignatures.BadSignature.selector
        );
        vm.warp(block.timestamp + 61);
        _expectRefusal(buy, sell, 2000e18, SignedOrders.Expired.selector);
    }

    function test_aChangedOrderHasNoSignature() public {
        SignedOrders.Order memory buy = _order(aliceAccount, 3e18, 2010e18);
        SignedOrders.Order memory sell = _order(bobAccount, -2e18, 1990e18);
        bytes memory buySignature = _sign(aliceKey, buy);
        bytes memory sellSignature = _sign(bobKey, sell);
        buy.limitPrice = 2020e18;
        _expectBadSignature(buy, buySignature, sell, sellSignature);
        buy = _order(aliceAccount, 3e18, 2010e18);
        ++buy.nonce;
        _expectBadSignature(buy, buySignature, sell, sellSignature);
        buy = _order(aliceAccount, 3e18, 2010e18);
        ++buy.expiry;
        _expectBadSignature(buy, buySignature, sell, sellSignature);
        buy = _order(aliceAccount, 3e18, 2010e18);
        buy.matcher = address(this);
        _expectBadSignature(buy, buySignature, sell, sellSignature);
    }

    function _expectBadSignature(
        SignedOrders.Order memory buy,
        bytes memory buySignature,
        SignedOrders.Order memory sell,
        bytes memory sellSignature
    ) private {
        vm.expectPartialRevert(AccountSignatures.BadSignature.selector);
        book.matchOrders(buy, buySignature, sell, sellSignature, 1e18, 2000e18);
    }

    function test_networksDoNotShareOrders() public {
        Venue twin = new Venue(hub, keccak256("other network"));
        SignedOrders.Order memory buy = _order(aliceAccount, 3e18, 2010e18);
        assertNotEq(twin.orderHash(buy), book.orderHash(buy));
        assertNotEq(twin.domainSeparator(), book.domainSeparator());
        (bytes1 fields,,, uint256 chainId, address verifying, bytes32 salt,) = book.eip712Domain();
        assertEq(fields, bytes1(0x1f));
        assertEq(chainId, block.chainid);
        assertEq(verifying, address(book));
        assertEq(salt, keccak256("network"));
    }

    function test_onlyControllersCancel() public {
        SignedOrders.Order memory buy = _order(aliceAccount, 3e18, 2010e18);
        vm.prank(bob);
        vm.expectRevert(AccountSignatures.NotController.selector);
        book.cancel(buy);
        vm.prank(alice);
        book.cancel(buy);
        _expectRefusal(buy, _order(bobAccount, -2e18, 1990e18), 2000e18, SignedOrders.Overfilled.selector);
    }

    function test_onlyTheMatcherThatAnOrderNames() public {
        SignedOrders.Order memory buy = _order(aliceAccount, 3e18, 2010e18);
        SignedOrders.Order memory sell = _order(bobAccount, -2e18, 1990e18);
        sell.matcher = makeAddr("matcher");
        _expectRefusal(buy, sell, 2000e18, SignedOrders.NotMatcher.selector);
        bytes memory buySignature = _sign(aliceKey, buy);
        bytes memory sellSignature = _sign(bobKey, sell);
        vm.prank(sell.matcher);
        book.matchOrders(buy, buySignature, sell, sellSignature, 1e18, 2000e18);
        assertEq(hub.position(bobAccount, ETH_PERP).size, -1e18);
    }

    function test_delegatesSign() public {
        vm.prank(alice);
        hub.setDelegate(aliceAccount, bob, true);
        SignedOrders.Order memory buy = _order(aliceAccount, 3e18, 2010e18);
        SignedOrders.Order memory sell = _order(bobAccount, -2e18, 1990e18);
        book.matchOrders(buy, _sign(bobKey, buy), sell, _sign(bobKey, sell), 1e18, 2000e18);
        assertEq(hub.position(aliceAccount, ETH_PERP).size, 1e18);
    }

    function test_contractOwnersSign() public {
        WalletDouble wallet = new WalletDouble();
        bytes32 account = Accounts.main(address(wallet));
        fundCash(account, 10_000);
        vm.prank(address(wallet));
        hub.approveVenue(account, venue, type(uint256).max);
        SignedOrders.Order memory buy = _order(account, 1e18, 2010e18);
        SignedOrders.Order memory sell = _order(bobAccount, -1e18, 1990e18);
        bytes memory signature = _sign(bobKey, sell);
        vm.expectPartialRevert(AccountSignatures.BadSignature.selector);
        book.matchOrders(buy, "", sell, signature, 1e18, 2000e18);
        wallet.accept(book.orderHash(buy));
        book.matchOrders(buy, "", sell, signature, 1e18, 2000e18);
        assertEq(hub.position(account, ETH_PERP).size, 1e18);
    }
}
