"""The x402 wire protocol, versions 1 and 2, in plain Python.

Nothing here reads a clock, a setting, a socket or a database: bytes come in, frozen values go out, and what does not
hold is refused by an exception of `errors`. Addresses, nonces and signatures are bytes from the moment they are parsed,
so that two spellings of one value cannot be two payments.
"""
