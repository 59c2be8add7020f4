// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IVenue} from "../../src/interfaces/IVenue.sol";
import {VenueGateway} from "../../src/spoke/VenueGateway.sol";
import {VenueRegistry} from "../../src/spoke/VenueRegistry.sol";

/// @notice A venue that behaves as told, and tells nobody the truth.
contract FickleVenue is IVenue {
    enum Manner {
        Take,
        Refuse,
        ReturnBomb,
        BurnGas,
        Reenter,
        Hungry
    }

    Manner public manner;
    VenueGateway public gateway;
    uint256 public spent;

    function join(VenueRegistry registry) external {
        gateway = registry.open(this);
    }

    function setManner(Manner manner_) external {
        manner = manner_;
    }

    function onAllocation(bytes32 account, address token, uint256 amount) external {
        if (manner == Manner.Refuse) revert("full");
        if (manner == Manner.ReturnBomb) {
            assembly {
                revert(0, 500000)
            }
        }
        if (manner == Manner.BurnGas) while (true) {}
        if (manner == Manner.Reenter) {
            IERC20(token).approve(address(gateway), amount);
            gateway.giveBack(account, token, amount);
        }
        if (manner == Manner.Hungry) {
            for (uint256 before = gasleft(); before - gasleft() < 350_000;) {
                ++spent;
            }
        }
    }

    function give(bytes32 account, IERC20 token, uint256 amount) external {
        token.approve(address(gateway), amount);
        gateway.giveBack(account, address(token), amount);
    }
}
