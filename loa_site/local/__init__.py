"""The embedded stack behind `make demo|serve|stop|test`: a real Postgres, Redis-compatible server and chain.

The servers come from wheels and npm packages, listen on 127.0.0.1 only, keep their data under `.loa/` and end with
the process that started them. Nothing here imports Django: settings are read only after the servers are up.
"""
