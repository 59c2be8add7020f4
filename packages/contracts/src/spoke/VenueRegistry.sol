// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {ISpokeGateway} from "../interfaces/IGateways.sol";
import {IVenue} from "../interfaces/IVenue.sol";
import {VenueGateway} from "./VenueGateway.sol";

/// @title VenueRegistry
/// @notice The venues of one chain: a gateway for each, and how much of a token it may be handed. Without a cap a venue gets nothing.
contract VenueRegistry is Ownable {
    event VenueOpened(IVenue indexed venue, VenueGateway gateway);
    event CapSet(VenueGateway indexed gateway, address indexed token, uint256 cap);

    error AlreadyOpen(IVenue venue);
    error UnknownGateway(VenueGateway gateway);
    error ZeroVenue();

    ISpokeGateway public immutable spokeGateway;

    mapping(IVenue venue => VenueGateway) public gatewayOf;
    mapping(VenueGateway gateway => bool) public isGateway;
    /// @notice Token decimals: the most of a token that a venue may have of all accounts together.
    mapping(address gateway => mapping(address token => uint256)) public cap;

    constructor(address owner_, ISpokeGateway spokeGateway_) Ownable(owner_) {
        spokeGateway = spokeGateway_;
    }

    /// @notice Makes a venue's gateway. Anyone; usually the venue's own constructor.
    function open(IVenue venue) external returns (VenueGateway gateway) {
        if (address(venue) == address(0)) revert ZeroVenue();
        if (address(gatewayOf[venue]) != address(0)) revert AlreadyOpen(venue);
        gateway = new VenueGateway(venue, spokeGateway);
        (gatewayOf[venue], isGateway[gateway]) = (gateway, true);
        emit VenueOpened(venue, gateway);
    }

    /// @notice A cap below what a venue has takes nothing back from it. Owner (governance) only.
    function setCap(VenueGateway gateway, address token, uint256 cap_) external onlyOwner {
        if (!isGateway[gateway]) revert UnknownGateway(gateway);
        cap[address(gateway)][token] = cap_;
        emit CapSet(gateway, token, cap_);
    }
}
