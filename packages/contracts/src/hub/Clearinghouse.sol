// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {IClearinghouse} from "../interfaces/IClearinghouse.sol";
import {IInstrument} from "../interfaces/IInstrument.sol";
import {IdList} from "../libraries/IdList.sol";
import {Books} from "./Books.sol";
import {Deleveraging} from "./Deleveraging.sol";
import {Lending} from "./Lending.sol";
import {Silence} from "./Silence.sol";
import {Collateral} from "./ledger/Collateral.sol";
import {LedgerBase} from "./ledger/LedgerBase.sol";
import {Settlement} from "./Settlement.sol";

/// @title Clearinghouse
/// @notice The hub's ledger. Collateral and positions are kept apart; here they meet: an account as a whole, valued and moved.
/// The owner (a timelock) lists venues and opens epochs, and can move nobody's money.
contract Clearinghouse is Collateral {
    using FixedPointMathLib for uint256;
    using IdList for uint256;

    /// @dev A part without code would do nothing, and say that it did.
    error NoCode(address part);

    /// @notice Code that has no room here, run on this contract's state: made with the same modules.
    address public immutable books;
    address public immutable silence;
    address public immutable settlement;
    address public immutable lender;
    address public immutable deleveraging;

    constructor(
        address owner,
        Modules memory modules,
        Books books_,
        Silence silence_,
        Settlement settlement_,
        Lending lending_,
        Deleveraging deleveraging_
    ) Ownable(owner) LedgerBase(modules) {
        if (address(books_).code.length == 0) revert NoCode(address(books_));
        if (address(silence_).code.length == 0) revert NoCode(address(silence_));
        if (address(settlement_).code.length == 0) revert NoCode(address(settlement_));
        if (address(lending_).code.length == 0) revert NoCode(address(lending_));
        if (address(deleveraging_).code.length == 0) revert NoCode(address(deleveraging_));
        books = address(books_);
        silence = address(silence_);
        settlement = address(settlement_);
        lender = address(lending_);
        deleveraging = address(deleveraging_);
        (_loans.cashIndex, _loans.debtIndex) = (uint72(FIRST_INDEX), uint72(FIRST_INDEX));
        _warmings = Warmings(0, uint64(INDEX), 0, 1 days);
    }

    /* PARTS */

    /// @notice Lists a venue, or ends that. Only the owner.
    function setVenue(address, bool) external {
        _run(books);
    }

    /// @inheritdoc IClearinghouse
    function approveVenue(bytes32, address, uint256) external {
        _run(books);
    }

    /// @inheritdoc IClearinghouse
    function setDelegate(bytes32, address, bool) external {
        _run(books);
    }

    /// @notice Trades may only reduce until then (seconds), at most MAX_PAUSE ahead; a time that is past lifts it. Only the owner.
    function pauseNewRisk(uint64) external {
        _run(books);
    }

    /// @notice Accepts a new vault of a chain, after its predecessor has been sealed. Only the owner.
    function openEpoch(uint32, uint32) external {
        _run(books);
    }

    /// @inheritdoc IClearinghouse
    function receiveTotals(uint32, uint32, uint64, address, uint128, uint128, uint128) external {
        _run(books);
    }

    /// @inheritdoc IClearinghouse
    function withdraw(bytes32, uint256, address, uint128) external {
        _run(books);
    }

    /// @inheritdoc IClearinghouse
    function releaseTo(bytes32, uint256, address, uint128) external {
        _run(books);
    }

    /// @inheritdoc IClearinghouse
    function bookRegression(bytes32, uint256) external {
        _run(books);
    }

    /// @inheritdoc IClearinghouse
    function repair(uint256) external returns (uint128) {
        _run(books);
    }

    /// @inheritdoc IClearinghouse
    function setPortfolioMargin(bytes32, bool) external {
        _run(books);
    }

    /// @inheritdoc IClearinghouse
    function trade(uint256, bytes32, bytes32, uint256, uint256) external {
        _run(settlement);
    }

    /// @inheritdoc IClearinghouse
    function settlePnl(bytes32, uint256) external returns (int256) {
        _run(settlement);
    }

    /// @inheritdoc IClearinghouse
    function warm(bytes32) external {
        _run(settlement);
    }

    /// @inheritdoc IClearinghouse
    function warming(bytes32) external view returns (uint256, uint256, uint256) {
        _runView(settlement);
    }

    /// @inheritdoc IClearinghouse
    function warmings() external view returns (uint256, uint256, uint256, uint256) {
        _runView(settlement);
    }

    /// @notice How long settled profit warms from now on: an hour to seven days (seconds). Only the owner.
    function setWarmingPeriod(uint32) external {
        _run(settlement);
    }

    /// @inheritdoc IClearinghouse
    function settleExpired(bytes32, uint256) external returns (int256) {
        _run(settlement);
    }

    /// @notice Lists a liquidation engine for an asset class, or ends that. Only the owner.
    function setEngine(address, address, bool) external {
        _run(books);
    }

    /// @inheritdoc IClearinghouse
    function liquidate(bytes32, bytes32, uint256, uint256) external {
        _run(books);
    }

    /// @inheritdoc IClearinghouse
    function socialise(bytes32, uint256) external returns (uint256) {
        _run(deleveraging);
    }

    /// @inheritdoc IClearinghouse
    function deleverage(bytes32, uint256, uint256) external returns (uint256) {
        _run(deleveraging);
    }

    /// @inheritdoc IClearinghouse
    function sideOf(uint256, bool) external view returns (uint256, uint256) {
        _runView(deleveraging);
    }

    /// @inheritdoc IClearinghouse
    function positionWord(bytes32, uint256) external view returns (uint256) {
        _runView(deleveraging);
    }

    /// @notice What is under regression stays behind. The receiver's rows may be twice as many as an account may open.
    /// @inheritdoc IClearinghouse
    function transferFraction(bytes32, bytes32, uint256, uint256) external {
        _run(settlement);
    }

    /// @inheritdoc IClearinghouse
    function moveCash(bytes32, bytes32, uint256) external {
        _run(settlement);
    }

    /// @inheritdoc IClearinghouse
    function transferCash(bytes32, bytes32, uint256) external {
        _run(lender);
    }

    /// @notice What is lent, and at what interest (LendingSet). Only the owner.
    function setLending(uint16, uint16, uint16, uint16, uint16) external {
        _run(lender);
    }

    /// @inheritdoc IClearinghouse
    function accrueInterest() external returns (uint256) {
        _run(lender);
    }

    /// @inheritdoc IClearinghouse
    function lending() external view returns (Lent memory) {
        _runView(lender);
    }

    /// @inheritdoc IClearinghouse
    function marginWithoutProfit(bytes32) external view returns (int256) {
        _runView(lender);
    }

    /// @inheritdoc IClearinghouse
    function cashIndices() external view returns (uint256, uint256) {
        _runView(lender);
    }

    /// @inheritdoc IClearinghouse
    function watch(uint256[] calldata) external returns (uint256) {
        _run(silence);
    }

    /// @inheritdoc IClearinghouse
    function transferSuspended(bytes32, bytes32, uint256) external {
        _run(silence);
    }

    /// @inheritdoc IClearinghouse
    function livenessOf(uint256) external view returns (Liveness, uint32, uint32) {
        _runView(silence);
    }

    /// @inheritdoc IClearinghouse
    function keptOf(bytes32, uint256) external view returns (uint256, uint256) {
        _runView(silence);
    }

    /// @inheritdoc IClearinghouse
    function backing(uint256) external view returns (uint256) {
        _runView(silence);
    }

    /// @inheritdoc IClearinghouse
    function totalBacking() external view returns (uint128) {
        _runView(silence);
    }

    /// @inheritdoc IClearinghouse
    function totalCash() external view returns (uint256, uint256) {
        _runView(lender);
    }

    /// @inheritdoc IClearinghouse
    function suspectAssets() external view returns (uint256) {
        _runView(silence);
    }

    /// @inheritdoc IClearinghouse
    function row(bytes32, uint256) external view returns (Row memory) {
        _runView(silence);
    }

    /// @inheritdoc IClearinghouse
    function vaulted(uint256) external view returns (int256, uint256, uint128, uint128, uint128) {
        _runView(silence);
    }

    /// @inheritdoc IClearinghouse
    function claimWord(bytes32, uint256) external view returns (uint256) {
        _runView(silence);
    }

    /// @inheritdoc IClearinghouse
    function countedCash(bytes32) external view returns (int256, uint256) {
        _runView(silence);
    }

    /// @dev For code that changes nothing, which the compiler can't know of a delegatecall.
    function _runView(address part) internal view {
        function(address) internal run = _run;
        function(address) internal view view_;
        assembly ("memory-safe") {
            view_ := run
        }
        view_(part);
    }

    /// @dev The call as it came; ends it with what the part returns.
    function _run(address part) internal {
        assembly ("memory-safe") {
            let free := mload(0x40)
            calldatacopy(free, 0, calldatasize())
            let ok := delegatecall(gas(), part, free, calldatasize(), 0, 0)
            returndatacopy(free, 0, returndatasize())
            if iszero(ok) { revert(free, returndatasize()) }
            return(free, returndatasize())
        }
    }

    /* ACCOUNTS */

    /// @inheritdoc IClearinghouse
    function rows(bytes32 account)
        external
        view
        returns (int256, uint256, uint256, uint256, uint256, bool, uint256[] memory)
    {
        _giveRows(account);
    }

    /// @dev Cash, warming profit and regressed cash. @return regressed Rows of it are.
    function _putCash(bytes32 account, uint256 head) internal view returns (bool regressed) {
        AccountState storage state = _accounts[account];
        int256 held = _cash(account);
        uint256 warming_;
        if (state.warms) (warming_,,) = _warmth(account);
        uint256 regressedCash;
        regressed = state.regressedRows != 0;
        if (regressed) (held, regressedCash) = this.countedCash(account);
        assembly ("memory-safe") {
            mstore(head, held)
            mstore(add(head, 0x20), warming_)
            mstore(add(head, 0x40), regressedCash)
        }
    }

    /// @dev Ends the call with them. In memory they have the head of their ABI encoding before them, so that they are returned as they lie.
    function _giveRows(bytes32 account) internal view {
        uint256 head;
        assembly ("memory-safe") {
            // Both lists full are 42 words.
            head := mload(0x40)
            mstore(0x40, add(head, 0x640))
        }
        bool regressed = _putCash(account, head);
        AccountState storage state = _accounts[account];
        (uint256 assets, uint256 instruments, bool portfolioSet) =
            (state.assets, state.instruments, state.portfolioSet);
        uint256 to;
        assembly ("memory-safe") {
            mstore(add(head, 0x60), assets)
            mstore(add(head, 0x80), instruments)
            mstore(add(head, 0xa0), portfolioSet)
            mstore(add(head, 0xc0), 0xe0)
            to := add(head, 0x100)
        }
        uint256 marks = _marks[0];
        for (; assets != 0; assets >>= 12) {
            uint256 id = assets & IdList.MAX_ID;
            uint256 word =
                _claimWord(account, id, _rows[account][id].claim, regressed || _isMarked(id, marks));
            assembly ("memory-safe") {
                mstore(to, word)
                to := add(to, 0x20)
            }
        }
        for (; instruments != 0; instruments >>= 12) {
            uint256 id = instruments & IdList.MAX_ID;
            uint256 word;
            if (_isMarked(CHARGED | id, marks)) {
                word = this.positionWord(account, id);
            } else {
                Position storage p = _positions[account][id];
                assembly ("memory-safe") {
                    word := sload(p.slot)
                }
            }
            assembly ("memory-safe") {
                mstore(to, word)
                to := add(to, 0x20)
            }
        }
        assembly ("memory-safe") {
            mstore(add(head, 0xe0), sub(shr(5, sub(to, head)), 8))
            return(head, sub(to, head))
        }
    }

    function _claimWord(bytes32 account, uint256 assetId, uint256 claim, bool doubted)
        internal
        view
        returns (uint256)
    {
        return claim != 0 && doubted ? this.claimWord(account, assetId) : claim | (claim << 128);
    }

    /// @inheritdoc IClearinghouse
    function position(bytes32, uint256) external view returns (Position memory) {
        _runView(deleveraging);
    }

    /// @notice As the margin engine reads `rows`.
    /// @inheritdoc IClearinghouse
    function portfolio(bytes32) external view returns (Portfolio memory) {
        address target = address(marginEngine);
        assembly ("memory-safe") {
            let free := mload(0x40)
            calldatacopy(free, 0, calldatasize())
            let ok := staticcall(gas(), target, free, calldatasize(), 0, 0)
            returndatacopy(free, 0, returndatasize())
            if iszero(ok) { revert(free, returndatasize()) }
            return(free, returndatasize())
        }
    }

    /* VIEWS */

    /// @inheritdoc IClearinghouse
    function instrumentsOf(bytes32 account) external view returns (uint256[] memory) {
        return _accounts[account].instruments.toArray();
    }

    /// @inheritdoc IClearinghouse
    function houseRow(uint256 instrumentId) external view returns (int256 size, int256 quote) {
        return (_markets[instrumentId].houseSize, _markets[instrumentId].houseQuote);
    }

    /// @inheritdoc IClearinghouse
    function pnlPool(uint256 instrumentId) external view returns (uint256) {
        return _markets[instrumentId].pool;
    }

    /// @inheritdoc IClearinghouse
    function openInterest(uint256 instrumentId) external view returns (uint256 long, uint256 short) {
        return (_markets[instrumentId].long, _markets[instrumentId].short);
    }
}
