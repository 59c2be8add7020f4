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

/// @notice Transfers and approvals answer nothing, and an allowance is changed only from or to zero, as USDT's.
contract SilentToken {
    uint8 public constant decimals = 6;
    mapping(address who => uint256) public balanceOf;
    mapping(address owner => mapping(address spender => uint256)) public allowance;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function approve(address spender, uint256 amount) external {
        require(amount == 0 || allowance[msg.sender][spender] == 0, "from or to zero");
        allowance[msg.sender][spender] = amount;
    }

    function transfer(address to, uint256 amount) external {
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += amount;
    }

    function transferFrom(address from, address to, uint256 amount) external {
        allowance[from][msg.sender] -= amount;
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
    }
}

/// @notice Balances are shares of a pot that grows and shrinks; what arrives is rounded down, as stETH's.
contract RebasingToken is TestToken {
    uint256 public index = 1e18;

    constructor() TestToken("Rebasing", "REB", 18) {}

    function setIndex(uint256 index_) external {
        index = index_;
    }

    function balanceOf(address who) public view override returns (uint256) {
        return super.balanceOf(who) * index / 1e18;
    }

    function _update(address from, address to, uint256 amount) internal override {
        super._update(from, to, from == address(0) ? amount : amount * 1e18 / index);
    }
}

/// @notice Has no permit, but answers to any call, as WETH does.
contract PhantomToken is TestToken {
    constructor() TestToken("Phantom", "PHA", 18) {}

    function permit(address, address, uint256, uint256, uint8, bytes32, bytes32) public override {}
}

/// @notice Calls its sender back while it is on its way, as ERC-777 tokens do.
contract HookToken is TestToken {
    constructor() TestToken("Hook", "HOO", 18) {}

    function _update(address from, address to, uint256 amount) internal override {
        if (from.code.length != 0) IHooked(from).onTokenSent(to, amount);
        super._update(from, to, amount);
    }
}

interface IHooked {
    function onTokenSent(address to, uint256 amount) external;
}
