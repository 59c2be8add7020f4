// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";

/// @title Governance
/// @notice Owner of all contracts of a deployment on one chain, and LayerZero delegate of its gateways: who may do what, and how long it is seen
/// before it happens. The contracts know one owner each and nothing of roles.
///
/// The council may do all that an owner may, `delay` seconds after it has scheduled it for everybody to see, and within a week of that.
/// The guardian may call, at once, the functions that the deployment names, and nothing else: those which hold back new risk.
/// The lister may call those which give the terms of instruments that the council has admitted, after a delay of its own, if it has any.
/// What the council grants, revokes or shortens later is a call like any other, so it waits as long.
contract Governance is AccessManager {
    /// @notice A function of a contract that a role may call.
    struct Power {
        address target;
        bytes4 selector;
    }

    /// @notice Who gives terms to instruments: expiries come every week, and what an id is at all the council has said. 0 for nobody.
    struct Lister {
        address account;
        /// Seconds.
        uint32 delay;
        Power[] powers;
    }

    uint64 public constant GUARDIAN_ROLE = 1;
    uint64 public constant LISTER_ROLE = 2;
    /// @notice Least time between a change that is scheduled and the change (seconds): who disagrees can leave before it.
    uint32 public constant MIN_DELAY = 1 days;

    error DelayTooShort(uint32 delay, uint32 least);

    /// @param delay Seconds, at least MIN_DELAY.
    /// @param powers The guardian's.
    constructor(address council, uint32 delay, address guardian, Power[] memory powers, Lister memory lister)
        AccessManager(council)
    {
        if (delay < MIN_DELAY) revert DelayTooShort(delay, MIN_DELAY);
        // A longer delay holds at once.
        _grantRole(ADMIN_ROLE, council, 0, delay);
        _grantRole(GUARDIAN_ROLE, guardian, 0, 0);
        _let(GUARDIAN_ROLE, powers);
        if (lister.account == address(0)) return;
        _grantRole(LISTER_ROLE, lister.account, 0, lister.delay);
        _let(LISTER_ROLE, lister.powers);
    }

    function _let(uint64 role, Power[] memory powers) private {
        for (uint256 n; n < powers.length; ++n) {
            _setTargetFunctionRole(powers[n].target, powers[n].selector, role);
        }
    }
}
