"""Circuits and Groth16; knows numbers and proofs, nothing of Bitcoin."""
