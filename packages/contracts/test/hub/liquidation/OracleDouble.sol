// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IPriceOracle} from "../../../src/interfaces/IPriceOracle.sol";

/// Prices set by hand. A report is abi.encode(seq, feed, price); like the real one it is refused when malformed and ignored
/// when it isn't newer.
contract OracleDouble is IPriceOracle {
    error Malformed();

    mapping(uint256 feed => Price) private _prices;
    uint64 public seq;

    function set(uint256 feed, uint256 value) public {
        _prices[feed].price = value;
        _prices[feed].observedAt = block.timestamp;
        _prices[feed].fresh = true;
    }

    function setConfidence(uint256 feed, uint256 confidence) external {
        _prices[feed].confidence = confidence;
    }

    function setParked(uint256 feed, uint256 value) external {
        _prices[feed].parked = value;
    }

    function setStale(uint256 feed) external {
        _prices[feed].fresh = false;
    }

    function update(bytes calldata report) external returns (bool stored) {
        if (report.length != 96) revert Malformed();
        (uint64 newSeq, uint256 feed, uint256 value) = abi.decode(report, (uint64, uint256, uint256));
        if (newSeq <= seq) return false;
        seq = newSeq;
        set(feed, value);
        return true;
    }

    function price(uint256 feed) external view returns (Price memory) {
        return _prices[feed];
    }

    function prices(uint256[] calldata feeds) external view returns (Price[] memory list) {
        list = new Price[](feeds.length);
        for (uint256 i; i < feeds.length; ++i) {
            list[i] = _prices[feeds[i]];
        }
    }

    function latest() external view returns (uint32, uint64) {
        return (1, seq);
    }

    function feedCount() external pure returns (uint256) {
        return 2;
    }
}
