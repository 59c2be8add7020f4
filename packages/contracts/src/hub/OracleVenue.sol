// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IClearinghouse} from "../interfaces/IClearinghouse.sol";
import {IInstrument} from "../interfaces/IInstrument.sol";
import {IReportOracle} from "../interfaces/IReportOracle.sol";
import {IRiskConfig} from "../interfaces/IRiskConfig.sol";
import {AccountSignatures} from "./AccountSignatures.sol";
import {LedgerClient} from "./LedgerClient.sol";
import {SignedOrders} from "./SignedOrders.sol";

/// @title OracleVenue
/// @notice Trades at the oracle's price of a slot that had not begun when both sides were bound to each other: nobody knew the price, and afterwards
/// nobody chooses another. Which report that is follows from the time of the commitment alone, and of a slot there is one report; what the
/// hub has stored meanwhile makes no difference.
///
/// Only orders that are signed for this contract trade here. Whoever commits a pair binds what he takes of both until it is settled or `window` is over, so
/// an order should name whom it trusts with that (`matcher`), or be small.
contract OracleVenue is SignedOrders {
    IReportOracle public immutable oracle;
    IRiskConfig public immutable riskConfig;
    uint256 public immutable slotSeconds;
    /// @notice Seconds that the chain's clock may be behind the oracle's while transactions can still get into its block.
    uint256 public immutable lead;
    /// @notice Seconds after its slot's start within which a pair is settled; later it can only be released.
    uint256 public immutable window;

    /// @notice WAD base units of a pair at a slot, by `keccak256(abi.encode(hash, hash, slot))` in the order of `commit`.
    mapping(bytes32 pair => uint256 size) public committed;

    event Committed(bytes32 indexed hashA, bytes32 indexed hashB, uint64 slot, uint256 size);
    event Settled(bytes32 indexed hashA, bytes32 indexed hashB, uint64 slot, uint256 size, uint256 price);
    event Released(bytes32 indexed hashA, bytes32 indexed hashB, uint64 slot, uint256 size);

    error ZeroSize();
    error UnknownInstrument(uint256 instrumentId);
    /// @notice Its mark isn't the price of its feed.
    error NotSpot(uint256 instrumentId);
    error NotCommitted();
    error WrongSlot(uint64 slot, uint64 needed);
    /// @notice The report has no usable price.
    error NoPrice(uint256 feed);
    error TooEarly(uint256 from);
    error TooLate(uint256 until);

    constructor(
        IClearinghouse clearinghouse_,
        IReportOracle oracle_,
        IRiskConfig riskConfig_,
        bytes32 networkId_,
        uint32 lead_,
        uint32 window_
    ) LedgerClient(clearinghouse_) AccountSignatures(networkId_) {
        (oracle, riskConfig, lead, window) = (oracle_, riskConfig_, lead_, window_);
        slotSeconds = oracle_.slotSeconds();
    }

    /// @notice Binds two orders of opposite sides to each other. Whom the orders name, or anyone.
    /// @param size WAD base units.
    /// @return slot Whose report has the price.
    function commit(
        Order calldata a,
        bytes calldata signatureA,
        Order calldata b,
        bytes calldata signatureB,
        uint256 size
    ) external returns (uint64 slot) {
        if (size == 0) revert ZeroSize();
        _requirePair(a, b);
        _requireSpot(a.instrumentId);
        slot = uint64((block.timestamp + lead) / slotSeconds + 1);
        bytes32 hashA = _take(a, signatureA, size, slot * slotSeconds);
        bytes32 hashB = _take(b, signatureB, size, slot * slotSeconds);
        committed[_pair(hashA, hashB, slot)] += size;
        emit Committed(hashA, hashB, slot, size);
    }

    /// @notice Trades a pair at its slot's price. Anyone, with that slot's report. What the clearinghouse refuses (margin, band, a stale feed) stays
    /// committed, and may be tried again within `window`.
    function settle(Order calldata a, Order calldata b, uint64 slot, bytes calldata report) external {
        uint256 until = slot * slotSeconds + window;
        if (block.timestamp > until) revert TooLate(until);
        (bytes32 hashA, bytes32 hashB, uint256 size) = _uncommit(a, b, slot);
        uint256 price = _price(a.instrumentId, slot, report);
        _requireInLimit(a, hashA, price);
        _requireInLimit(b, hashB, price);
        _trade(a, b, size, price);
        emit Settled(hashA, hashB, slot, size, price);
    }

    /// @notice Gives a pair that wasn't settled back to its orders. Anyone, once `window` is over.
    function release(Order calldata a, Order calldata b, uint64 slot) external {
        uint256 until = slot * slotSeconds + window;
        if (block.timestamp <= until) revert TooEarly(until + 1);
        (bytes32 hashA, bytes32 hashB, uint256 size) = _uncommit(a, b, slot);
        _giveBack(hashA, size);
        _giveBack(hashB, size);
        emit Released(hashA, hashB, slot, size);
    }

    function _uncommit(Order calldata a, Order calldata b, uint64 slot)
        private
        returns (bytes32 hashA, bytes32 hashB, uint256 size)
    {
        (hashA, hashB) = (orderHash(a), orderHash(b));
        bytes32 pair = _pair(hashA, hashB, slot);
        size = committed[pair];
        if (size == 0) revert NotCommitted();
        delete committed[pair];
    }

    /// @dev A cancelled order stays cancelled.
    function _giveBack(bytes32 hash, uint256 size) private {
        if (filled[hash] != type(uint256).max) filled[hash] -= size;
    }

    function _price(uint256 instrumentId, uint64 slot, bytes calldata report)
        private
        view
        returns (uint256 price)
    {
        uint256 feed = riskConfig.instrument(instrumentId).feed;
        uint64 seq;
        (seq, price) = oracle.priceIn(report, feed);
        if (seq != slot) revert WrongSlot(seq, slot);
        if (price == 0) revert NoPrice(feed);
    }

    function _requireSpot(uint256 instrumentId) private view {
        IRiskConfig.Instrument memory i = riskConfig.instrument(instrumentId);
        if (i.module == address(0)) revert UnknownInstrument(instrumentId);
        (uint256 mark,) = IInstrument(i.module).mark(instrumentId);
        if (mark != oracle.price(i.feed).price) revert NotSpot(instrumentId);
    }

    function _pair(bytes32 hashA, bytes32 hashB, uint64 slot) private pure returns (bytes32) {
        return keccak256(abi.encode(hashA, hashB, slot));
    }

    function _name() internal pure override returns (string memory) {
        return "Clearspan Oracle Venue";
    }
}
