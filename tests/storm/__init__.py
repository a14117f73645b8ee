"""Everything goes wrong at once, by a seed, and nothing is lost: `make storm SEED=n` (docs/reference/storm.md)."""
