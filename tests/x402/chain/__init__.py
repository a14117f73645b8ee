"""Tests of the wire protocol and of the chain it settles on."""
