"""A Grail network on your machine: a Bitcoin node and the operators, all real processes."""
