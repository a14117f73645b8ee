"""The built-in demonstration model `loa-demo`: deterministic, offline, and honest about what it is."""
