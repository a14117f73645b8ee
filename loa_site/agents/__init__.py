"""Pages of NFT holders: the wizard that gives an agent its voice, and the agent's own page."""
