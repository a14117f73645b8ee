// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

// Two collections for the local chain: agents that are one of a kind (ERC-721) and passes of which there are many (ERC-1155).
// Anybody may mint here. What matters is what a holder's wallet and our detection see: events, owners, balances, metadata.

contract LocalAgents {
    string public constant name = "Local Agents";
    string public constant symbol = "LAGENT";

    mapping(uint256 => address) public ownerOf;
    mapping(address => uint256) public balanceOf;
    mapping(uint256 => string) private uriOf;

    event Transfer(address indexed from, address indexed to, uint256 indexed tokenId);

    function supportsInterface(bytes4 id) external pure returns (bool) {
        return id == 0x01ffc9a7 || id == 0x80ac58cd || id == 0x5b5e139f;
    }

    function tokenURI(uint256 tokenId) external view returns (string memory) {
        require(ownerOf[tokenId] != address(0), "no such agent");
        if (bytes(uriOf[tokenId]).length != 0) return uriOf[tokenId];
        return "data:application/json;base64,eyJuYW1lIjoiTG9jYWwgQWdlbnQifQ==";
    }

    function setTokenURI(uint256 tokenId, string calldata uri) external {
        require(msg.sender == ownerOf[tokenId], "not yours");
        uriOf[tokenId] = uri;
    }

    function mint(address to, uint256 tokenId) external {
        require(to != address(0) && ownerOf[tokenId] == address(0), "taken");
        ownerOf[tokenId] = to;
        balanceOf[to] += 1;
        emit Transfer(address(0), to, tokenId);
    }

    function transferFrom(address from, address to, uint256 tokenId) external {
        require(msg.sender == from && ownerOf[tokenId] == from && to != address(0), "not yours");
        ownerOf[tokenId] = to;
        balanceOf[from] -= 1;
        balanceOf[to] += 1;
        emit Transfer(from, to, tokenId);
    }
}

contract LocalPasses {
    mapping(address => mapping(uint256 => uint256)) private held;

    event TransferSingle(address indexed operator, address indexed from, address indexed to, uint256 id, uint256 value);
    event TransferBatch(address indexed operator, address indexed from, address indexed to, uint256[] ids, uint256[] values);

    function supportsInterface(bytes4 id) external pure returns (bool) {
        return id == 0x01ffc9a7 || id == 0xd9b67a26;
    }

    function balanceOf(address owner, uint256 id) external view returns (uint256) {
        return held[owner][id];
    }

    function mint(address to, uint256 id, uint256 value) external {
        held[to][id] += value;
        emit TransferSingle(msg.sender, address(0), to, id, value);
    }

    function mintBatch(address to, uint256[] calldata ids, uint256[] calldata values) external {
        for (uint256 place = 0; place < ids.length; place++) held[to][ids[place]] += values[place];
        emit TransferBatch(msg.sender, address(0), to, ids, values);
    }

    function safeTransferFrom(address from, address to, uint256 id, uint256 value, bytes calldata) external {
        require(msg.sender == from && held[from][id] >= value, "not yours");
        held[from][id] -= value;
        held[to][id] += value;
        emit TransferSingle(msg.sender, from, to, id, value);
    }
}
