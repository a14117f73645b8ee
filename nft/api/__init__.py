"""The holders' side over HTTP."""
