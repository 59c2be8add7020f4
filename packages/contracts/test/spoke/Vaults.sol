// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ICollateralVault} from "../../src/interfaces/ICollateralVault.sol";

/// @notice Of the SpokeGateway, what says which vaults there are.
contract Vaults {
    mapping(uint32 epoch => ICollateralVault) public vaultOf;
    ICollateralVault public vault;

    function newestVault() external view returns (ICollateralVault) {
        return vault;
    }

    function open(ICollateralVault next) external {
        (vaultOf[next.epoch()], vault) = (next, next);
    }
}
