"""The devnet's stand-in for Nitro's security module: the same documents, from a CA of its own."""
