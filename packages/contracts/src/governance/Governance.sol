// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";

/// @title Governance
/// @notice Owner of all contracts of a deployment on one chain, and LayerZero delegate of its gateways: who may do what, and how long it is seen
/// before it happens. The contracts know one owner each and nothing of roles.
///
/// The council may do all that an owner may, `delay` seconds after it has scheduled it for everybody to see, and within a week of that.
/// The guardian may call, at once, the functions that the deployment names, and nothing else: those which hold back new risk.
/// What the council grants, revokes or shortens later is a call like any other, so it waits as long.
contract Governance is AccessManager {
    /// @notice A function of a contract that the guardian may call.
    struct Power {
        address target;
        bytes4 selector;
    }

    uint64 public constant GUARDIAN_ROLE = 1;
    /// @notice Least time between a change that is scheduled and the change (seconds): who disagrees can leave before it.
    uint32 public constant MIN_DELAY = 1 days;

    error DelayTooShort(uint32 delay, uint32 least);

    /// @param delay Seconds, at least MIN_DELAY.
    constructor(address council, uint32 delay, address guardian, Power[] memory powers)
        AccessManager(council)
    {
        if (delay < MIN_DELAY) revert DelayTooShort(delay, MIN_DELAY);
        // A longer delay holds at once.
        _grantRole(ADMIN_ROLE, council, 0, delay);
        _grantRole(GUARDIAN_ROLE, guardian, 0, 0);
        for (uint256 n; n < powers.length; ++n) {
            _setTargetFunctionRole(powers[n].target, powers[n].selector, GUARDIAN_ROLE);
        }
    }
}
