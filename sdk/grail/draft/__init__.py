"""Spell transactions from intent to signed PSBT: assembled, checked, proven, signed."""
