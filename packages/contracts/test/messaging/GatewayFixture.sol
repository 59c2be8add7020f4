// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Clearinghouse} from "../../src/hub/Clearinghouse.sol";
import {LedgerBase} from "../../src/hub/ledger/LedgerBase.sol";
import {RiskConfig} from "../../src/hub/RiskConfig.sol";
import {IMarginEngine} from "../../src/interfaces/IMarginEngine.sol";
import {IPriceOracle} from "../../src/interfaces/IPriceOracle.sol";
import {IRiskConfig} from "../../src/interfaces/IRiskConfig.sol";
import {IHubGateway, ISpokeGateway} from "../../src/interfaces/IGateways.sol";
import {Accounts} from "../../src/libraries/Accounts.sol";
import {HubGateway} from "../../src/messaging/HubGateway.sol";
import {SpokeGateway} from "../../src/messaging/SpokeGateway.sol";
import {PriceOracle} from "../../src/oracle/PriceOracle.sol";
import {SignerEpochs} from "../../src/oracle/SignerEpochs.sol";
import {TestToken} from "../../src/mocks/TestToken.sol";
import {ICollateralVault} from "../../src/interfaces/ICollateralVault.sol";
import {CollateralVault} from "../../src/spoke/CollateralVault.sol";
import {LayerZeroTest} from "../utils/LayerZeroTest.sol";
import {CLEARINGHOUSE_PARTS, newClearinghouse} from "../hub/newClearinghouse.sol";

