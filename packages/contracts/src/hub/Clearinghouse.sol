// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {IClearinghouse} from "../interfaces/IClearinghouse.sol";
import {IInstrument} from "../interfaces/IInstrument.sol";
import {IRiskConfig} from "../interfaces/IRiskConfig.sol";
import {IdList} from "../libraries/IdList.sol";
import {WadMath} from "../libraries/WadMath.sol";
import {Books} from "./Books.sol";
import {Collateral} from "./ledger/Collateral.sol";
import {LedgerBase} from "./ledger/LedgerBase.sol";
import {Positions} from "./ledger/Positions.sol";

/// @title Clearinghouse
/// @notice The hub's ledger. Collateral and positions are kept apart; here they meet: an account as a whole, valued and moved.
/// The owner (a timelock) lists venues and opens epochs, and can move nobody's money.
contract Clearinghouse is Collateral, Positions {
    using FixedPointMathLib for uint256;
    using IdList for uint256;
    using WadMath for int256;

    uint256 internal constant WAD = 1e18;

    error FractionAboveOne();

    /// @notice Code of what is rarely called, run on this contract's state.
    address public immutable books;

    constructor(address owner, Modules memory modules) Ownable(owner) LedgerBase(modules) {
        books = address(new Books(modules));
    }

    /* BOOKS */

    /// @notice Trades may only reduce until then (seconds), at most MAX_PAUSE ahead; a time that is past lifts it. Only the owner.
    function pauseNewRisk(uint64) external {
        _runBooks();
    }

    /// @notice Accepts a new vault of a chain, after its predecessor has been sealed. Only the owner.
    function openEpoch(uint32, uint32) external {
        _runBooks();
    }

    /// @inheritdoc IClearinghouse
    function receiveTotals(uint32, uint32, uint64, address, uint128, uint128, uint128) external {
        _runBooks();
    }

    /// @inheritdoc IClearinghouse
    function bookRegression(bytes32, uint256) external {
        _runBooks();
    }

    /// @inheritdoc IClearinghouse
    function repair(uint256) external returns (uint128) {
        _runBooks();
    }

    /// @inheritdoc IClearinghouse
    function setPortfolioMargin(bytes32, bool) external {
        _runBooks();
    }

    /// @inheritdoc IClearinghouse
    function settleExpired(bytes32, uint256) external returns (int256) {
        _runBooks();
    }

    /// @notice Lists a liquidation engine for an asset class, or ends that. Only the owner.
    function setEngine(address, address, bool) external {
        _runBooks();
    }

    /// @inheritdoc IClearinghouse
    function liquidate(bytes32, bytes32, uint256, uint256) external {
        _runBooks();
    }

    /// @inheritdoc IClearinghouse
    function socialise(bytes32, uint256) external returns (uint256) {
        _runBooks();
    }

    /// @dev The call as it came; ends it with what the books return.
    function _runBooks() internal {
        address target = books;
        assembly ("memory-safe") {
            let free := mload(0x40)
            calldatacopy(free, 0, calldatasize())
            let ok := delegatecall(gas(), target, free, calldatasize(), 0, 0)
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
        returns (
            int256 cash_,
            uint256 regressedCash,
            uint256 assets,
            uint256 instruments,
            bool portfolioSet,
            uint256[] memory words
        )
    {
        AccountState storage state = _accounts[account];
        cash_ = state.cash;
        bool regressed = state.regressedRows != 0;
        if (regressed) regressedCash = state.regressedCash;
        (assets, instruments, portfolioSet) = (state.assets, state.instruments, state.portfolioSet);
        words = new uint256[](assets.length() + 2 * instruments.length());
        uint256 n;
        mapping(uint256 => Row) storage accountRows = _rows[account];
        for (uint256 list = assets; list != 0; list >>= 12) {
            uint256 id = list & IdList.MAX_ID;
            words[n++] = _claimWord(id, accountRows[id], regressed);
        }
        mapping(uint256 => Position) storage positions = _positions[account];
        for (uint256 list = instruments; list != 0; list >>= 12) {
            uint256 id = list & IdList.MAX_ID;
            Position storage p = positions[id];
            uint256 word;
            assembly ("memory-safe") {
                word := sload(p.slot)
            }
            int256 index = p.index;
            if (_isMarked(_chargedInstruments, id)) {
                index -= _sideIndex(_markets[id], int256(int128(uint128(word))), 0);
            }
            words[n++] = word;
            words[n++] = uint256(index);
        }
    }

    /// @dev `offered u128 | claim u128`.
    function _claimWord(uint256 assetId, Row storage r, bool regressed) internal view returns (uint256) {
        uint256 whole = r.claim;
        uint256 offered = whole;
        if (whole != 0 && (regressed || _isMarked(_unequalAssets, assetId))) {
            offered = _offeredClaim(assetId, r);
            (uint256 total, uint256 held,) = _shares(assetId);
            if (held < total) (whole, offered) = (whole.mulDiv(held, total), offered.mulDiv(held, total));
        }
        return whole | (offered << 128);
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

    /// @notice What is under regression stays behind. The receiver's rows may be twice as many as an account may open.
    /// @inheritdoc IClearinghouse
    function transferFraction(bytes32 from, bytes32 to, uint256 fraction, uint256 payment) external {
        // `liquidate` comes here too, from this address.
        _require(msg.sender == auction || msg.sender == backstop || msg.sender == address(this));
        if (fraction > WAD) revert FractionAboveOne();
        if (from == to) revert SameAccount();
        uint256 rowCap = 2 * uint256(_global().maxRows);
        _transferClaims(from, to, fraction, rowCap);
        _transferPositions(from, to, int256(fraction), rowCap);
        uint256 moved = _freeCash(from).mulWad(fraction);
        _debit(from, moved);
        _credit(to, moved);
        _debit(to, payment);
        _credit(from, payment);
        emit Transferred(from, to, fraction, int256(payment));
    }

    function _transferClaims(bytes32 from, bytes32 to, uint256 fraction, uint256 rowCap) internal {
        uint256[] memory ids = _accounts[from].assets.toArray();
        for (uint256 n; n < ids.length; ++n) {
            Row storage r = _rows[from][ids[n]];
            uint128 moved = uint128(_offeredClaim(ids[n], r).mulWad(fraction));
            if (moved == 0) continue;
            Row storage received = _rows[to][ids[n]];
            if (!received.open) _openRow(to, ids[n], false, rowCap);
            r.claim -= moved;
            received.claim += moved;
        }
    }

    function _transferPositions(bytes32 from, bytes32 to, int256 fraction, uint256 rowCap) internal {
        uint256[] memory ids = _accounts[from].instruments.toArray();
        for (uint256 n; n < ids.length; ++n) {
            uint256 id = ids[n];
            int256 costIndex = _accrue(_instrument(id), id);
            _change(from, id, costIndex, 0, 0, type(uint256).max);
            Position storage p = _positions[from][id];
            int256 size = int256(p.size).mulTrunc(fraction);
            int256 quote = int256(p.quote).mulTrunc(fraction);
            _change(from, id, costIndex, -size, -quote, type(uint256).max);
            _change(to, id, costIndex, size, quote, rowCap);
        }
    }
}
