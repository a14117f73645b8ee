"""Clients that no one here wrote pay this server: the published x402 clients, each in an environment of its own."""
