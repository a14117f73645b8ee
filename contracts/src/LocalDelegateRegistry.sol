// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

// Delegation for the local chain: a wallet that keeps tokens in a vault lets another wallet act for it. Written anew after the
// published interface of the registry that mainnets have at one address (delegate.xyz, version 2): the same calls, arguments
// and answers, and none of its storage tricks. Amounts (ERC-20, ERC-1155) are left out: nothing here asks for them.

contract LocalDelegateRegistry {
    enum DelegationType { NONE, ALL, CONTRACT, ERC721, ERC20, ERC1155 }

    struct Delegation {
        DelegationType type_;
        address to;
        address from;
        bytes32 rights;
        address contract_;
        uint256 tokenId;
        uint256 amount;
    }

    mapping(bytes32 => bool) private enabled;
    mapping(address => Delegation[]) private incoming;

    event DelegateAll(address indexed from, address indexed to, bytes32 rights, bool enable);
    event DelegateContract(address indexed from, address indexed to, address indexed contract_, bytes32 rights, bool enable);
    event DelegateERC721(
        address indexed from, address indexed to, address indexed contract_, uint256 tokenId, bytes32 rights, bool enable
    );

    function delegateAll(address to, bytes32 rights, bool enable) external payable returns (bytes32) {
        emit DelegateAll(msg.sender, to, rights, enable);
        return set(Delegation(DelegationType.ALL, to, msg.sender, rights, address(0), 0, 0), enable);
    }

    function delegateContract(address to, address contract_, bytes32 rights, bool enable) external payable returns (bytes32) {
        emit DelegateContract(msg.sender, to, contract_, rights, enable);
        return set(Delegation(DelegationType.CONTRACT, to, msg.sender, rights, contract_, 0, 0), enable);
    }

    function delegateERC721(address to, address contract_, uint256 tokenId, bytes32 rights, bool enable)
        external
        payable
        returns (bytes32)
    {
        emit DelegateERC721(msg.sender, to, contract_, tokenId, rights, enable);
        return set(Delegation(DelegationType.ERC721, to, msg.sender, rights, contract_, tokenId, 0), enable);
    }

    // True for a delegation without named rights, and for one of exactly these rights.
    function checkDelegateForERC721(address to, address from, address contract_, uint256 tokenId, bytes32 rights)
        external
        view
        returns (bool)
    {
        return reaches(to, from, contract_, tokenId, "") || (rights != "" && reaches(to, from, contract_, tokenId, rights));
    }

    function getIncomingDelegations(address to) external view returns (Delegation[] memory found) {
        Delegation[] storage all = incoming[to];
        uint256 count = 0;
        for (uint256 place = 0; place < all.length; place++) if (enabled[hashOf(all[place])]) count++;
        found = new Delegation[](count);
        count = 0;
        for (uint256 place = 0; place < all.length; place++) if (enabled[hashOf(all[place])]) found[count++] = all[place];
    }

    function reaches(address to, address from, address contract_, uint256 tokenId, bytes32 rights) private view returns (bool) {
        return enabled[hashOf(Delegation(DelegationType.ALL, to, from, rights, address(0), 0, 0))]
            || enabled[hashOf(Delegation(DelegationType.CONTRACT, to, from, rights, contract_, 0, 0))]
            || enabled[hashOf(Delegation(DelegationType.ERC721, to, from, rights, contract_, tokenId, 0))];
    }

    function set(Delegation memory one, bool enable) private returns (bytes32 hash) {
        hash = hashOf(one);
        if (enable && !isListed(one.to, hash)) incoming[one.to].push(one);
        enabled[hash] = enable;
    }

    function isListed(address to, bytes32 hash) private view returns (bool) {
        Delegation[] storage all = incoming[to];
        for (uint256 place = 0; place < all.length; place++) if (hashOf(all[place]) == hash) return true;
        return false;
    }

    function hashOf(Delegation memory one) private pure returns (bytes32) {
        return keccak256(abi.encode(one.type_, one.to, one.from, one.rights, one.contract_, one.tokenId));
    }
}
