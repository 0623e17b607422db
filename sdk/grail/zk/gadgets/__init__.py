"""Reusable pieces of circuits."""
