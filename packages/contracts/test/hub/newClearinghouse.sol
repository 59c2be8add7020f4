// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Books} from "../../src/hub/Books.sol";
import {Clearinghouse} from "../../src/hub/Clearinghouse.sol";
import {Deleveraging} from "../../src/hub/Deleveraging.sol";
import {Lending} from "../../src/hub/Lending.sol";
import {Settlement} from "../../src/hub/Settlement.sol";
import {Silence} from "../../src/hub/Silence.sol";
import {LedgerBase} from "../../src/hub/ledger/LedgerBase.sol";

/// @dev Contracts that `newClearinghouse` makes before the Clearinghouse.
uint256 constant CLEARINGHOUSE_PARTS = 5;

/// @notice With its parts: the sixth contract that the caller makes by this.
function newClearinghouse(address owner, LedgerBase.Modules memory modules) returns (Clearinghouse) {
    return new Clearinghouse(
        owner,
        modules,
        new Books(modules),
        new Silence(modules),
        new Settlement(modules),
        new Lending(modules),
        new Deleveraging(modules)
    );
}
