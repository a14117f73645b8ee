"""What can happen on the waitlist: one use case per module, one transaction each."""
