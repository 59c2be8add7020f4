// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IRiskConfig} from "../../src/interfaces/IRiskConfig.sol";
import {IHubGateway, ISpokeGateway} from "../../src/interfaces/IGateways.sol";
import {IClearinghouse} from "../../src/interfaces/IClearinghouse.sol";
import {IPriceOracle} from "../../src/interfaces/IPriceOracle.sol";
import {Accounts} from "../../src/libraries/Accounts.sol";
import {ICollateralVault} from "../../src/interfaces/ICollateralVault.sol";
import {CollateralVault} from "../../src/spoke/CollateralVault.sol";
import {TestToken} from "../../src/mocks/TestToken.sol";
import {VenueGateway} from "../../src/spoke/VenueGateway.sol";
import {VenueRegistry} from "../../src/spoke/VenueRegistry.sol";
import {PayoutQueue} from "../../src/spoke/PayoutQueue.sol";
import {FickleVenue} from "../spoke/FickleVenue.sol";
import {GatewayFixture} from "./GatewayFixture.sol";

/// @notice DESIGN §6.2 with the real ledger, the real vaults and LayerZero's real contracts: per vault and token, backing + claims + what is
/// released and unpaid is at most what lies there; nothing is paid twice, across a vault's replacement too. And §6.5: all accounts, as one
/// coalition against the fund, never hold and withdraw more than they brought. Packets are executed in any
/// order, again and again, or never; deposits vanish as in a deep reorg and come back; payouts are limited, redirected and queued; a lying venue
/// takes allocations, refuses them, and gives back what and to whom it likes.
contract CustodyInvariantsTest is GatewayFixture {
    uint256 private constant ACCOUNTS = 3;
    uint256 private constant FUND_DEPOSIT = 500e6;
    /// Of CollateralVault's storage.
    uint256 private constant DEPOSITED_SLOT = 6;
    uint256 private constant SUMS_SLOT = 10;
    /// Settlement token and a claim, of the first vault and of its successor; and the settlement token on the hub's chain.
    uint256[5] private _assets = [HUB_ASSET, SPOKE_ASSET, 3, 4, 5];

    TestToken private _weth;
    CollateralVault private _next;
    FickleVenue private _venue;
    Packet[] private _packets;
    mapping(bytes32 lane => uint256) private _committed;
    mapping(bytes32 guid => bool) private _executed;
    /// What a reorg took from a counter, to be given back.
    mapping(uint256 assetId => mapping(uint256 a => uint128)) private _gone;
    /// All that the accounts ever brought (token units). What a reorg took is still counted: only others can have lost it.
    mapping(uint256 assetId => uint256) private _brought;
    bool private _replaced;
    /// The spoke's block time as the oracle last told it.
    uint256 private _told;
    mapping(bytes32 action => uint256) private _calls;

    function setUp() public {
        _deployAll();
        _weth = new TestToken("Wrapped Ether", "WETH", 18);
        _next = new CollateralVault(governance, address(gateway), 2, "network", vault);
        VenueRegistry registry = new VenueRegistry(governance, gateway);
        _venue = new FickleVenue();
        _venue.join(registry);
        vm.startPrank(governance);
        registry.setCap(_venue.gateway(), address(token), 800e6);
        PayoutQueue.Limit memory small = PayoutQueue.Limit(100e6, 0.1e6);
        vault.setLimits(address(token), PayoutQueue.Limit(400e6, 0.5e6), small);
        vault.setLimits(address(_weth), PayoutQueue.Limit(1e9, 1e7), small);
        vault.setListed(address(_weth), true);
        _next.setListed(address(_weth), true);
        _next.setListed(address(token), true);
        vm.stopPrank();
        riskConfig.setUnderlying(1, IRiskConfig.Underlying(1000, 600, 5000, 2000));
        riskConfig.setGlobal(IRiskConfig.Global(5000, 5000, 0, 1500, 12, 1 hours));
        _list(3, address(_weth), 1);
        _list(4, address(token), 2);
        _list(5, address(_weth), 2);
        for (uint256 a; a < ACCOUNTS; ++a) {
            for (uint256 assetId = 3; assetId <= 5; assetId += 2) {
                vm.prank(Accounts.owner(_account(a)));
                clearinghouse.openRow(_account(a), assetId);
            }
            _bring(SPOKE_ASSET, a, 1000e6);
            _bring(3, a, 10e18);
            _bring(HUB_ASSET, a, 1000e6);
        }
        _deposit(localVault, hubToken, Accounts.main(_fund()), FUND_DEPOSIT);
        localGateway.sendCounters(_counterKeys(Accounts.main(_fund()), hubToken));
        _deliverFirst();
        riskConfig.setSilence(IRiskConfig.Silence(2 hours, 6 hours, 12 hours));
        riskConfig.setLivenessFeed(SPOKE, 7);
        bytes4[] memory selectors = new bytes4[](19);
        selectors[0] = this.deposit.selector;
        selectors[1] = this.sendCounters.selector;
        selectors[2] = this.deliver.selector;
        selectors[3] = this.withdraw.selector;
        selectors[4] = this.sendReleases.selector;
        selectors[5] = this.push.selector;
        selectors[6] = this.regress.selector;
        selectors[7] = this.restore.selector;
        selectors[8] = this.settle.selector;
        selectors[9] = this.replaceVault.selector;
        selectors[10] = this.move.selector;
        selectors[11] = this.deliver.selector;
        selectors[12] = this.withdraw.selector;
        selectors[13] = this.redirect.selector;
        selectors[14] = this.offer.selector;
        selectors[15] = this.giveBack.selector;
        selectors[16] = this.pass.selector;
        selectors[17] = selectors[18] = this.look.selector;
        targetSelector(FuzzSelector({addr: address(this), selectors: selectors}));
        targetContract(address(this));
    }

    receive() external payable {}

    /* ACTIONS */

    function deposit(uint256 assetSeed, uint256 a, uint64 amount) external {
        uint256 assetId = _asset(assetSeed);
        CollateralVault v = _vault(assetId);
        if (v.isSealed() || (!_replaced && v == _next)) return;
        _bring(assetId, a, uint256(amount) % 1e9 + 1);
    }

    function sendCounters(uint256 assetSeed, uint256 a) public {
        uint256 assetId = _asset(assetSeed);
        vm.warp(block.timestamp + 1);
        uint32 epoch = riskConfig.asset(assetId).epoch;
        ISpokeGateway.CounterKey[] memory keys = _counterKeys(_account(a), _tokenOf(assetId));
        if (assetId == HUB_ASSET) {
            localGateway.sendCounters(keys);
        } else if (epoch == 1 || _replaced) {
            uint256 fee = gateway.quoteCountersOf(epoch, keys);
            vm.deal(address(this), fee);
            vm.recordLogs();
            gateway.sendCountersOf{value: fee}(epoch, keys);
            _packets.push(_sentPackets()[0]);
        }
    }

    function sendReleases(uint256 assetSeed, uint256 a, bool toVenue) public {
        uint256 assetId = _asset(assetSeed);
        vm.warp(block.timestamp + 1);
        IHubGateway.ReleaseKey[] memory keys = _releaseKeys(_account(a), _recipient(a, toVenue), assetId);
        if (assetId == HUB_ASSET) hub.sendReleases(HUB, keys);
        else if (assetId < 4 || _replaced) _packets.push(_sendReleases(keys));
    }

    /// @dev Any packet, none or several times; a packet not chosen is a packet lost.
    function deliver(uint256 i) external {
        if (_packets.length == 0) return;
        _deliverAt(i % _packets.length);
    }

    function withdraw(uint256 assetSeed, uint256 a, uint128 amount, bool toVenue) external {
        uint256 assetId = _asset(assetSeed);
        bytes32 account = _account(a);
        vm.prank(Accounts.owner(account));
        try clearinghouse.withdraw(account, assetId, _recipient(a, toVenue), uint128(bound(amount, 1, 5e8))) {
            ++_calls["withdraw"];
        } catch {}
    }

    function push(uint256 assetSeed, uint256 a, bool toVenue) public {
        uint256 assetId = _asset(assetSeed);
        _vault(assetId).pay(_account(a), address(_tokenOf(assetId)), _recipient(a, toVenue));
    }

    function redirect(uint256 assetSeed, uint256 a, bool back) external {
        address who = _recipient(a, false);
        CollateralVault v = _vault(_asset(assetSeed));
        vm.prank(who);
        v.redirect(address(_tokenOf(_asset(assetSeed))), back ? who : address(0x300));
    }

    /// @dev The venue takes it, or refuses by any of its manners; what it refused for a day is deposited again.
    function offer(uint256 assetSeed, uint256 a, uint256 manner) external {
        uint256 assetId = _asset(assetSeed);
        if (assetId == HUB_ASSET || (assetId > 3 && !_replaced)) return;
        VenueGateway g = _venue.gateway();
        uint32 epoch = riskConfig.asset(assetId).epoch;
        if (g.pending(epoch, _account(a), address(_tokenOf(assetId))) == 0) return;
        _venue.setManner(manner % 3 == 0 ? FickleVenue.Manner(manner % 5) : FickleVenue.Manner.Take);
        uint256 before = _deposited(assetId, a);
        if (g.offer(epoch, _account(a), address(_tokenOf(assetId)))) ++_calls["allocate"];
        _brought[_newest(assetId)] += _deposited(assetId, a) - before;
    }

    /// @dev To any account, whoever allocated it.
    function giveBack(uint256 assetSeed, uint256 a, uint256 amount) external {
        uint256 assetId = _asset(assetSeed);
        uint256 held = _tokenOf(assetId).balanceOf(address(_venue));
        if (assetId == HUB_ASSET || held == 0) return;
        amount = bound(amount, 1, held);
        if (gateway.vault().isSealed()) return;
        _venue.give(_account(a), _tokenOf(assetId), amount);
        _brought[_newest(assetId)] += amount;
    }

    function pass(uint256 time) external {
        vm.warp(block.timestamp + bound(time, 1, 12 hours));
    }

    /// @dev Cash goes from one account to another: who loses a counter may no longer have what it brought.
    function move(uint256 a, uint256 b, uint256 amount) external {
        uint256 cash = uint256(clearinghouse.cash(_account(a)));
        if (a % ACCOUNTS == b % ACCOUNTS || cash == 0) return;
        vm.prank(Accounts.owner(_account(a)));
        try clearinghouse.transferCash(_account(a), _account(b), bound(amount, 1, cash)) {} catch {}
    }

    /// @dev A part of a deposit vanishes from the spoke, token and counter, as when its block is no longer the chain's: as far as the
    /// vault can do without it (a chain doesn't unpay what it paid).
    function regress(uint256 assetSeed, uint256 a, uint256 share) external {
        uint256 assetId = _asset(assetSeed);
        TestToken t = _tokenOf(assetId);
        CollateralVault v = _vault(assetId);
        uint128 counter = v.depositedIn(_account(a), address(t));
        uint256 amount = uint256(counter) * (share % 101) / 100;
        if (amount > t.balanceOf(address(v))) amount = t.balanceOf(address(v));
        if (amount == 0) return;
        _setDeposits(assetId, a, counter - uint128(amount), -int256(amount));
        vm.prank(address(v));
        t.transfer(address(this), amount);
        _gone[assetId][a % ACCOUNTS] += uint128(amount);
        ++_calls["regress"];
        sendCounters(_seedOf(assetId), a);
    }

    function restore(uint256 assetSeed, uint256 a) public {
        uint256 assetId = _asset(assetSeed);
        uint128 amount = _gone[assetId][a % ACCOUNTS];
        if (amount == 0) return;
        _gone[assetId][a % ACCOUNTS] = 0;
        TestToken t = _tokenOf(assetId);
        CollateralVault v = _vault(assetId);
        _setDeposits(assetId, a, v.depositedIn(_account(a), address(t)) + amount, int256(uint256(amount)));
        t.transfer(address(v), amount);
        ++_calls["restore"];
        sendCounters(_seedOf(assetId), a);
    }

    /// @dev Everything that anyone may do about a row after its delay.
    function settle(uint256 assetSeed, uint256 a, bool late) public {
        uint256 assetId = _asset(assetSeed);
        if (late) vm.warp(block.timestamp + 1 hours);
        try clearinghouse.bookRegression(_account(a), assetId) {
            ++_calls["book"];
        } catch {}
        clearinghouse.mature(_account(a), assetId);
        clearinghouse.repair(assetId);
    }

    /// @dev Time passes, in which the oracle sees the spoke go on or not; messages are other acts' affair.
    function look(uint256 time, bool stands) public {
        vm.warp(block.timestamp + time % 8 hours);
        if (!stands || _told == 0) _told = block.timestamp;
        vm.mockCall(
            address(clearinghouse.oracle()),
            abi.encodeCall(IPriceOracle.price, (7)),
            abi.encode(IPriceOracle.Price(_told * 1e18, 0, block.timestamp, 0, true))
        );
        uint256[] memory ids = new uint256[](5);
        for (uint256 n; n < 5; ++n) {
            ids[n] = _assets[n];
        }
        clearinghouse.watch(ids);
        if (clearinghouse.suspectAssets() != 0) ++_calls["suspect"];
    }

    function replaceVault(uint256 seed) public {
        if (_replaced || seed % 4 != 0) return;
        _replaced = true;
        vm.startPrank(governance);
        vault.seal();
        gateway.openEpoch(_next);
        vm.stopPrank();
        sendCounters(3, 0);
        _deliverAt(_packets.length - 1);
        vm.prank(governance);
        clearinghouse.openEpoch(SPOKE, 2);
        ++_calls["replace"];
    }

    /* INVARIANTS */

    /// forge-config: default.invariant.runs = 10
    /// forge-config: default.invariant.depth = 60
    /// forge-config: full.invariant.runs = 60
    /// forge-config: full.invariant.depth = 150
    function invariant_custody() public view {
        int256 cash;
        for (uint256 a; a < ACCOUNTS; ++a) {
            cash += clearinghouse.cash(_account(a));
        }
        int256 taken = cash;
        int256 brought;
        int256 reserve = clearinghouse.cash(Accounts.main(_fund()));
        cash += reserve;
        int256 backing = clearinghouse.lostBacking();
        for (uint256 n; n < 5; ++n) {
            uint256 assetId = _assets[n];
            uint256 released = _checkVault(assetId);
            if (riskConfig.asset(assetId).settlement) {
                backing += int256(clearinghouse.backing(assetId));
                // Cash is one number, whichever vault it came from and leaves by.
                (, uint256 kept) = clearinghouse.keptOf(bytes32(0), assetId);
                taken += int256((released + kept) * 1e12);
                brought += int256(_brought[assetId] * 1e12);
            } else {
                assertLe(released + clearinghouse.backing(assetId), _brought[assetId], "5: claims");
            }
        }
        (uint256 all, uint256 index) = clearinghouse.totalCash();
        assertEq(int256(all), backing, "1");
        assertLe(cash, int256(all), "1: cash adds up");
        // Cuts round down: what an account has by a unit of the index.
        assertApproxEqAbs(cash, int256(all), index == 1e18 ? 0 : 1e9, "1: cash adds up");
        assertLe(taken, brought, "5: cash");
        assertEq(
            reserve + int256(clearinghouse.fundBorne()),
            int256(FUND_DEPOSIT * 1e12),
            "5: the fund lost what it bore, no more"
        );
    }

    /// @dev One honest round restores everything: what a reorg took is back, every counter and release arrives, and all that was released is paid.
    function afterInvariant() public {
        for (uint256 round; round < 2; ++round) {
            for (uint256 n; n < 5; ++n) {
                if (_assets[n] > 3 && !_replaced) continue;
                for (uint256 a; a < ACCOUNTS; ++a) {
                    restore(_seedOf(_assets[n]), a);
                    sendCounters(_seedOf(_assets[n]), a);
                    if (_packets.length != 0) _deliverAt(_packets.length - 1);
                }
            }
            look(0, false);
            for (uint256 n; n < 5; ++n) {
                for (uint256 a; a < ACCOUNTS; ++a) {
                    settle(_seedOf(_assets[n]), a, false);
                }
            }
        }
        for (uint256 n; n < 5; ++n) {
            if (_assets[n] > 3 && !_replaced) continue;
            for (uint256 a; a < ACCOUNTS; ++a) {
                _payOut(_assets[n], a, false);
                _payOut(_assets[n], a, true);
            }
        }
        // A booking takes cash to the wei, and a counter comes back in whole units: less than a unit of each is left over.
        int256 left = -clearinghouse.lostBacking();
        assertGe(left, 0, "nothing is lost");
        (, uint256 index) = clearinghouse.totalCash();
        // What was charged to all cash comes back to nobody.
        if (index == 1e18) assertLe(uint256(left), _calls["book"] * 1e12, "nor found");
        assertEq(clearinghouse.overdrawn(), 0, "nobody waits");
        assertEq(clearinghouse.fundBorne(), 0, "the fund has its own back");
        invariant_custody();
        emit log_named_uint("withdraw", _calls["withdraw"]);
        emit log_named_uint("allocate", _calls["allocate"]);
        emit log_named_uint("regress", _calls["regress"]);
        emit log_named_uint("restore", _calls["restore"]);
        emit log_named_uint("book", _calls["book"]);
        emit log_named_uint("replace", _calls["replace"]);
        emit log_named_uint("suspect", _calls["suspect"]);
    }

    function _payOut(uint256 assetId, uint256 a, bool toVenue) private {
        sendReleases(_seedOf(assetId), a, toVenue);
        if (_packets.length != 0) _deliverAt(_packets.length - 1);
        // What waits, and what followed it meanwhile, each in its turn.
        for (uint256 turn; turn < 3; ++turn) {
            vm.warp(block.timestamp + 1 hours);
            push(_seedOf(assetId), a, toVenue);
        }
        address to = _recipient(a, toVenue);
        assertEq(
            _vault(assetId).paidOut(_account(a), address(_tokenOf(assetId)), to),
            clearinghouse.released(_account(a), to, assetId),
            "all that is released is paid"
        );
    }

    /// @return What was released there: paid out, or bound for the vault.
    function _checkVault(uint256 assetId) private view returns (uint256) {
        TestToken t = _tokenOf(assetId);
        CollateralVault v = _vault(assetId);
        uint256 unpaid;
        uint256 claims;
        uint256 paid;
        uint256 credited;
        for (uint256 a; a < ACCOUNTS; ++a) {
            for (uint256 r; r < 2; ++r) {
                uint128 released = clearinghouse.released(_account(a), _recipient(a, r == 1), assetId);
                uint128 out = v.paidOut(_account(a), address(t), _recipient(a, r == 1));
                assertLe(out, released, "2: never more than was released");
                (unpaid, paid) = (unpaid + released - out, paid + out);
            }
            IClearinghouse.Row memory r = clearinghouse.row(_account(a), assetId);
            (claims, credited) = (claims + r.claim, credited + r.credited);
        }
        if (assetId == HUB_ASSET) credited += clearinghouse.row(Accounts.main(_fund()), assetId).credited;
        (uint256 totalIn, uint256 totalOut, uint256 shortfall) = v.totals(address(t));
        uint256 balance = t.balanceOf(address(v));
        assertEq(paid, totalOut, "2: what left is what was counted");
        assertEq(shortfall, 0);
        assertEq(totalIn - totalOut, balance);

        _checkBooks(assetId, claims, unpaid, balance, credited > totalIn ? credited - totalIn : 0);
        return paid + unpaid;
    }

    /// @param ahead By how much the books are above the vault: what a reorg took and no message has told.
    function _checkBooks(uint256 assetId, uint256 claims, uint256 unpaid, uint256 balance, uint256 ahead)
        private
        view
    {
        (int256 net, uint256 shares,,,) = clearinghouse.vaulted(assetId);
        (, uint256 kept) = clearinghouse.keptOf(bytes32(0), assetId);
        assertEq(shares, claims, "shares add up");
        uint256 unit = 10 ** (18 - riskConfig.asset(assetId).decimals);
        int256 booked = net - int256(kept);
        assertEq(clearinghouse.backing(assetId), booked > 0 ? uint256(booked) * unit : 0);
        assertLe(
            net + int256(unpaid), int256(balance + ahead), "2: backing, claims and unpaid releases lie there"
        );
    }

    /* HELPERS */

    function _fund() private view returns (address) {
        return clearinghouse.fund();
    }

    function _deliverAt(uint256 i) private {
        Packet memory packet = _packets[i];
        // Packets are committed in nonce order a lane.
        bytes32 lane = keccak256(abi.encode(packet.srcEid, packet.dstEid));
        for (uint256 n; n <= i; ++n) {
            Packet memory p = _packets[n];
            if (keccak256(abi.encode(p.srcEid, p.dstEid)) != lane || p.nonce <= _committed[lane]) continue;
            _commit(p);
            _committed[lane] = p.nonce;
        }
        if (_executed[packet.guid]) return;
        _executed[packet.guid] = _execute(packet, packet.gas);
        assertTrue(_executed[packet.guid], "fits its gas");
    }

    /// @dev Writes the vault's own counters as another history of its chain would have left them.
    function _setDeposits(uint256 assetId, uint256 a, uint128 value, int256 change) private {
        address v = address(_vault(assetId));
        address t = address(_tokenOf(assetId));
        bytes32 sums = keccak256(abi.encode(t, SUMS_SLOT));
        vm.store(
            v,
            keccak256(abi.encode(t, keccak256(abi.encode(_account(a), DEPOSITED_SLOT)))),
            bytes32(uint256(value))
        );
        // totalIn is the low half.
        vm.store(v, sums, bytes32(uint256(int256(uint256(vm.load(v, sums))) + change)));
    }

    function _bring(uint256 assetId, uint256 a, uint256 amount) private {
        _brought[assetId] += amount;
        _deposit(_vault(assetId), _tokenOf(assetId), _account(a), amount);
    }

    function _list(uint256 assetId, address t, uint32 epoch) private {
        bool settlement = t == address(token);
        riskConfig.setAsset(
            assetId,
            IRiskConfig.Asset(
                SPOKE,
                epoch,
                t,
                settlement ? 6 : 18,
                settlement ? 0 : 1,
                settlement,
                settlement ? 10_000 : 8000,
                settlement ? 10_000 : 9000,
                settlement ? 1e15 : 1e21,
                settlement ? 1e15 : 1e21
            )
        );
    }

    function _deliverFirst() private {
        for (uint256 a; a < ACCOUNTS; ++a) {
            sendCounters(0, a);
            sendCounters(1, a);
            sendCounters(2, a);
        }
        for (uint256 i; i < _packets.length; ++i) {
            _deliverAt(i);
        }
    }

    function _asset(uint256 seed) private view returns (uint256) {
        return _assets[seed % 5];
    }

    function _seedOf(uint256 assetId) private pure returns (uint256) {
        return assetId - 1;
    }

    function _vault(uint256 assetId) private view returns (CollateralVault) {
        if (assetId == HUB_ASSET) return localVault;
        return assetId < 4 ? vault : _next;
    }

    function _tokenOf(uint256 assetId) private view returns (TestToken) {
        if (assetId == HUB_ASSET) return hubToken;
        return assetId == SPOKE_ASSET || assetId == 4 ? token : _weth;
    }

    function _account(uint256 a) private pure returns (bytes32) {
        return Accounts.main(address(uint160(0x100 + (a % ACCOUNTS))));
    }

    function _recipient(uint256 a, bool toVenue) private view returns (address) {
        return toVenue ? address(_venue.gateway()) : address(uint160(0x200 + (a % ACCOUNTS)));
    }

    /// @dev The same token at the newest vault of the spoke.
    function _newest(uint256 assetId) private view returns (uint256) {
        return _replaced && assetId < 4 ? assetId + 2 : assetId;
    }

    function _deposited(uint256 assetId, uint256 a) private view returns (uint256) {
        return gateway.vault().depositedIn(_account(a), address(_tokenOf(assetId)));
    }
}
