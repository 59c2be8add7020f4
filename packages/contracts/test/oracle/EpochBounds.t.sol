// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {SignerEpochs} from "../../src/oracle/SignerEpochs.sol";
import {OracleTest} from "./OracleTest.sol";

/// @dev What an epoch may look like, whoever opens it.
contract EpochBoundsTest is OracleTest {
    function setUp() public {
        _deploy(4, 4);
    }

    function test_openEpoch_bounds() public {
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, address(this)));
        oracle.openEpoch(_epoch(2, _now() + 2, _now() + 3));
        SignerEpochs.Epoch memory good = _epoch(2, _now() + 2, _now() + 3);

        vm.startPrank(governance);
        for (uint32 epoch; epoch < 2; ++epoch) {
            good.epoch = epoch;
            vm.expectRevert(SignerEpochs.InvalidEpoch.selector);
            oracle.openEpoch(good);
        }
        good.epoch = 7; // others may be known elsewhere
        good.lastSeq = _now() + 1;
        vm.expectRevert(SignerEpochs.InvalidEpoch.selector);
        oracle.openEpoch(good);
        good.lastSeq = _now() + 3;

        address[] memory signers = good.signers;
        uint256[5] memory counts = [uint256(0), 1, 5, 6, 34];
        for (uint256 i; i < 5; ++i) {
            good.signers = new address[](counts[i]);
            for (uint256 j; j < counts[i]; ++j) {
                good.signers[j] = address(uint160(j + 1));
            }
            vm.expectRevert(SignerEpochs.InvalidSigners.selector);
            oracle.openEpoch(good);
        }
        good.signers = signers;
        address last = signers[3];
        signers[3] = signers[1];
        vm.expectRevert(SignerEpochs.InvalidSigners.selector);
        oracle.openEpoch(good);
        signers[3] = address(0);
        vm.expectRevert(SignerEpochs.InvalidSigners.selector);
        oracle.openEpoch(good);
        signers[3] = last;
        oracle.openEpoch(good);
    }

    function test_feeds_never_change_their_meaning() public {
        _oneFeedMore();
        _open(2, _now() + 2, _now() + 3);
        assertEq(oracle.feedCount(), 5);
        assertEq(abi.encode(oracle.feedInfo(4)), abi.encode(feeds[4]));
        feeds[3].exponent = -7;
        _refusedFeeds();
        feeds[3].exponent = -8;
        feeds[3].isSigned = true;
        _refusedFeeds();
        feeds[3].isSigned = false;
        feeds[3].name = "OTHER";
        _refusedFeeds();
        feeds[3].name = oracle.feedName(3);
        feeds.pop();
        _refusedFeeds();
        _oneFeedMore();
        feeds.push(SignerEpochs.Feed("BIG/USD", 1, false, 60));
        _refusedFeeds();
        feeds[5] = SignerEpochs.Feed("OLD/USD", 0, false, 1 << 23);
        _refusedFeeds();
        feeds[5] = SignerEpochs.Feed(0, 0, false, 60);
        _refusedFeeds();
        // Governance's use-age outlives epochs.
        feeds.pop();
        vm.prank(governance);
        oracle.setUseAge(0, 7);
        _open(3, _now() + 3, _now() + 4);
        assertEq(oracle.feedInfo(0).useAge, 7);
    }

    function _refusedFeeds() private {
        SignerEpochs.Epoch memory next = _epoch(9, _now() + 3, _now() + 4);
        vm.prank(governance);
        vm.expectRevert(SignerEpochs.InvalidFeeds.selector);
        oracle.openEpoch(next);
    }

    function _oneFeedMore() private {
        feeds.push(SignerEpochs.Feed("RATE", -6, true, 60));
    }
}
