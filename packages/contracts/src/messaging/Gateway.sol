// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {OApp, MessagingFee, Origin} from "@layerzerolabs/oapp-evm/contracts/oapp/OApp.sol";
import {OptionsBuilder} from "@layerzerolabs/oapp-evm/contracts/oapp/libs/OptionsBuilder.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Address} from "@openzeppelin/contracts/utils/Address.sol";

/// @title Gateway
/// @notice One end of the lanes between hub and spokes: LayerZero V2 across chains, a plain call on the same chain.
/// @dev Messages carry counters, so they may be late, lost, repeated or reordered: no nonce order, no retry state, and
/// anyone may send at any time. Who sends pays, and gets the surplus back.
abstract contract Gateway is OApp {
    using OptionsBuilder for bytes;

    /// @notice lzReceive gas that a message buys: base + perToken * tokens + perRow * rows.
    struct GasSchedule {
        uint64 base;
        uint64 perToken;
        uint64 perRow;
    }

    event GasScheduleSet(GasSchedule schedule);

    error TooManyRows(uint256 rows);
    error TooManyTokens();
    error TimeAhead(uint64 time);
    error OnlyLocalPeer(address caller);

    /// @notice Rows that one message may carry: its lzReceive fits in a quarter of a 30M block.
    uint256 public constant MAX_ROWS = 40;
    uint256 public constant MAX_TOKENS = 8;

    /// @notice This chain's endpoint id. A peer under it is called directly.
    uint32 public immutable localEid;
    /// @notice Seconds; a message whose time is further ahead of this chain's clock is refused, to be retried later.
    uint64 public immutable skew;

    GasSchedule public gasSchedule;

    uint64 private _localNonce;

    /// @param owner_ Also the LayerZero delegate.
    constructor(address endpoint_, address owner_, uint64 skew_, GasSchedule memory schedule)
        OApp(endpoint_, owner_)
        Ownable(owner_)
    {
        localEid = endpoint.eid();
        skew = skew_;
        gasSchedule = schedule;
        emit GasScheduleSet(schedule);
    }

    function setGasSchedule(GasSchedule calldata schedule) external onlyOwner {
        gasSchedule = schedule;
        emit GasScheduleSet(schedule);
    }

    /* SENDING */

    function _quoteMessage(uint32 eid, bytes memory message, uint256 tokens, uint256 rows)
        internal
        view
        returns (uint256 nativeFee)
    {
        if (eid == localEid) return 0;
        return _quote(eid, message, _options(tokens, rows), false).nativeFee;
    }

    function _send(uint32 eid, bytes memory message, uint256 tokens, uint256 rows)
        internal
        returns (bytes32 guid)
    {
        if (eid != localEid) {
            // The endpoint takes its fee out of the value and refunds the rest to the sender.
            return _lzSend(eid, message, _options(tokens, rows), MessagingFee(msg.value, 0), msg.sender).guid;
        }
        guid = keccak256(abi.encode(block.chainid, address(this), ++_localNonce));
        Gateway(address(uint160(uint256(_getPeerOrRevert(eid))))).receiveLocal(guid, message);
        if (msg.value > 0) Address.sendValue(payable(msg.sender), msg.value);
    }

    function _options(uint256 tokens, uint256 rows) private view returns (bytes memory) {
        GasSchedule memory schedule = gasSchedule;
        uint256 gas_ = schedule.base + schedule.perToken * tokens + schedule.perRow * rows;
        return OptionsBuilder.newOptions().addExecutorLzReceiveOption(uint128(gas_), 0);
    }

    /// @dev Index of the token or asset in the first `count` of the list, appending it if it is new.
    function _indexOf(uint256[] memory list, uint256 count, uint256 id)
        internal
        pure
        returns (uint256 index, uint256 newCount)
    {
        while (index < count && list[index] != id) ++index;
        if (index < count) return (index, count);
        if (count == list.length) revert TooManyTokens();
        list[index] = id;
        return (index, count + 1);
    }

    /* RECEIVING */

    /// @notice A message of the peer on this chain. Its address is its authentication.
    function receiveLocal(bytes32 guid, bytes calldata message) external {
        if (_getPeerOrRevert(localEid) != bytes32(uint256(uint160(msg.sender)))) {
            revert OnlyLocalPeer(msg.sender);
        }
        _receive(localEid, guid, message);
    }

    function _lzReceive(Origin calldata origin, bytes32 guid, bytes calldata message, address, bytes calldata)
        internal
        override
    {
        _receive(origin.srcEid, guid, message);
    }

    /// @dev The sender is the peer set for `eid`.
    function _receive(uint32 eid, bytes32 guid, bytes calldata message) internal virtual;

    /// @dev A far-ahead time would win over every honest counter until then.
    function _checkTime(uint64 time) internal view {
        if (time > block.timestamp + skew) revert TimeAhead(time);
    }
}
