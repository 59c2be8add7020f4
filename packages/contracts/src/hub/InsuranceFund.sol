// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ERC20, IERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC4626, IERC4626} from "@openzeppelin/contracts/token/ERC20/extensions/ERC4626.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {SafeCastLib} from "solady/utils/SafeCastLib.sol";
import {IClearinghouse} from "../interfaces/IClearinghouse.sol";
import {ICollateralVault} from "../interfaces/ICollateralVault.sol";
import {IHubGateway, ISpokeGateway} from "../interfaces/IGateways.sol";
import {IBackstop, ILiquidationAuction} from "../interfaces/ILiquidation.sol";
import {IMarginEngine} from "../interfaces/IMarginEngine.sol";
import {IRiskConfig} from "../interfaces/IRiskConfig.sol";
import {Accounts} from "../libraries/Accounts.sol";

/// @notice First to bear a loss that an account cannot (DESIGN §4, Loss order). Its assets are the cash of its own account in the
/// clearinghouse, less the backstop's deficit; it deposits and withdraws as any depositor does, through the hub chain's vault.
/// Auction and backstop spend that cash by `Clearinghouse.moveCash`. Who comes pays for what the backstop has and will bring in; who
/// leaves gets none of it. Shares that wait for their exit still bear losses, an exit gets the lowest price seen since its
/// request, and none happens while a loss is known and not yet charged. It is paid by the vault of the hub's chain, or into an account
/// of the clearinghouse, which can withdraw wherever there is backing.
contract InsuranceFund is ERC4626, ReentrancyGuardTransient {
    using FixedPointMathLib for uint256;
    using SafeCastLib for uint256;
    using SafeERC20 for IERC20;

    /// The contracts that it works with; all on the hub's chain.
    struct Wiring {
        IClearinghouse clearinghouse;
        IMarginEngine marginEngine;
        IRiskConfig riskConfig;
        ILiquidationAuction auction;
        ICollateralVault vault;
        ISpokeGateway spokeGateway;
        IHubGateway hubGateway;
        address backstop;
    }

    struct Exit {
        uint128 shares;
        /// Seconds; redeemable from here for `exitWindow`.
        uint64 ripeAt;
        /// Lowest price seen since the request: RAY of asset units per share unit.
        uint256 rate;
    }

    event ExitRequested(address indexed owner, uint256 shares, uint64 ripeAt, uint256 rate);
    /// @param forgone Shares given up: a request that isn't used gets no more than it would have been paid.
    event ExitCancelled(address indexed owner, uint256 forgone);
    event ExitRateLowered(address indexed owner, uint256 rate);

    error NotAContract(address token);
    error InvalidParameters();
    /// No deposits: a share is worth less than a thousandth of what the first one cost, or the backstop's deficit (WAD `value` below
    /// zero) would swallow them. Until the backstop earns it back, someone gives the fund cash, or all `shares` have left.
    error FundWiped(int256 value, uint256 shares);
    /// The maturing bucket has no room for the whole deposit (WAD settlement units).
    error DepositNotMatured(uint256 expected, int256 credited);
    /// The vault did not pay at once: its outflow limit, or a recipient that refuses the token.
    error PayoutIncomplete(uint128 released, uint128 paid);
    error InvalidShares(uint256 shares, uint256 balance);
    /// Shares that wait for their exit don't move; cancel first.
    error SharesInCoolDown(address owner, uint256 shares);

    uint256 private constant RAY = 1e27;
    /// Virtual shares per virtual asset unit: makes inflating the first deposits cost far more than it takes.
    uint8 private constant DECIMALS_OFFSET = 6;
    /// RAY of asset units per share unit, a thousandth of the first price. No share is sold below it: so there are never more than
    /// 1000 × 10^DECIMALS_OFFSET share units per asset unit ever deposited, however often the fund is wiped out. Without it
    /// every loss multiplies them, until they no longer fit.
    uint256 private constant FLOOR_RATE = RAY / 10 ** DECIMALS_OFFSET / 1000;

    IClearinghouse public immutable clearinghouse;
    IMarginEngine public immutable marginEngine;
    IRiskConfig public immutable riskConfig;
    ILiquidationAuction public immutable auction;
    ICollateralVault public immutable vault;
    ISpokeGateway public immutable spokeGateway;
    IHubGateway public immutable hubGateway;
    /// @notice The fund's account in the clearinghouse, and its backstop's.
    bytes32 public immutable account;
    bytes32 public immutable backstopAccount;
    IBackstop public immutable backstop;
    /// @notice Endpoint id of the hub's chain.
    uint32 public immutable eid;
    /// @notice Seconds between a request and its exit, and for how long the exit then stays open.
    uint32 public immutable coolDown;
    uint32 public immutable exitWindow;
    /// WAD per unit of the token.
    uint256 private immutable _scale;

    mapping(address owner => Exit) public exits;

    /// @param token Settlement token on the hub's chain; must be deployed already (its decimals are read).
    constructor(IERC20 token, Wiring memory wiring, uint32 eid_, uint32 coolDown_, uint32 exitWindow_)
        ERC4626(token)
        ERC20("Clearspan Insurance Fund", "csIF")
    {
        if (address(token).code.length == 0) revert NotAContract(address(token));
        uint256 tokenDecimals = decimals() - DECIMALS_OFFSET;
        if (tokenDecimals > 18 || exitWindow_ == 0) revert InvalidParameters();
        _scale = 10 ** (18 - tokenDecimals);
        clearinghouse = wiring.clearinghouse;
        marginEngine = wiring.marginEngine;
        riskConfig = wiring.riskConfig;
        auction = wiring.auction;
        vault = wiring.vault;
        spokeGateway = wiring.spokeGateway;
        hubGateway = wiring.hubGateway;
        account = Accounts.main(address(this));
        backstopAccount = Accounts.main(wiring.backstop);
        backstop = IBackstop(wiring.backstop);
        eid = eid_;
        coolDown = coolDown_;
        exitWindow = exitWindow_;
    }

    /* VALUE */

    /// @inheritdoc ERC4626
    /// @notice Token decimals, rounded down. The backstop's gains count only once they are swept in, its deficit at once.
    function totalAssets() public view override returns (uint256) {
        int256 value = _value();
        return value > 0 ? uint256(value) / _scale : 0;
    }

    /// WAD; below zero while the backstop's deficit exceeds the fund's cash.
    function _value() private view returns (int256) {
        int256 deficit = FixedPointMathLib.min(marginEngine.accountHealth(backstopAccount).equity, int256(0));
        return clearinghouse.cash(account) + deficit;
    }

    /// @notice Asset id of the token in RiskConfig.
    function assetId() public view returns (uint256) {
        return riskConfig.assetIdOf(eid, vault.epoch(), asset());
    }

    function _decimalsOffset() internal pure override returns (uint8) {
        return DECIMALS_OFFSET;
    }

    /// RAY of asset units per share unit, rounded down.
    function _rate() private view returns (uint256) {
        return (totalAssets() + 1).fullMulDiv(RAY, totalSupply() + 10 ** DECIMALS_OFFSET);
    }

    /// The backstop's book is valued at prices that may be relied on.
    function _isValued() private view returns (bool) {
        return marginEngine.accountHealth(backstopAccount).fresh;
    }

    function _isWiped() private view returns (bool) {
        return _value() < 0 || _rate() < FLOOR_RATE;
    }

    /* DEPOSIT */

    /// @inheritdoc ERC4626
    /// @notice 0 while the backstop cannot be valued or the fund is wiped out.
    function maxDeposit(address) public view override returns (uint256) {
        return _isValued() && !_isWiped() ? type(uint256).max : 0;
    }

    /// @inheritdoc ERC4626
    /// @notice 0 while the backstop cannot be valued or the fund is wiped out.
    function maxMint(address owner) public view override returns (uint256) {
        return maxDeposit(owner);
    }

    /// @inheritdoc ERC4626
    /// @notice At the worth of the fund with all that the backstop holds and has under way: nobody buys into gains made before.
    function previewDeposit(uint256 assets) public view override returns (uint256) {
        return assets.fullMulDiv(totalSupply() + 10 ** DECIMALS_OFFSET, _assetsIn() + 1);
    }

    /// @inheritdoc ERC4626
    /// @notice As `previewDeposit`.
    function previewMint(uint256 shares) public view override returns (uint256) {
        return shares.fullMulDivUp(_assetsIn() + 1, totalSupply() + 10 ** DECIMALS_OFFSET);
    }

    /// Token decimals, rounded up. What is being sold counts beside its proceeds for a while.
    function _assetsIn() private view returns (uint256) {
        int256 value = clearinghouse.cash(account) + marginEngine.accountHealth(backstopAccount).equity
            + int256(backstop.unsold());
        return value > 0 ? uint256(value).divUp(_scale) : 0;
    }

    /// @inheritdoc ERC4626
    function deposit(uint256 assets, address receiver) public override nonReentrant returns (uint256) {
        _prepare();
        return super.deposit(assets, receiver);
    }

    /// @inheritdoc ERC4626
    function mint(uint256 shares, address receiver) public override nonReentrant returns (uint256) {
        _prepare();
        return super.mint(shares, receiver);
    }

    function _prepare() private {
        _collect();
        if (_isWiped()) revert FundWiped(_value(), totalSupply());
    }

    /// Books what others gave to the fund's account before the price of new shares is read.
    function _collect() private {
        uint256 id = assetId();
        if (clearinghouse.row(account, id).immature != 0) clearinghouse.mature(account, id);
    }

    /// Into the vault and, on the same chain, at once into the ledger; all or nothing.
    function _transferIn(address from, uint256 assets) internal override {
        IERC20 token = IERC20(asset());
        int256 before = clearinghouse.cash(account);
        token.safeTransferFrom(from, address(this), assets);
        token.forceApprove(address(vault), assets);
        vault.deposit(account, address(token), assets);
        ISpokeGateway.CounterKey[] memory keys = new ISpokeGateway.CounterKey[](1);
        keys[0] = ISpokeGateway.CounterKey(account, address(token));
        spokeGateway.sendCounters(keys);
        _collect();
        int256 credited = clearinghouse.cash(account) - before;
        if (credited < int256(assets * _scale)) revert DepositNotMatured(assets * _scale, credited);
    }

    /* EXIT */

    /// @notice Starts (or restarts) the cool-down of `shares` of the caller's; an earlier request is cancelled first, which may leave
    /// fewer shares.
    function requestRedeem(uint256 shares) external nonReentrant returns (uint64 ripeAt) {
        if (exits[msg.sender].shares != 0) _cancel();
        if (shares == 0 || shares > balanceOf(msg.sender)) {
            revert InvalidShares(shares, balanceOf(msg.sender));
        }
        ripeAt = uint64(block.timestamp) + coolDown;
        uint256 rate = _rate();
        exits[msg.sender] = Exit(shares.toUint128(), ripeAt, rate);
        emit ExitRequested(msg.sender, shares, ripeAt, rate);
    }

    /// @notice Withdraws the caller's request. What the fund earned since isn't made up for: shares beyond the worth of the exit
    /// are burnt, so that nobody keeps a way out open and earns all the same.
    function cancelRedeem() external nonReentrant {
        _cancel();
    }

    function _cancel() private {
        Exit memory exit_ = exits[msg.sender];
        delete exits[msg.sender];
        uint256 forgone = _forgone(exit_);
        if (forgone != 0) _burn(msg.sender, forgone);
        emit ExitCancelled(msg.sender, forgone);
    }

    /// Shares fewer after leaving at the exit's price and coming back at the one that leaves behind; none when nobody else is there to
    /// have them.
    function _forgone(Exit memory exit_) private view returns (uint256) {
        uint256 supply = totalSupply();
        if (exit_.rate >= _rate() || supply == exit_.shares) return 0;
        uint256 worth = uint256(exit_.shares).fullMulDiv(exit_.rate, RAY);
        uint256 others = supply - exit_.shares + 10 ** DECIMALS_OFFSET;
        return uint256(exit_.shares).zeroFloorSub(worth.fullMulDiv(others, totalAssets() + 1 - worth));
    }

    /// @notice Lowers the price of a waiting exit to the present one, if that is lower. Anyone.
    function observe(address owner) external {
        Exit storage exit_ = exits[owner];
        uint256 rate = _rate();
        if (exit_.shares == 0 || rate >= exit_.rate) return;
        exit_.rate = rate;
        emit ExitRateLowered(owner, rate);
    }

    /// @inheritdoc ERC4626
    /// @notice What is ripe now and the hub's chain can pay: 0 while a loss is known and not yet charged, or while the backstop cannot be
    /// valued.
    function maxRedeem(address owner) public view override returns (uint256 shares) {
        shares = _ripe(owner);
        // What left the hub's chain by other depositors' withdrawals cannot be paid here, but into an account.
        // While some of the backing is suspect cash leaves in kind, which is for the account's owner to want.
        uint256 payable_ = clearinghouse.suspectAssets() == 0 ? clearinghouse.backing(assetId()) / _scale : 0;
        uint256 rate = _exitRate(owner);
        if (rate != 0 && shares.fullMulDiv(rate, RAY) > payable_) shares = payable_.fullMulDiv(RAY, rate);
    }

    /// @inheritdoc ERC4626
    function maxWithdraw(address owner) public view override returns (uint256) {
        return maxRedeem(owner).fullMulDiv(_exitRate(owner), RAY);
    }

    /// @inheritdoc ERC4626
    /// @notice At the price of the caller's own request, if there is one.
    function previewRedeem(uint256 shares) public view override returns (uint256) {
        return shares.fullMulDiv(_exitRate(msg.sender), RAY);
    }

    /// @inheritdoc ERC4626
    /// @notice At the price of the caller's own request, if there is one.
    function previewWithdraw(uint256 assets) public view override returns (uint256) {
        return assets.fullMulDivUp(RAY, _exitRate(msg.sender));
    }

    /// @inheritdoc ERC4626
    function redeem(uint256 shares, address receiver, address owner)
        public
        override
        nonReentrant
        returns (uint256 assets)
    {
        uint256 max = maxRedeem(owner);
        if (shares > max) revert ERC4626ExceededMaxRedeem(owner, shares, max);
        assets = shares.fullMulDiv(_exitRate(owner), RAY);
        _leave(receiver, owner, assets, shares);
    }

    /// @inheritdoc ERC4626
    function withdraw(uint256 assets, address receiver, address owner)
        public
        override
        nonReentrant
        returns (uint256 shares)
    {
        uint256 max = maxWithdraw(owner);
        if (assets > max) revert ERC4626ExceededMaxWithdraw(owner, assets, max);
        shares = assets.fullMulDivUp(RAY, _exitRate(owner));
        _leave(receiver, owner, assets, shares);
    }

    /// @notice Exits as `redeem` does, into an account of the clearinghouse, whatever the hub's chain can pay. The caller's own shares.
    /// @return assets Token decimals.
    function redeemToAccount(uint256 shares, bytes32 to) external nonReentrant returns (uint256 assets) {
        uint256 max = _ripe(msg.sender);
        if (shares > max) revert ERC4626ExceededMaxRedeem(msg.sender, shares, max);
        assets = shares.fullMulDiv(_exitRate(msg.sender), RAY);
        exits[msg.sender].shares -= shares.toUint128();
        _burn(msg.sender, shares);
        clearinghouse.transferCash(account, to, assets * _scale);
        emit Withdraw(msg.sender, Accounts.owner(to), msg.sender, assets, shares);
    }

    function _ripe(address owner) private view returns (uint256) {
        Exit memory exit_ = exits[owner];
        if (block.timestamp < exit_.ripeAt || block.timestamp > uint256(exit_.ripeAt) + exitWindow) return 0;
        return auction.insolventCount() != 0 || !_isValued() ? 0 : exit_.shares;
    }

    function _leave(address receiver, address owner, uint256 assets, uint256 shares) private {
        exits[owner].shares -= shares.toUint128();
        _withdraw(msg.sender, receiver, owner, assets, shares);
    }

    /// The lower of the price now and the lowest since the owner's request, RAY, rounded down.
    function _exitRate(address owner) private view returns (uint256) {
        Exit memory exit_ = exits[owner];
        uint256 rate = _rate();
        return exit_.shares == 0 ? rate : rate.min(exit_.rate);
    }

    /// An ordinary withdrawal from the fund's account, carried to the vault of the same chain in the same transaction.
    function _transferOut(address to, uint256 assets) internal override {
        if (assets == 0) return;
        uint256 id = assetId();
        clearinghouse.withdraw(account, id, to, assets.toUint128());
        IHubGateway.ReleaseKey[] memory keys = new IHubGateway.ReleaseKey[](1);
        keys[0] = IHubGateway.ReleaseKey(account, to, id);
        hubGateway.sendReleases(eid, keys);
        uint128 released = clearinghouse.released(account, to, id);
        uint128 paid = vault.paidOut(account, asset(), to);
        if (paid < released) revert PayoutIncomplete(released, paid);
    }

    /// Shares in cool-down stay where they are: one ripe request doesn't serve a chain of holders.
    function _update(address from, address to, uint256 value) internal override {
        if (from != address(0) && to != address(0)) {
            uint256 locked = exits[from].shares;
            if (value + locked > balanceOf(from)) revert SharesInCoolDown(from, locked);
        }
        super._update(from, to, value);
    }
}
