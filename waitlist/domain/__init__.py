"""Rules of the waitlist in plain Python: addresses, places, and when a mail is tried again."""
