"""Figures beside others: the official x402 stack and django-hordak, measured in the same run on the same machine."""
