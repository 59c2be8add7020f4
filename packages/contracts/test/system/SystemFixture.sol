// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Backstop} from "../../src/hub/Backstop.sol";
import {Clearinghouse} from "../../src/hub/Clearinghouse.sol";
import {InsuranceFund} from "../../src/hub/InsuranceFund.sol";
import {LedgerBase} from "../../src/hub/ledger/LedgerBase.sol";
import {LiquidationAuction} from "../../src/hub/LiquidationAuction.sol";
import {RiskConfig} from "../../src/hub/RiskConfig.sol";
import {ICollateralVault} from "../../src/interfaces/ICollateralVault.sol";
import {ISpokeGateway} from "../../src/interfaces/IGateways.sol";
import {IMarginEngine} from "../../src/interfaces/IMarginEngine.sol";
import {IRiskConfig} from "../../src/interfaces/IRiskConfig.sol";
import {Accounts} from "../../src/libraries/Accounts.sol";
import {MarginEngine} from "../../src/margin/MarginEngine.sol";
import {Perp} from "../../src/margin/Perp.sol";
import {HubGateway} from "../../src/messaging/HubGateway.sol";
import {SpokeGateway} from "../../src/messaging/SpokeGateway.sol";
import {TestToken} from "../../src/mocks/TestToken.sol";
import {SignerEpochs} from "../../src/oracle/SignerEpochs.sol";
import {CollateralVault} from "../../src/spoke/CollateralVault.sol";
import {LiquidationExecutor} from "../../src/spoke/LiquidationExecutor.sol";
import {PayoutQueue} from "../../src/spoke/PayoutQueue.sol";
import {VenueRegistry} from "../../src/spoke/VenueRegistry.sol";
import {OracleDouble} from "../hub/OracleDouble.sol";
import {CLEARINGHOUSE_PARTS, newClearinghouse} from "../hub/newClearinghouse.sol";
import {FickleVenue} from "../spoke/FickleVenue.sol";
import {LayerZeroTest} from "../utils/LayerZeroTest.sol";
import {auctionTerms} from "../hub/liquidation/auctionTerms.sol";

