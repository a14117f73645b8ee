"""What can be asked about the waitlist without changing it."""
