"""Every call that leaves the process: guarded HTTP, the shared circuit breaker, the connection to Redis."""
