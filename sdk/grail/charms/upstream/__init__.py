"""Spells of Charms itself, as they stand on Bitcoin's main chain: read, and their proofs checked.

These are not this project's own spells: another envelope, another proof, another prover. Nothing
here says that a spell's charms exist (their history is not followed), only that the proof in the
transaction is one of the spell in it. No enclave imports this package.
"""
