// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {TestToken} from "../../src/mocks/TestToken.sol";

/// @notice Takes 1% of every transfer.
contract FeeToken is TestToken {
    constructor() TestToken("Fee", "FEE", 18) {}

    function _update(address from, address to, uint256 amount) internal override {
        if (from != address(0) && to != address(0)) {
            super._update(from, address(0xfee), amount / 100);
            amount -= amount / 100;
        }
        super._update(from, to, amount);
    }
}

/// @notice Misbehaves towards recipients as told, as tokens do: blocklists, failures, hooks that call back or devour gas.
contract UnrulyToken is TestToken {
    enum Manner {
        Good,
        Revert,
        ReturnFalse,
        ReturnBomb,
        BurnGas,
        CallBack,
        Hungry
    }

    mapping(address recipient => Manner) public manners;
    address private _target;
    bytes private _call;
    /// @notice What the call back came to.
    bool public called;
    bool public calledBack;

    constructor() TestToken("Unruly", "UNR", 6) {}

    function setManner(address recipient, Manner manner) external {
        manners[recipient] = manner;
    }

    function setCallBack(address target, bytes calldata data) external {
        (_target, _call) = (target, data);
    }

    /// @notice Tokens vanish from `who`, as after a slash or a hack of the issuer.
    function burn(address who, uint256 amount) external {
        _burn(who, amount);
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        Manner manner = manners[to];
        if (manner == Manner.Revert) revert("blocked");
        if (manner == Manner.ReturnFalse) return false;
        if (manner == Manner.ReturnBomb) {
            assembly {
                revert(0, 1000000)
            }
        }
        if (manner == Manner.BurnGas) {
            while (true) {}
        }
        if (manner == Manner.CallBack) {
            called = true;
            (calledBack,) = _target.call(_call);
        }
        if (manner == Manner.Hungry) {
            for (uint256 before = gasleft(); before - gasleft() < 60_000;) {}
        }
        return super.transfer(to, amount);
    }
}
