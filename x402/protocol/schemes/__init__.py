"""The ways to pay: what each requires of a signed payment before any chain is asked."""
