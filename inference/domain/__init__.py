"""Plain Python: what a chat request is, how its tokens are counted and what they cost."""
