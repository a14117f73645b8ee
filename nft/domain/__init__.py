"""What a collection and a token are, in one spelling. Plain Python."""
