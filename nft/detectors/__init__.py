"""Who is asked which tokens a wallet owns: an indexer first, a node where there is none or it is away."""
