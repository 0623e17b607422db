"""Grail Pro: zk-apps on Bitcoin, in Python."""
