"""The documents as pages: what is written under docs/, what is made from the code, and the API reference."""
