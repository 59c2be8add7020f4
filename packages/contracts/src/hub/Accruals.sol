// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IClearinghouse} from "../interfaces/IClearinghouse.sol";
import {IInstrument} from "../interfaces/IInstrument.sol";
import {IRiskConfig} from "../interfaces/IRiskConfig.sol";

/// @notice Brings an account's instruments up to now. A transfer does it to what it moves: whoever prices a transfer by a valuation does it before
/// that, or a fixing or coupon that is signed and that nobody has stored yet would change the account in between, and with it how much of
/// the account is due.
library Accruals {
    function bring(IClearinghouse clearinghouse, IRiskConfig riskConfig, bytes32 account) internal {
        uint256[] memory ids = clearinghouse.instrumentsOf(account);
        for (uint256 n; n < ids.length; ++n) {
            IInstrument(riskConfig.instrument(ids[n]).module).accrue(ids[n]);
        }
    }
}
