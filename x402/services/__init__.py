"""What can be done with payments: one use case per file, one transaction each."""
