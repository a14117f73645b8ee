"""Use cases of holders and their agents, one per file."""
