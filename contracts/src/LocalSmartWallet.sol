// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {SignatureCheck} from "./SignatureCheck.sol";

/// A wallet that is a contract: it accepts its owner's signatures (EIP-1271) and does what its owner sends.
/// For tests of payers and sign-ins without a key of their own.
contract LocalSmartWallet {
    address public owner;

    constructor(address initialOwner) {
        owner = initialOwner;
    }

    receive() external payable {}

    function isValidSignature(bytes32 hash, bytes memory signature) external view returns (bytes4) {
        return SignatureCheck.recover(hash, signature) == owner ? this.isValidSignature.selector : bytes4(0xffffffff);
    }

    function execute(address target, uint256 value, bytes calldata data) external returns (bytes memory) {
        require(msg.sender == owner, "LocalSmartWallet: caller is not the owner");
        (bool success, bytes memory result) = target.call{value: value}(data);
        require(success, "LocalSmartWallet: the call failed");
        return result;
    }
}

/// Makes smart wallets at addresses known beforehand, as EIP-6492 signatures of wallets not yet deployed need it.
contract LocalSmartWalletFactory {
    function deploy(address owner, bytes32 salt) external returns (address wallet) {
        wallet = addressOf(owner, salt);
        if (wallet.code.length == 0) {
            new LocalSmartWallet{salt: salt}(owner);
        }
    }

    function addressOf(address owner, bytes32 salt) public view returns (address) {
        bytes32 code = keccak256(abi.encodePacked(type(LocalSmartWallet).creationCode, abi.encode(owner)));
        return address(uint160(uint256(keccak256(abi.encodePacked(bytes1(0xff), address(this), salt, code)))));
    }
}
