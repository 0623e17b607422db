"""All states of small instances, on the real acceptors: `explorer.py` runs it and prints tables."""
