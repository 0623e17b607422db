"""Signatures and hashes."""
