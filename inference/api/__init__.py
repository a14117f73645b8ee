"""The HTTP surface of what is sold."""
