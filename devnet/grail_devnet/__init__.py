"""A Grail network on your machine."""
