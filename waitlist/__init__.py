"""The waitlist: who asked to be let in, in which order, and how they leave again."""
