// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {SafeCastLib} from "solady/utils/SafeCastLib.sol";
import {IClearinghouse} from "../interfaces/IClearinghouse.sol";
import {IPriceOracle} from "../interfaces/IPriceOracle.sol";
import {Accounts} from "../libraries/Accounts.sol";

/// @notice What whoever starts an auction gets from the account: the gas of it at the block's base fee, so that starting pays when gas is dear,
/// and no more than a share of the account's equity. Paid from its free cash, at once or out of what bidders pay. Never by the fund: an
/// account made to be liquidated would otherwise earn its maker something.
abstract contract CallerReward {
    using FixedPointMathLib for uint256;
    using SafeCastLib for uint256;

    struct RewardTerms {
        /// Gas that is paid for: of the call, and what its sender adds to the base fee.
        uint32 gasUnits;
        /// Price of the chain's native token.
        uint16 nativeFeed;
        /// Most, WAD share of equity. 0: no reward.
        uint64 share;
    }

    struct Owed {
        address caller;
        /// WAD.
        uint96 amount;
    }

    /// @param owed WAD; what is left for later.
    event CallerRewarded(bytes32 indexed account, address indexed caller, uint256 paid, uint256 owed);

    uint256 public immutable rewardGas;
    uint256 public immutable nativeFeed;
    uint256 public immutable rewardShare;

    mapping(bytes32 account => Owed) private _owed;

    constructor(RewardTerms memory terms) {
        (rewardGas, nativeFeed, rewardShare) = (terms.gasUnits, terms.nativeFeed, terms.share);
    }

    /// @notice Who is owed how much (WAD) for having started the account's auction.
    function owed(bytes32 account) external view returns (address caller, uint256 amount) {
        return (_owed[account].caller, _owed[account].amount);
    }

    /// @dev Nobody is owed anything while somebody still is: an account pays one start at a time.
    function _reward(IClearinghouse clearinghouse, IPriceOracle oracle, bytes32 account, int256 equity)
        internal
    {
        if (equity <= 0 || rewardShare == 0 || _owed[account].amount != 0) return;
        if (Accounts.main(msg.sender) == account) return;
        // Whatever is wrong with that price keeps no auction from starting.
        try oracle.price(nativeFeed) returns (IPriceOracle.Price memory native) {
            uint256 amount = (rewardGas * block.basefee).mulWad(native.price)
                .min(uint256(equity).mulWad(rewardShare)).min(type(uint96).max);
            if (amount != 0) {
                _pay(clearinghouse, account, account, type(uint256).max, Owed(msg.sender, amount.toUint96()));
            }
        } catch {}
    }

    /// @param payer The account, or who pays for it. @param most WAD. @return paid WAD.
    function _payReward(IClearinghouse clearinghouse, bytes32 account, bytes32 payer, uint256 most)
        internal
        returns (uint256 paid)
    {
        Owed memory o = _owed[account];
        if (o.amount != 0) paid = _pay(clearinghouse, account, payer, most, o);
    }

    /// @dev What is left of it stays owed.
    function _pay(IClearinghouse clearinghouse, bytes32 account, bytes32 payer, uint256 most, Owed memory o)
        private
        returns (uint256 paid)
    {
        paid = uint256(o.amount).min(most).min(clearinghouse.freeCash(payer));
        o.amount -= uint96(paid);
        if (o.amount != _owed[account].amount) _owed[account] = o;
        if (paid == 0) return 0;
        clearinghouse.moveCash(payer, Accounts.main(o.caller), paid);
        emit CallerRewarded(account, o.caller, paid, o.amount);
    }
}