/// @notice The whole of it, all contracts real but the oracle and maybe LayerZero's endpoints: a hub with a vault on its own chain, chains A and B with
/// a vault and an executor each, and on A a venue and a vault that will replace the first. The test contract owns everything, and is the hub's venue.
abstract contract SystemFixture is LayerZeroTest {
    struct Spoke {
        uint32 eid;
        address endpoint;
        SpokeGateway gateway;
        CollateralVault vault;
        TestToken usdc;
        TestToken weth;
        LiquidationExecutor executor;
    }

    /// @dev Of one asset id.
    struct Listed {
        uint256 chain;
        uint32 epoch;
        CollateralVault vault;
        TestToken token;
        bool settlement;
        /// WAD of a token unit.
        uint256 unit;
    }

    uint256 internal constant WAD = 1e18;
    uint64 internal constant SKEW = 15 minutes;
    uint32 internal constant OTHER_SPOKE = 30_903;
    /// Chains: the hub's, and two spokes.
    uint256 internal constant H = 0;
    uint256 internal constant A = 1;
    uint256 internal constant B = 2;
    /// Feeds. A spoke's block time has that of its chain above ETH's.
    uint256 internal constant USDC_FEED = 0;
    uint256 internal constant ETH_FEED = 1;
    /// Assets, in the order of their listing.
    uint256 internal constant USDC_H = 1;
    uint256 internal constant USDC_A = 2;
    uint256 internal constant WETH_A = 3;
    uint256 internal constant USDC_B = 4;
    uint256 internal constant WETH_B = 5;
    uint256 internal constant NEXT_USDC = 6;
    uint256 internal constant NEXT_WETH = 7;
    uint256 internal constant ASSETS = 7;
    uint256 internal constant PERP = 1;
    uint256 internal constant WINDOW = 1 hours;

    OracleDouble internal oracle;
    RiskConfig internal config;
    Clearinghouse internal hub;
    MarginEngine internal engine;
    HubGateway internal hubGateway;
    LiquidationAuction internal auction;
    Backstop internal backstop;
    InsuranceFund internal fund;
    FickleVenue internal venue;
    Spoke[3] internal _chains;
    Listed[8] internal _listed;
    CollateralVault internal _next;

    /// @dev Of a chain, H to B.
    function _newEndpoint(uint256 c) internal virtual returns (address);

    function _deploySystem() internal {
        vm.warp(1_700_000_000);
        oracle = new OracleDouble();
        config = new RiskConfig(address(this), USDC_FEED);
        _deployChain(H, HUB);
        _deployChain(A, SPOKE);
        _deployChain(B, OTHER_SPOKE);
        _deployHub();
        for (uint256 c; c < 3; ++c) {
            _chains[c].gateway.setPeer(HUB, _word(address(hubGateway)));
            hubGateway.setPeer(_chains[c].eid, _word(address(_chains[c].gateway)));
            _configureChain(_chains[c]);
        }
        _deployNext();
        _configureRisk();
        _listAll();
    }

    function _deployChain(uint256 c, uint32 eid) private {
        Spoke storage chain = _chains[c];
        (chain.eid, chain.endpoint) = (eid, _newEndpoint(c));
        chain.usdc = new TestToken("USD Coin", "USDC", 6);
        chain.weth = new TestToken("Wrapped Ether", "WETH", 18);
        address vault = vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 1);
        chain.gateway = new SpokeGateway(
            chain.endpoint,
            address(this),
            ICollateralVault(vault),
            HUB,
            1,
            SKEW,
            SignerEpochs(address(oracle)),
            ISpokeGateway(address(0))
        );
        chain.vault = new CollateralVault(
            address(this), address(chain.gateway), 1, "network", ICollateralVault(address(0))
        );
        assertEq(address(chain.vault), vault);
    }

    function _deployHub() private {
        uint256 nonce = vm.getNonce(address(this)) + CLEARINGHOUSE_PARTS;
        address[6] memory at;
        for (uint256 i; i < 6; ++i) {
            at[i] = vm.computeCreateAddress(address(this), nonce + i);
        }
        hub = newClearinghouse(
            address(this),
            LedgerBase.Modules({
                gateway: at[2],
                auction: at[3],
                backstop: at[4],
                fund: at[5],
                marginEngine: IMarginEngine(at[1]),
                oracle: oracle,
                riskConfig: config
            })
        );
        engine = new MarginEngine(hub, oracle, config);
        hubGateway = new HubGateway(_chains[H].endpoint, address(this), hub, config, 1, SKEW);
        auction = new LiquidationAuction(hub, engine, oracle, config, at[5], at[4], auctionTerms(ETH_FEED));
        backstop = new Backstop(hub, engine, config, auction, at[5], WINDOW, address(this));
        fund = new InsuranceFund(
            _chains[H].usdc,
            InsuranceFund.Wiring(
                hub,
                engine,
                config,
                auction,
                _chains[H].vault,
                _chains[H].gateway,
                hubGateway,
                address(backstop)
            ),
            HUB,
            10 days,
            2 days
        );
        assertEq(address(fund), at[5]);
        hub.setVenue(address(this), true);
        // So little that it binds now and then.
        hub.setLending(300, 8000, 200, 1000, 5000);
    }

    function _configureChain(Spoke storage chain) private {
        chain.executor = new LiquidationExecutor(
            address(this),
            oracle,
            chain.gateway,
            address(chain.usdc),
            backstop.account(),
            LiquidationExecutor.Terms(100, 500, 1 hours)
        );
        chain.executor.setListing(address(chain.weth), uint16(ETH_FEED));
        backstop.setExecutor(chain.eid, address(chain.executor));
        chain.vault.setListed(address(chain.usdc), true);
        chain.vault.setListed(address(chain.weth), true);
        // The hub's vault pays at once, as the fund wants it to.
        if (chain.eid == HUB) return;
        // So little that payouts wait, and that what a forged release takes beyond it shows.
        CollateralVault vault = chain.vault;
        vault.setLimits(
            address(chain.usdc), PayoutQueue.Limit(6000e6, 0.05e6), PayoutQueue.Limit(500e6, 0.005e6)
        );
        vault.setLimits(address(chain.weth), PayoutQueue.Limit(4e18, 3e13), PayoutQueue.Limit(0.5e18, 3e12));
    }

    /// @dev A's second vault, and its venue.
    function _deployNext() private {
        Spoke storage chain = _chains[A];
        _next = new CollateralVault(address(this), address(chain.gateway), 2, "network", chain.vault);
        _next.setListed(address(chain.usdc), true);
        _next.setListed(address(chain.weth), true);
        VenueRegistry registry = new VenueRegistry(address(this), chain.gateway);
        venue = new FickleVenue();
        venue.join(registry);
        registry.setCap(venue.gateway(), address(chain.usdc), 8000e6);
        registry.setCap(venue.gateway(), address(chain.weth), 4e18);
    }

    function _configureRisk() private {
        oracle.set(USDC_FEED, WAD);
        oracle.set(ETH_FEED, 2000e18);
        config.setUnderlying(ETH_FEED, IRiskConfig.Underlying(2000, 1200, 5000, 2000));
        config.setGlobal(IRiskConfig.Global(5000, 5000, 1_000_000_000e18, 1500, 10, 1 hours));
        config.setSilence(IRiskConfig.Silence(6 hours, 1 days, 1 days));
        config.setLivenessFeed(SPOKE, ETH_FEED + A);
        config.setLivenessFeed(OTHER_SPOKE, ETH_FEED + B);
        Perp perp = new Perp(address(hub), oracle, config);
        config.setInstrument(
            PERP, IRiskConfig.Instrument(address(perp), uint16(ETH_FEED), 1_000_000e18, 1000e18, 500)
        );
    }

    function _listAll() private {
        _list(USDC_H, H, 1, _chains[H].vault, 10_000_000e6, 10_000e6);
        _list(USDC_A, A, 1, _chains[A].vault, 1_000_000e6, 100e6);
        _list(WETH_A, A, 1, _chains[A].vault, 1000e18, 0.1e18);
        _list(USDC_B, B, 1, _chains[B].vault, 50_000e6, 1e6);
        _list(WETH_B, B, 1, _chains[B].vault, 20e18, 1e14);
        _list(NEXT_USDC, A, 2, _next, 1_000_000e6, 100e6);
        _list(NEXT_WETH, A, 2, _next, 1000e18, 0.1e18);
    }

    function _list(uint256 id, uint256 c, uint32 epoch, CollateralVault vault, uint128 cap, uint128 rate)
        private
    {
        bool settlement = id != WETH_A && id != WETH_B && id != NEXT_WETH;
        TestToken token = settlement ? _chains[c].usdc : _chains[c].weth;
        _listed[id] = Listed(c, epoch, vault, token, settlement, settlement ? 1e12 : 1);
        config.setAsset(
            id,
            IRiskConfig.Asset({
                eid: _chains[c].eid,
                epoch: epoch,
                token: address(token),
                decimals: settlement ? 6 : 18,
                feed: uint16(settlement ? USDC_FEED : ETH_FEED),
                settlement: settlement,
                creditIm: settlement ? 10_000 : 8000,
                creditMm: settlement ? 10_000 : 9000,
                matureCap: cap,
                matureRate: rate
            })
        );
    }

    function _word(address a) internal pure returns (bytes32) {
        return bytes32(uint256(uint160(a)));
    }

    /// @dev Account n: traders 0 to 2, who only deposits and withdraws 3, two of a thief 4 and 5, a bidder 6, the fund 7, its book 8.
    function _account(uint256 n) internal view returns (bytes32) {
        if (n < 7) return Accounts.main(address(uint160(0x100 + n)));
        return Accounts.main(n == 7 ? address(fund) : address(backstop));
    }
}
