"""The operator's untrusted host process."""
