"""Who someone is and what they may do: accounts and their wallets, sign-in with Ethereum, sessions, limits, audit."""
