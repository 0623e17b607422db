"""Bitcoin: scripts, transactions, addresses, evidence, the node."""
