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
    function portfolio(bytes32 account) external view returns (Portfolio memory p) {
        AccountState storage state = _accounts[account];
        p.cash = state.cash;
        p.assetIds = state.assets.toArray();
        p.claims = new uint256[](p.assetIds.length);
        p.impaired = new uint256[](p.assetIds.length + 1);
        bool regressed = state.regressedRows != 0;
        for (uint256 n; n < p.assetIds.length; ++n) {
            Row storage r = _rows[account][p.assetIds[n]];
            uint128 claim = r.claim;
            if (claim == 0) continue;
            IRiskConfig.Asset memory a = _asset(p.assetIds[n]);
            (uint256 total, uint256 held, uint256 healthy) = _shares(p.assetIds[n]);
            uint256 whole = claim;
            uint256 offered = regressed || healthy < held ? _offeredClaim(p.assetIds[n], r) : whole;
            if (held < total) (whole, offered) = (whole.mulDiv(held, total), offered.mulDiv(held, total));
            p.claims[n] = _toWad(uint128(whole), a);
            p.impaired[n] = _toWad(uint128(whole - offered), a);
        }
        if (regressed) p.impaired[p.assetIds.length] = state.regressedCash;

        p.instrumentIds = state.instruments.toArray();
        p.sizes = new int256[](p.instrumentIds.length);
        p.quotes = new int256[](p.instrumentIds.length);
        for (uint256 n; n < p.instrumentIds.length; ++n) {
            uint256 id = p.instrumentIds[n];
            Position storage position_ = _positions[account][id];
            int256 costIndex = IInstrument(_instrument(id).module).costIndex(id);
            p.sizes[n] = position_.size;
            p.quotes[n] = _accruedQuote(position_, _markets[id], costIndex);
        }
    }

    /// @notice What is under regression stays behind. The receiver's rows may be twice as many as an account may open.
    /// @inheritdoc IClearinghouse
    function transferFraction(bytes32 from, bytes32 to, uint256 fraction, uint256 payment)
        external
        onlyLiquidation
    {
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
