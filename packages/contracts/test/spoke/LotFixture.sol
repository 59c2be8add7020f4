// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {TestToken} from "../../src/mocks/TestToken.sol";
import {ICollateralVault} from "../../src/interfaces/ICollateralVault.sol";
import {ISpokeGateway} from "../../src/interfaces/IGateways.sol";
import {CollateralVault} from "../../src/spoke/CollateralVault.sol";
import {LiquidationExecutor} from "../../src/spoke/LiquidationExecutor.sol";
import {OracleTest} from "../oracle/OracleTest.sol";
import {Vaults} from "./Vaults.sol";

/// @notice An executor and its vault. Feed 1 prices ETH (18 decimals) in the settlement token (6 decimals); lots from +5% to −10% in 1,000 s.
abstract contract LotFixture is OracleTest {
    bytes32 internal constant BACKSTOP = "backstop";

    Vaults internal vaults;
    CollateralVault internal vault;
    LiquidationExecutor internal executor;
    TestToken internal eth;
    TestToken internal usdc;

    function setUp() public virtual {
        _deploy(4, 2);
        (eth, usdc) = (new TestToken("Ether", "ETH", 18), new TestToken("Dollar", "USDC", 6));
        vault =
            new CollateralVault(governance, makeAddr("gateway"), 1, "network", ICollateralVault(address(0)));
        vaults = new Vaults();
        vaults.open(vault);
        executor = new LiquidationExecutor(
            governance,
            oracle,
            ISpokeGateway(address(vaults)),
            address(usdc),
            BACKSTOP,
            LiquidationExecutor.Terms(500, 1_000, 1_000)
        );
        vm.startPrank(governance);
        vault.setListed(address(usdc), true);
        executor.setListing(address(eth), 1);
        vm.stopPrank();
    }
}
