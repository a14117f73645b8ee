"""NFT holders: which tokens a wallet owns, and the agent each token may have."""
