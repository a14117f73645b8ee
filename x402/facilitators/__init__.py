"""Ways to bring payments to the chain. Their words are hints; evidence is read from the chain by us (R17)."""
