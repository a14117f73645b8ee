"""The public pages of the waitlist. They set no cookie and need no script."""