/// @notice The real clearinghouse and two vaults, one on the hub's chain and one behind LayerZero's real contracts. Both chains'
/// tokens are the settlement token, so what arrives becomes cash and may be withdrawn without a margin engine.
abstract contract GatewayFixture is LayerZeroTest {
    uint64 internal constant SKEW = 300;
    uint256 internal constant HUB_ASSET = 1;
    uint256 internal constant SPOKE_ASSET = 2;

    address internal immutable governance = makeAddr("governance");

    uint32 internal constant SLOT_SECONDS = 2;
    /// Of the oracle's nodes.
    uint256[4] internal nodeKeys = [uint256(0x01), 0x02, 0x03, 0x04];

    /// @dev Stands for the oracles of all chains: they have the same signers.
    PriceOracle internal signers;
    Clearinghouse internal clearinghouse;
    RiskConfig internal riskConfig;
    HubGateway internal hub;
    SpokeGateway internal localGateway;
    CollateralVault internal localVault;
    SpokeGateway internal gateway;
    CollateralVault internal vault;
    TestToken internal hubToken;
    TestToken internal token;

    function _deployAll() internal {
        _deployTwoChains();
        hubToken = new TestToken("Settlement on the hub", "USDC", 6);
        token = new TestToken("Settlement on the spoke", "USDC", 6);
        _deploySigners();
        _deployHub();
        ISpokeGateway none = ISpokeGateway(address(0));
        (localGateway, localVault) = _newSpoke(HUB, hubToken, hub, none);
        (gateway, vault) = _newSpoke(SPOKE, token, hub, none);
        vm.startPrank(governance);
        hub.setPeer(HUB, _word(address(localGateway)));
        hub.setPeer(SPOKE, _word(address(gateway)));
        vm.stopPrank();
    }

    function _deploySigners() private {
        signers = new PriceOracle(
            "network", governance, SLOT_SECONDS, SignerEpochs.Parameters(60, 500, 100, 2_000, 30, 100)
        );
        SignerEpochs.Epoch memory epoch;
        (epoch.epoch, epoch.firstSeq, epoch.lastSeq) = (1, 1, type(uint48).max);
        epoch.signers = new address[](nodeKeys.length);
        for (uint256 i; i < nodeKeys.length; ++i) {
            epoch.signers[i] = vm.addr(nodeKeys[i]);
        }
        epoch.feeds = new SignerEpochs.Feed[](1);
        epoch.feeds[0] = SignerEpochs.Feed("BTC/USD", -8, false, 120);
        vm.prank(governance);
        signers.openEpoch(epoch);
    }

    function _deployHub() private {
        (clearinghouse, riskConfig, hub) = _newHub(1);
    }

    function _newHub(uint32 epoch) internal returns (Clearinghouse ledger, RiskConfig risk, HubGateway g) {
        risk = new RiskConfig(address(this), 0);
        risk.setAsset(HUB_ASSET, _asset(HUB, hubToken));
        risk.setAsset(SPOKE_ASSET, _asset(SPOKE, token));
        ledger = Clearinghouse(
            vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 1 + CLEARINGHOUSE_PARTS)
        );
        g = new HubGateway(address(_stack(HUB).endpoint), governance, ledger, risk, epoch, SKEW);
        assertEq(address(newClearinghouse(governance, _modules(address(g), risk))), address(ledger));
    }

    function _modules(address g, RiskConfig risk) internal returns (LedgerBase.Modules memory) {
        return LedgerBase.Modules({
            gateway: g,
            auction: makeAddr("auction"),
            backstop: makeAddr("backstop"),
            fund: makeAddr("fund"),
            marginEngine: IMarginEngine(makeAddr("margin engine")),
            oracle: IPriceOracle(makeAddr("oracle")),
            riskConfig: risk
        });
    }

    function _asset(uint32 eid, TestToken t) private view returns (IRiskConfig.Asset memory) {
        return IRiskConfig.Asset({
            eid: eid,
            epoch: 1,
            token: address(t),
            decimals: t.decimals(),
            feed: 0,
            settlement: true,
            creditIm: 10_000,
            creditMm: 10_000,
            matureCap: 1e15,
            matureRate: 1e15
        });
    }

    function _newSpoke(uint32 eid, TestToken t, HubGateway of_, ISpokeGateway predecessor)
        internal
        returns (SpokeGateway g, CollateralVault v)
    {
        v = CollateralVault(vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 1));
        address endpoint = address(_stack(eid).endpoint);
        g = new SpokeGateway(endpoint, governance, v, HUB, of_.epoch(), SKEW, signers, predecessor);
        assertEq(
            address(new CollateralVault(governance, address(g), 1, "network", ICollateralVault(address(0)))),
            address(v)
        );
        vm.startPrank(governance);
        v.setListed(address(t), true);
        g.setPeer(HUB, _word(address(of_)));
        vm.stopPrank();
    }

    /* ACTIONS */

    function _deposit(CollateralVault v, TestToken t, bytes32 account, uint256 amount) internal {
        t.mint(address(this), amount);
        t.approve(address(v), amount);
        v.deposit(account, address(t), amount);
    }

    function _counterKeys(bytes32 account, TestToken t)
        internal
        pure
        returns (ISpokeGateway.CounterKey[] memory keys)
    {
        keys = new ISpokeGateway.CounterKey[](1);
        keys[0] = ISpokeGateway.CounterKey(account, address(t));
    }

    function _releaseKeys(bytes32 account, address recipient, uint256 assetId)
        internal
        pure
        returns (IHubGateway.ReleaseKey[] memory keys)
    {
        keys = new IHubGateway.ReleaseKey[](1);
        keys[0] = IHubGateway.ReleaseKey(account, recipient, assetId);
    }

    /// @dev Sends with the quoted fee and returns the packet.
    function _sendCounters(ISpokeGateway.CounterKey[] memory keys) internal returns (Packet memory) {
        uint256 fee = gateway.quoteCounters(keys);
        vm.deal(address(this), fee);
        vm.recordLogs();
        gateway.sendCounters{value: fee}(keys);
        return _sentPackets()[0];
    }

    function _sendReleases(IHubGateway.ReleaseKey[] memory keys) internal returns (Packet memory) {
        uint256 fee = hub.quoteReleases(SPOKE, keys);
        vm.deal(address(this), fee);
        vm.recordLogs();
        hub.sendReleases{value: fee}(SPOKE, keys);
        return _sentPackets()[0];
    }

    function _withdraw(bytes32 account, uint256 assetId, address recipient, uint128 amount) internal {
        vm.prank(Accounts.owner(account));
        clearinghouse.withdraw(account, assetId, recipient, amount);
    }

    function _received(bytes32 account) internal view returns (uint128 value) {
        (value,) = clearinghouse.counters(SPOKE, 1, account, address(token));
    }

    function _word(address a) internal pure returns (bytes32) {
        return bytes32(uint256(uint160(a)));
    }
}
